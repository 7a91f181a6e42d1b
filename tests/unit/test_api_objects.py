from __future__ import annotations

import random
from collections import Counter

import pytest
from api_harness import running

from replicante.testing.builders import (
    cluster_document,
    namespace_document,
    platform_document,
    put_namespace,
)

NS = "/object/replicante.io/v0/namespace"
LIST = "/list/replicante.io/v0/namespace"


async def test_a_namespace_is_applied_read_listed_and_removed():
    async with running() as api:
        applied = await api.post("/apply", namespace_document("n1"))
        assert applied.status == 201
        body = applied.json
        assert body["apiVersion"] == "replicante.io/v0"
        assert body["kind"] == "Namespace"
        assert body["metadata"]["name"] == "n1"
        assert body["status"] == "Active"
        assert (body["is_created"], body["is_changed"], body["is_dry_run"]) == (True, True, False)
        assert body["id"] == "n1"
        assert body["tls"] == {"ca_bundle": None}
        assert applied.headers["ETag"] == f'"{body["revision"]}"'
        read = await api.get(f"{NS}/n1")
        assert {**read.json, "is_created": True, "is_changed": True, "is_dry_run": False} == body
        listed = (await api.get(LIST)).json
        assert listed["items"] == [
            {
                "id": "n1",
                "status": "Active",
                "revision": body["revision"],
                "labels": {},
                "scope": ["n1"],
            },
        ]
        removed = await api.delete(f"{NS}/n1")
        assert removed.status == 200
        assert removed.json["status"] is None
        (await api.get(f"{NS}/n1")).problem("not_found", 404)
        (await api.delete(f"{NS}/n1")).problem("not_found", 404)


async def test_the_same_declaration_again_changes_nothing():
    async with running() as api:
        first = await api.post("/apply", namespace_document("n1"))
        again = await api.post("/apply", namespace_document("n1"))
        assert again.status == 200
        assert again.json["is_changed"] is False
        assert again.json["revision"] == first.json["revision"]


async def test_a_document_that_was_read_can_be_edited_and_sent_back():
    async with running() as api:
        await api.post("/apply", namespace_document("n1"))
        document = (await api.get(f"{NS}/n1")).json
        document["spec"]["status"] = "Observed"
        changed = await api.post("/apply", document)
        assert changed.status == 200
        assert changed.json["status"] == "Observed"
        (await api.post("/apply", document)).problem("revision_mismatch", 412)


async def test_a_held_namespace_is_deleting_until_nothing_holds_it():
    async with running() as api:
        api.peer.do(put_namespace("n1", finalisers=["holder"]))
        removed = await api.delete(f"{NS}/n1")
        assert removed.json["status"] == "Deleting"
        assert (await api.get(f"{NS}/n1")).json["status"] == "Deleting"
        changed = namespace_document("n1", spec={"status": "Inactive"}, finalisers=["holder"])
        refused = await api.post("/apply", changed)
        assert refused.problem("being_deleted", refused.status)["error"] is True


@pytest.mark.parametrize("kind", ["namespace", "Namespace", "NAMESPACE"])
async def test_a_kind_is_written_in_any_case(kind):
    async with running() as api:
        document = {**namespace_document("n1"), "kind": kind}
        assert (await api.post("/apply", document)).status == 201
        read = await api.get(f"/object/replicante.io/v0/{kind}/n1")
        assert read.json["kind"] == "Namespace"
        assert (await api.get(f"/list/replicante.io/v0/{kind}")).status == 200


@pytest.mark.parametrize("kind", ["clusterspec", "ClusterSpec", "platform"])
async def test_a_kind_that_lives_in_namespaces_is_listed_over_all_of_them(kind):
    async with running() as api:
        for ns in ("n1", "n2"):
            for document in (
                namespace_document(ns),
                cluster_document("c", ns=ns),
                platform_document("c", ns=ns),
            ):
                assert (await api.post("/apply", document)).status == 201
        listed = await api.get(f"/list/replicante.io/v0/{kind}")
        assert [it["ns_id"] for it in listed.json["items"]] == ["n1", "n2"]
        refused = (await api.get(f"/object/replicante.io/v0/{kind}/n1")).problem("invalid", 400)
        assert "is found by namespace" in refused["detail"]


@pytest.mark.parametrize("dry_run", ["", "?dry_run=true"])
@pytest.mark.parametrize("kind", ["Foo", "", 5, None, ["Namespace"]])
async def test_a_kind_that_is_none_is_refused_in_the_words_of_the_original(kind, dry_run):
    async with running() as api:
        document = {"apiVersion": "replicante.io/v0", "kind": kind, "spec": {}}
        problem = (await api.post(f"/apply{dry_run}", document)).problem("invalid", 400)
        assert problem["error"] is True
        assert problem["error_msg"].startswith("kind: resource not supported")
        assert "ClusterSpec, NAction, Namespace, OAction, Platform" in problem["detail"]
        assert problem["resource"]["apiVersion"] == "replicante.io/v0"
        assert problem["path"] == "kind"
        if isinstance(kind, str):
            assert problem["resource"]["kind"] == kind


async def test_a_path_of_a_kind_that_is_none_says_so():
    async with running() as api:
        for path in ("/object/replicante.io/v0/foo/a", "/list/replicante.io/v0/foo"):
            problem = (await api.get(path)).problem("not_found", 404)
            assert problem["error_msg"].startswith("resource not supported")
            assert problem["resource"] == {"apiVersion": "replicante.io/v0", "kind": "foo"}


async def test_an_action_is_no_operation_of_a_batch():
    async with running() as api:
        action = {"apiVersion": "replicante.io/v0", "kind": "NAction", "spec": {}}
        body = {"operations": [{"op": "object.apply", "object": action}]}
        problem = (await api.post("/batch", body)).problem("invalid", 400)
        assert problem["path"] == "operations[0].object.kind"
        assert "an action has a request of its own" in problem["detail"]


async def test_the_write_that_takes_the_last_finaliser_away_says_that_the_object_is_gone():
    async with running() as api:
        await api.post("/apply", namespace_document("n1", finalisers=["f"]))
        await api.delete(f"{NS}/n1")
        done = await api.post("/apply", namespace_document("n1"))
        assert (done.status, done.json["status"], done.json["is_changed"]) == (200, None, True)
        assert (await api.get(f"{NS}/n1")).status == 404


async def test_a_dry_run_says_what_the_same_write_says_then():
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    seen = Counter()
    async with running() as api:
        for _ in range(400):
            if chance.random() < 0.2:
                what = chance.choice(["namespace/n1", "namespace/n2", "platform/n1/p"])
                await api.delete(f"/object/replicante.io/v0/{what}")
                continue
            document, headers = drawn_document(chance), {}
            if chance.random() < 0.1:
                headers = chance.choice([{"If-None-Match": "*"}, {"If-Match": "*"}])
            before = api.peer.proposals_count
            told = await api.post("/apply?dry_run=true", document, headers=headers)
            assert api.peer.proposals_count == before
            done = await api.post("/apply", document, headers=headers)
            # A dry run has one status: nothing was made.
            assert told.status == (200 if done.status == 201 else done.status)
            assert comparable(told.json) == comparable(done.json)
            seen[done.json.get("code", str(done.json.get("status")))] += 1
    kinds = {"Active", "Deleting", "None", "being_deleted", "unknown_scope", "revision_mismatch"}
    assert kinds <= seen.keys(), seen


def drawn_document(chance: random.Random) -> dict:
    finalisers = chance.sample(["f", "g"], chance.choice([0, 0, 1, 2]))
    labels = chance.choice([{}, {"tier": "cache"}])
    if chance.random() < 0.3:
        document = platform_document("p", ns="n1")
    else:
        document = namespace_document(chance.choice(["n1", "n2"]))
    document["metadata"] |= {"finalisers": finalisers, "labels": labels}
    return document


def comparable(answer: dict) -> dict:
    """Without what only a write has, and what names the request."""
    left_out = {"revision", "is_dry_run", "request_id", "index", "instance"}
    return {name: value for name, value in answer.items() if name not in left_out}


async def test_a_dry_run_tells_what_would_happen_and_writes_nothing():
    async with running() as api:
        created = await api.post("/apply?dry_run=true", namespace_document("n1"))
        assert (created.status, created.json["is_created"]) == (200, True)
        assert created.json["is_dry_run"] is True
        assert api.peer.proposals_count == 0
        (await api.get(f"{NS}/n1")).problem("not_found", 404)
        real = await api.post("/apply", namespace_document("n1"))
        same = await api.post("/apply?dry_run=true", namespace_document("n1"))
        assert (same.json["is_created"], same.json["is_changed"]) == (False, False)
        assert same.json["revision"] == real.json["revision"]
        other = namespace_document("n1", spec={"status": "Inactive"})
        changed = await api.post("/apply?dry_run=true", other)
        assert changed.json["is_changed"] is True
        fresh = await api.post("/apply?dry_run=true", other, headers={"If-None-Match": "*"})
        fresh.problem("revision_mismatch", 412)
        held = {"If-Match": '"5"'}
        (await api.post("/apply?dry_run=true", other, headers=held)).problem(
            "revision_mismatch", 412
        )
        assert api.peer.proposals_count == 1


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], None),
        ({}, "apiVersion"),
        ({"apiVersion": "v1", "kind": "Namespace"}, "apiVersion"),
        ({"apiVersion": "replicante.io/v0", "kind": "Pod"}, "kind"),
        ({**namespace_document("n1"), "extra": 1}, "extra"),
        ({**namespace_document("n1"), "spec": []}, "spec"),
        (namespace_document("n1", spec={"status": "Odd"}), "spec.status"),
        (namespace_document("n1", spec={"status": "Deleted"}), "spec.status"),
        (namespace_document("n1", spec={"tls": {"x": 1}}), "spec.tls.x"),
        (namespace_document("-"), "metadata.name"),
        ({**namespace_document("n1"), "revision": "x"}, "revision"),
    ],
)
async def test_a_bad_document_is_refused_in_the_originals_words_too(document, path):
    async with running() as api:
        body = (await api.post("/apply", document)).problem("invalid", 400)
        assert body.get("path") == path
        assert body["error"] is True
        assert body["error_msg"] == body["detail"]
        assert body["violations"]
        assert api.peer.proposals_count == 0


async def test_every_violation_is_named_at_once():
    async with running() as api:
        document = namespace_document("n1", spec={"status": 5, "tls": {"ca_bundle": 5}})
        body = (await api.post("/apply", document)).problem("invalid", 400)
        assert {one["path"] for one in body["violations"]} == {
            "spec.status",
            "spec.tls.ca_bundle",
        }


async def test_a_revision_is_given_once():
    async with running() as api:
        await api.post("/apply", namespace_document("n1"))
        document = (await api.get(f"{NS}/n1")).json
        both = await api.post("/apply", document, headers={"If-Match": '"5"'})
        both.problem("invalid", 400)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/object/replicante.io/v0/pod/n1", 404, "not_found"),
        ("/list/replicante.io/v0/pod", 404, "not_found"),
        ("/object/replicante.io/v1/namespace/n1", 404, "no_such_path"),
        ("/object/replicante.io/v0/namespace/n1/more", 404, "no_such_path"),
        ("/object/replicante.io/v0/namespace", 404, "no_such_path"),
        ("/object/replicante.io/v0/namespace/", 400, "invalid"),
        ("/object/replicante.io/v0/namespace/a%2Fb", 400, "invalid"),
        ("/object/replicante.io/v0/namespace/%ff", 400, "invalid"),
        (f"{LIST}?cursor=abc", 400, "invalid"),
    ],
)
async def test_a_path_that_names_nothing_is_refused(path, status, code):
    async with running() as api:
        body = (await api.get(path)).problem(code, status)
        if code == "not_found":
            assert body["error"] is True


async def test_namespaces_are_listed_page_by_page():
    async with running() as api:
        for i in range(5):
            api.peer.do(put_namespace(f"n{i}"))
        names, cursor = [], ""
        for _ in range(3):
            page = (await api.get(f"{LIST}?limit=2{cursor}")).json
            names += [one["id"] for one in page["items"]]
            cursor = f"&cursor={page['next']}"
        assert names == [f"n{i}" for i in range(5)]
        assert page["next"] is None
        kv_cursor = (await api.get("/kv?limit=1")).json["next"]
        assert kv_cursor is None


async def test_a_cursor_of_another_list_is_refused():
    async with running() as api:
        for i in range(2):
            api.peer.do(put_namespace(f"n{i}"))
        cursor = (await api.get(f"{LIST}?limit=1")).json["next"]
        assert (await api.get(f"/kv?cursor={cursor}")).problem("invalid", 400)["path"] == "?cursor"
