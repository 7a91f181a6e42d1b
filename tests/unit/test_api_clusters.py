"""Platforms, clusters and actions over HTTP: the original's paths and fields, ours beside them."""

from __future__ import annotations

import pytest
from api_harness import running

from replicante.model.change import ChangeCode, RecordKind
from replicante.model.codec import encode_value
from replicante.model.discovery import ClusterDiscovery, DiscoveredNode, HeldDiscovery
from replicante.state.fences import Fence, FenceOn, lease_name
from replicante.state.lease_commands import LeaseAcquire
from replicante.state.record_commands import RecordChange, RecordCycle
from replicante.testing.builders import (
    cluster_document,
    naction_document,
    namespace_document,
    platform_document,
    put_namespace,
    put_object,
)
from replicante.testing.fake_peer import FakePeer

OBJECT = "/object/replicante.io/v0"
LIST = "/list/replicante.io/v0"
ID = "00000000-0000-4000-8000-00000000000A"


async def declare(api, *documents):
    for document in (namespace_document("default"), *documents):
        answer = await api.post("/apply", document)
        assert answer.status in (200, 201), answer.body


async def test_a_cluster_is_applied_read_listed_and_removed():
    async with running() as api:
        await declare(api, cluster_document("r", labels={"tier": "cache"}))
        read = (await api.get(f"{OBJECT}/clusterspec/default/r")).json
        assert (read["ns_id"], read["cluster_id"], read["active"]) == ("default", "r", True)
        assert read["metadata"]["labels"] == {"tier": "cache"}
        assert read["mode"]["mode"] == "observe"
        (row,) = (await api.get(f"{LIST}/clusterspec/default?labels=tier%3Dcache")).json["items"]
        assert (row["ns_id"], row["cluster_id"], row["active"]) == ("default", "r", True)
        assert (await api.get(f"{LIST}/clusterspec/default?labels=!tier")).json["items"] == []
        assert (await api.delete(f"{OBJECT}/clusterspec/default/r")).json["status"] is None
        (await api.get(f"{OBJECT}/clusterspec/default/r")).problem("not_found", 404)


async def test_a_cluster_that_was_read_can_be_edited_and_sent_back():
    async with running() as api:
        await declare(api, cluster_document("r"))
        document = (await api.get(f"{OBJECT}/clusterspec/default/r")).json
        document["spec"]["mode"] = {"mode": "active", "actor": "ann", "reason": "tried"}
        changed = await api.post("/apply", document)
        assert changed.json["spec"]["mode"]["actor"] == "ann"
        (await api.post("/apply", document)).problem("revision_mismatch", 412)


async def test_a_platform_is_listed_within_its_namespace():
    async with running() as api:
        await declare(api, platform_document("p"))
        (row,) = (await api.get(f"{LIST}/platform/default")).json["items"]
        assert (row["ns_id"], row["name"], row["active"]) == ("default", "p", True)
        assert (await api.get(f"{LIST}/platform/other")).json["items"] == []
        assert (await api.get(f"{OBJECT}/platform/default/p")).json["name"] == "p"


@pytest.mark.parametrize("dry_run", ["", "?dry_run=true"])
@pytest.mark.parametrize(
    "document",
    [
        cluster_document("r", ns="nowhere"),
        platform_document("p", ns="nowhere"),
        naction_document(cluster="r", node="n1", ns="nowhere"),
        naction_document(cluster="nowhere", node="n1"),
    ],
)
async def test_what_would_live_nowhere_is_refused(document, dry_run):
    async with running() as api:
        await declare(api)
        refused = await api.post(f"/apply{dry_run}", document)
        problem = refused.problem("unknown_scope", 400)
        assert problem["details"]["name"] == "nowhere"
        assert problem["error"] is True


async def test_every_violation_is_listed_with_its_path():
    async with running() as api:
        document = cluster_document("r", spec={"interval": 1, "mode": "wild", "nope": 1})
        document["spec"]["declaration"] = {"definition": {}, "approval": 7}
        problem = (await api.post("/apply", document)).problem("invalid", 400)
        paths = {violation["path"] for violation in problem["violations"]}
        assert {"spec.nope", "spec.mode", "spec.declaration.approval"} <= paths
        action = naction_document(cluster="", node="n1", spec={"action": "x", "action_id": "y"})
        problem = (await api.post("/apply", action)).problem("invalid", 400)
        paths = {violation["path"] for violation in problem["violations"]}
        assert paths == {"spec.cluster_id", "spec.action", "spec.action_id"}


async def test_an_action_is_created_approved_and_shown_with_its_history():
    async with running() as api:
        await declare(api, cluster_document("r"))
        document = naction_document(
            cluster="r", node="n1", spec={"approval": "required", "action_id": ID, "args": [1]}
        )
        checked = await api.post("/apply?dry_run=true", document)
        assert (checked.status, checked.json["is_dry_run"]) == (200, True)
        created = await api.post("/apply", document)
        assert created.status == 201
        assert created.json["action_id"] == ID.lower()
        assert created.json["status"] == "PENDING_APPROVE"
        path = f"{OBJECT}/naction/default/r/n1/{ID.lower()}"
        assert (await api.get(path)).json["approved_time"] is None
        approved = await api.ask("POST", f"/api/v0{path}/approve?reason=fine")
        assert approved.json["phase"] == "PENDING_SCHEDULE"
        (await api.ask("POST", f"/api/v0{path}/reject")).problem("wrong_phase", 400)
        read = (await api.get(path)).json
        assert read["state"] == {"phase": "PENDING_SCHEDULE", "error": None, "payload": None}
        assert [step["phase"] for step in read["history"]] == [
            "PENDING_APPROVE",
            "PENDING_SCHEDULE",
        ]
        assert read["approved_time"] == read["history"][1]["time"]
        (await api.get(f"{OBJECT}/naction/default/r/n2/{ID.lower()}")).problem("not_found", 404)
        await api.ask("POST", f"/api/v0{path}/cancel")
        assert (await api.get(f"{LIST}/naction/default/r")).json["items"] == []
        (row,) = (await api.get(f"{LIST}/naction/default/r?all=true&node_id=n1")).json["items"]
        assert (row["phase"], row["kind"]) == ("CANCELLED", "agent.replicante.io/test.success")


async def test_an_orchestrator_action_has_no_node():
    async with running() as api:
        await declare(api, cluster_document("r"))
        document = {
            "apiVersion": "replicante.io/v0",
            "kind": "oaction",
            "spec": {"cluster_id": "r", "action": "core.replicante.io/test.loop", "timeout": 30},
        }
        created = (await api.post("/apply", document)).json
        path = f"{OBJECT}/oaction/default/r/{created['action_id']}"
        read = (await api.get(path)).json
        assert (read["kind"], read["node_id"], read["timeout"]) == ("OAction", None, "30s")
        assert (await api.ask("POST", f"/api/v0{path}/cancel")).status == 200
        with_node = {**document, "spec": {**document["spec"], "node_id": "n1"}}
        problem = (await api.post("/apply", with_node)).problem("invalid", 400)
        assert problem["path"] == "spec.node_id"


async def test_a_repeat_under_its_key_is_the_same_action():
    async with running() as api:
        await declare(api, cluster_document("r"))
        document = naction_document(cluster="r", node="n1")
        headers = {"Idempotency-Key": "k1"}
        first = await api.post("/apply", document, headers=headers)
        again = await api.post("/apply", document, headers=headers)
        other = await api.post("/apply", document)
        assert again.json["action_id"] == first.json["action_id"] != other.json["action_id"]
        assert again.headers["Replicante-Replayed"] == "true"


async def test_an_action_takes_no_revision():
    async with running() as api:
        await declare(api, cluster_document("r"))
        document = naction_document(cluster="r", node="n1")
        refused = await api.post("/apply", document, headers={"If-None-Match": "*"})
        refused.problem("invalid", 400)


async def test_what_nobody_knows_yet_is_not_found():
    async with running() as api:
        await declare(api, cluster_document("r"))
        for path in ("discovery", "orchestrate/report"):
            (await api.get(f"{OBJECT}/clusterspec/default/r/{path}")).problem("not_found", 404)


@pytest.mark.parametrize(
    "path",
    [
        "/list/replicante.io/v0/platform/{}",
        "/list/replicante.io/v0/clusterspec/{}",
        "/list/replicante.io/v0/naction/{}/c",
        "/list/replicante.io/v0/oaction/ns/{}",
        "/object/replicante.io/v0/namespace/{}",
        "/object/replicante.io/v0/clusterspec/ns/{}/view",
        "/object/replicante.io/v0/clusterspec/{}/c/discovery",
        "/object/replicante.io/v0/clusterspec/{}/c/explain",
        "/object/replicante.io/v0/clusterspec/ns/{}/plan",
        "/object/replicante.io/v0/platform/ns/{}/discovery",
        "/object/replicante.io/v0/naction/{}/c/n/1",
        "/object/replicante.io/v0/oaction/ns/{}/1",
    ],
)
async def test_what_can_be_no_name_is_refused_on_every_path(path):
    async with running() as api:
        for name in ("%00", ".a", "a" * 129, "%C3%A9"):
            (await api.get(path.format(name))).problem("invalid", 400)


async def test_work_is_asked_for_once_and_the_old_way_still_works():
    async with running() as api:
        await declare(api, cluster_document("r"), platform_document("p"))
        path = f"/api/v0{OBJECT}/clusterspec/default/r/orchestrate"
        first = await api.ask("POST", path)
        again = await api.ask("POST", path)
        assert (first.status, again.status) == (202, 202)
        assert (first.json["is_new"], again.json["is_new"]) == (True, False)
        assert first.json["task_id"] == again.json["task_id"]
        discover = f"{OBJECT}/platform/default/p/discover"
        assert (await api.ask("POST", f"/api/v0{discover}")).json["is_new"] is True
        assert (await api.get(discover)).json["is_new"] is False
        nowhere = f"/api/v0{OBJECT}/clusterspec/default/nowhere/orchestrate"
        (await api.ask("POST", nowhere)).problem("not_found", 404)


async def test_the_view_of_a_new_cluster_is_empty_and_has_its_spec():
    async with running() as api:
        await declare(api, cluster_document("r"))
        await api.post("/apply", naction_document(cluster="r", node="n1"))
        view = (await api.get(f"{OBJECT}/clusterspec/default/r/view")).json
        assert (view["discovery"], view["nodes"], view["shards"]) == (None, {}, {})
        assert view["spec"]["cluster_id"] == "r"
        (action,) = view["nactions_by_node"]["n1"]
        assert action["phase"] == "PENDING_SCHEDULE"
        (await api.get(f"{OBJECT}/clusterspec/default/x/view")).problem("not_found", 404)
        (await api.get(f"{OBJECT}/platform/default/p/discovery")).problem("not_found", 404)


def hold_discovery(lone):
    """Of three nodes an answer leaves out two."""
    lone.do(put_namespace("default"))
    lone.do(put_object(cluster_document("r")))
    lease = LeaseAcquire(lease_name(FenceOn.CLUSTER, "default", "r"), 30_000, encode_value({}))
    fence = Fence(FenceOn.CLUSTER, "default", "r", lone.do(lease).revision)
    nodes = tuple(
        DiscoveredNode(agent_address=f"http://{it}", node_class="x", node_id=it)
        for it in ("n1", "n2", "n3")
    )
    held = HeldDiscovery(nodes=nodes[:1], reason="too many", since_ms=1, seen_count=3)
    record = ClusterDiscovery(ns_id="default", cluster_id="r", nodes=nodes, held=held)
    kind, names = RecordKind.CLUSTER_DISCOVERY, ("default", "r")
    code = ChangeCode.CLUSTER_DISCOVERY_NEW
    change = RecordChange(kind, names, None, record.encode(), code)
    lone.do(RecordCycle(fence, (change,)))


async def test_a_held_discovery_is_approved_by_naming_what_is_gone():
    peer = FakePeer()
    hold_discovery(peer.lone)
    async with running(peer=peer) as api:
        path = f"{OBJECT}/clusterspec/default/r/discovery"
        assert (await api.get(path)).json["held"]["reason"] == "too many"
        (await api.post(f"{path}/approve", {"gone": ["n2"]})).problem("record_changed", 409)
        (await api.post(f"{path}/approve", {"gone": []})).problem("invalid", 400)
        (await api.post(f"{path}/approve", {"all": True})).problem("invalid", 400)
        done = await api.post(f"{path}/approve", {"gone": ["n3", "n2"], "reason": "burnt"})
        assert done.status == 200 and done.json["revision"]
        found = (await api.get(path)).json
        assert ([it["node_id"] for it in found["nodes"]], found["held"]) == (["n1"], None)
        (await api.post(f"{path}/approve", {"gone": ["n2", "n3"]})).problem("not_found", 404)
