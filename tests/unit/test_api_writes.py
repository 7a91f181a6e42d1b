from __future__ import annotations

import asyncio

import pytest
from api_harness import running

from replicante.ids import format_stamp, parse_stamp, stamp_index
from replicante.testing.builders import kv_put
from replicante.testing.fake_peer import Trouble


@pytest.mark.parametrize(
    ("trouble", "code", "status"),
    [
        (Trouble.NO_LEADER, "no_leader", 503),
        (Trouble.QUEUE_FULL, "queue_full", 429),
        (Trouble.SESSION_ENDED, "session_ended", 503),
        (Trouble.STOPPING, "stopping", 503),
        (Trouble.DISK_FULL, "disk_full", 507),
        (Trouble.TOO_LARGE, "too_large", 413),
    ],
)
async def test_a_refused_write_says_that_it_did_not_happen(trouble, code, status):
    async with running() as api:
        api.peer.trouble = trouble
        answer = await api.put("/kv/a", {"value": 1})
        body = answer.problem(code, status)
        assert body["definite"] is True
        assert "outcome" not in body
        assert ("Retry-After" in answer.headers) == (status in (429, 503))
        assert api.counted("replicante_writes_total", result="refused") == 1


@pytest.mark.parametrize("trouble", [Trouble.LOST_BEFORE, Trouble.LOST_AFTER])
async def test_an_unknown_outcome_is_never_called_a_failure(trouble):
    async with running() as api:
        api.peer.trouble = trouble
        headers = {"Idempotency-Key": "k/1", "Replicante-Request-Id": "r1"}
        body = (await api.put("/kv/a", {"value": 1}, headers=headers)).problem(
            "outcome_unknown", 504
        )
        assert (body["definite"], body["outcome"], body["request_id"]) == (False, "unknown", "r1")
        assert body["details"]["idempotency_key"] == "k/1"
        assert any("/api/v0/requests/k%2F1" in hint for hint in body["hints"])
        assert api.counted("replicante_writes_total", result="unknown") == 1
        api.peer.trouble = Trouble.NONE
        asked = await api.get("/requests/k%2F1")
        if trouble is Trouble.LOST_BEFORE:
            asked.problem("not_found", 404)
        else:
            assert asked.json["status"] == 201
            assert asked.json["items"][0]["revision"]
        repeated = await api.put("/kv/a", {"value": 1}, headers=headers)
        assert repeated.status == 201
        was_done_before = trouble is Trouble.LOST_AFTER
        assert (repeated.headers.get("Replicante-Replayed") == "true") is was_done_before
        codes = [event["code"] for event in (await api.get("/events")).json["items"]]
        assert codes == ["KV_PUT"]


async def test_a_write_answers_at_its_deadline():
    async with running() as api:
        api.peer.trouble = Trouble.SILENT
        loop = asyncio.get_running_loop()
        begun = loop.time()
        (await api.put("/kv/a?timeout=50ms", {"value": 1})).problem("outcome_unknown", 504)
        assert loop.time() - begun < 2


async def test_an_idempotency_key_belongs_to_one_request():
    async with running() as api:
        headers = {"Idempotency-Key": "k"}
        first = await api.put("/kv/a", {"value": 1}, headers=headers)
        again = await api.put("/kv/a", {"value": 1}, headers=headers)
        assert again.json == first.json
        assert again.status == 201
        other = await api.put("/kv/a", {"value": 2}, headers=headers)
        other.problem(other.json["code"], other.json["status"])
        assert other.status in (409, 422)
        assert (await api.get("/kv/a")).json["value"] == 1


async def test_a_repeat_that_comes_too_late_is_refused_instead_of_applied_again():
    async with running() as api:
        day_ms = 24 * 3_600_000
        api.peer.lone.advance(2 * day_ms)
        api.peer.do(kv_put("x", 1))
        clock_ms = (await api.get("/raft/status")).json["clock_ms"]
        late = {"Idempotency-Key": "late", "Replicante-First-Attempt-Ms": "1"}
        (await api.put("/kv/a", {"value": 1}, headers=late)).problem("outcome_expired", 409)
        (await api.get("/kv/a")).problem("not_found", 404)
        early = {"Idempotency-Key": "k", "Replicante-First-Attempt-Ms": str(clock_ms)}
        assert (await api.put("/kv/a", {"value": 1}, headers=early)).status == 201


async def test_a_full_store_refuses_writes_and_takes_deletions():
    async with running() as api:
        await api.put("/kv/a", {"value": 1})
        api.room.used_fraction = 0.95
        body = (await api.put("/kv/a", {"value": 2})).problem("storage_full", 507)
        assert body["definite"] is True
        mixed = [{"op": "kv.delete", "key": "a"}, {"op": "kv.put", "key": "b", "value": 1}]
        (await api.post("/batch", {"operations": mixed})).problem("storage_full", 507)
        assert (await api.get("/kv/a")).json["value"] == 1
        assert (await api.post("/batch", {"operations": mixed[:1]})).status == 200
        (await api.delete("/kv/a")).problem("not_found", 404)


async def test_a_backlog_that_fills_the_store_can_be_worked_off():
    """A worker needs a lease, a queue that is not paused, claims and acknowledgements."""
    async with running() as api:
        for body in (1, 2):
            assert (await api.post("/queues/q/jobs", {"body": body})).status == 201
        await api.post("/queues/q/pause", {"reason": "x"})
        api.room.used_fraction = 0.94
        assert (await api.post("/queues/q/resume", {})).status == 200
        assert (await api.post("/leases/worker/acquire", {"duration": "10s"})).status == 200
        (item,) = (await api.post("/queues/q/claim", {})).json["items"]
        ack = {"token": item["token"]}
        assert (await api.post(f"/queues/q/jobs/{item['id']}/ack", ack)).status == 200
        (await api.post("/queues/q/jobs", {"body": 3})).problem("storage_full", 507)
        api.room.used_fraction = 0.96
        (await api.post("/queues/q/claim", {})).problem("storage_full", 507)


async def test_a_store_that_cannot_write_what_it_has_takes_deletions_only():
    async with running() as api:
        await api.put("/kv/a", {"value": 1})
        api.room.is_map_full = True
        refused = (await api.put("/kv/a", {"value": 2})).problem("storage_full", 507)
        assert refused["details"]["is_map_full"] and "state_map_bytes" in str(refused["hints"])
        assert (await api.delete("/kv/a")).status == 200


async def test_the_last_finaliser_can_be_taken_away_from_what_is_being_deleted():
    async with running() as api:
        document = {
            "apiVersion": "replicante.io/v0",
            "kind": "namespace",
            "metadata": {"name": "n1", "finalisers": ["keep"]},
        }
        await api.post("/apply", document)
        path = "/object/replicante.io/v0/namespace/n1"
        await api.delete(path)
        api.room.used_fraction = 0.94
        (await api.post("/apply", document)).problem("storage_full", 507)
        found = await api.get(path)
        document["metadata"]["finalisers"] = []
        match = {"If-Match": found.headers["ETag"]}
        assert (await api.ask("POST", "/api/v0/apply", json=document, headers=match)).status == 200
        (await api.get(path)).problem("not_found", 404)


async def test_a_batch_answers_each_operation():
    async with running() as api:
        operations = [
            {"op": "kv.put", "key": "a", "value": {"n": 1}},
            {"op": "kv.put", "key": "a", "value": 2, "is_new": True},
            {"op": "kv.delete", "key": "missing"},
            {
                "op": "object.apply",
                "object": {
                    "apiVersion": "replicante.io/v0",
                    "kind": "namespace",
                    "metadata": {"name": "n1"},
                },
            },
            {"op": "object.delete", "kind": "NAMESPACE", "scope": ["n1"]},
            {"op": "kv.delete", "key": "a"},
        ]
        answer = await api.post("/batch", {"operations": operations})
        assert answer.status == 200
        items = answer.json["items"]
        assert [one["status"] for one in items] == [201, 412, 404, 201, 200, 200]
        assert items[1]["problem"]["code"] == "revision_mismatch"
        assert items[1]["problem"]["details"]["revision"] == items[0]["revision"]
        assert (items[3]["kind"], items[3]["id"]) == ("Namespace", "n1")
        assert "problem" not in items[0]
        assert answer.json["index"] == int(answer.headers["Replicante-Index"])
        for one in items:
            if "revision" in one:
                assert stamp_index(parse_stamp(one["revision"])) == answer.json["index"]


async def test_a_batch_acknowledges_renews_and_gives_back():
    async with running() as api:
        await api.post("/queues/mail/jobs", [{"body": n} for n in range(3)])
        claimed = (await api.post("/queues/mail/claim", {"max": 3, "worker": "w"})).json["items"]
        one, two, three = (
            {"queue": "mail", "id": it["id"], "token": it["token"]} for it in claimed
        )
        held = (await api.post("/leases/l/acquire", {"duration": "10s"})).json["token"]
        operations = [
            {"op": "queue.ack", **one},
            {"op": "queue.ack", **one},
            {"op": "queue.nack", **two, "delay": "1m", "reason": "busy"},
            {"op": "queue.extend", **three, "visibility_timeout": "2m"},
            {"op": "lease.renew", "name": "l", "token": held, "duration": "20s"},
            {"op": "lease.acquire", "name": "l", "duration": "5s", "owner": {"host": "b"}},
            {"op": "lease.release", "name": "l", "token": held},
            {"op": "lease.acquire", "name": "l", "duration": "5s", "owner": {"host": "b"}},
            {"op": "kv.put", "key": "done", "value": 1},
        ]
        answer = await api.post("/batch", {"operations": operations})
        items = answer.json["items"]
        assert [it["status"] for it in items] == [200, 409, 200, 200, 200, 409, 200, 200, 201]
        assert [it.get("problem", {}).get("code") for it in items if "problem" in it] == [
            "stale_token",
            "lease_held",
        ]
        assert (items[0]["key"], items[0]["id"]) == ("mail", one["id"])
        (lease,) = (await api.get("/leases")).json["items"]
        assert (lease["token"], lease["owner"]) == (items[7]["revision"], {"host": "b"})
        assert (await api.get("/queues/mail")).json["claimed"] == 1


async def test_a_batch_moves_a_consumer_beside_what_was_done_with_its_events():
    async with running() as api:
        await api.put("/kv/a", {"value": 1})
        head = (await api.get("/events")).json["head"]
        operations = [
            {"op": "consumer.put", "name": "c", "position": head, "is_new": True},
            {"op": "kv.put", "key": "copied", "value": head},
            {"op": "consumer.put", "name": "c", "is_new": True},
            {"op": "consumer.delete", "name": "none"},
        ]
        items = (await api.post("/batch", {"operations": operations})).json["items"]
        assert [it["status"] for it in items] == [201, 201, 412, 404]
        assert (items[0]["id"], items[3]["id"]) == ("c", "none")
        assert items[3]["problem"]["detail"] == "There is no consumer 'none'."
        kept = (await api.get("/events/consumers/c")).json
        assert (kept["position"], kept["revision"]) == (head, items[0]["revision"])
        gone = {
            "operations": [{"op": "consumer.delete", "name": "c", "if_match": kept["revision"]}]
        }
        assert [it["status"] for it in (await api.post("/batch", gone)).json["items"]] == [200]
        assert (await api.get("/events/consumers/c")).status == 404


@pytest.mark.parametrize(
    ("operations", "path"),
    [
        ([{"op": "consumer.put", "name": "c", "position": "x"}], "operations[0].position"),
        ([{"op": "queue.ack", "queue": "q", "id": "0", "token": "5"}], "operations[0].id"),
        ([{"op": "queue.ack", "queue": "q", "id": "5", "token": "0"}], "operations[0].token"),
        (
            [{"op": "queue.ack", "queue": "q", "id": "5", "token": "5", "operations": []}],
            "operations[0].operations",
        ),
        (
            [{"op": "queue.nack", "queue": "q", "id": "5", "token": "5", "delay": "99d"}],
            "operations[0].delay",
        ),
        (
            [{"op": "lease.acquire", "name": "l", "duration": "1ms"}],
            "operations[0].duration",
        ),
        ([{"op": "lease.renew", "name": "", "token": "5"}], "operations[0].name"),
        ([], "operations"),
        ([{"op": "kv.put", "key": "a", "value": 1}] * 1_001, "operations"),
        ([{"op": "queue.nothing"}], "operations[0].op"),
        ([{"key": "a"}], "operations[0].op"),
        ([{"op": "kv.put", "key": "a"}], "operations[0].value"),
        ([{"op": "kv.delete", "key": "a", "x": 1}], "operations[0].x"),
        ([{"op": "kv.delete", "key": ""}], "operations[0].key"),
        ([{"op": "kv.delete", "key": "a" * 385}], "operations[0].key"),
        ([{"op": "kv.delete", "key": "a", "if_match": "x"}], "operations[0].if_match"),
        (
            [{"op": "kv.delete", "key": "a"}, {"op": "kv.put", "key": "a", "value": [1 << 70]}],
            "operations[1].value[0]",
        ),
        (
            [{"op": "kv.put", "key": "a", "value": 1, "if_match": "5", "is_new": True}],
            "operations[0].if_match",
        ),
        ([{"op": "object.apply", "object": {"kind": "x"}}], "operations[0].object.apiVersion"),
        ([{"op": "object.delete", "kind": "namespace", "scope": ["-"]}], "operations[0].scope[0]"),
        ("no list", "operations"),
    ],
)
async def test_a_bad_batch_names_the_operation_and_does_nothing(operations, path):
    async with running() as api:
        body = (await api.post("/batch", {"operations": operations})).problem("invalid", 400)
        assert body["path"] == path
        assert api.peer.proposals_count == 0


async def test_the_largest_batch_is_taken_off_the_loop():
    async with running() as api:
        operations = [{"op": "kv.put", "key": f"k{i:04}", "value": "x" * 100} for i in range(1_000)]
        answer = await api.post("/batch", {"operations": operations})
        assert {one["status"] for one in answer.json["items"]} == {201}
        assert len(answer.json["items"]) == 1_000


async def test_the_outcome_of_a_batch_is_kept_with_its_key():
    async with running() as api:
        operations = {
            "operations": [
                {"op": "kv.put", "key": "a", "value": 1},
                {"op": "kv.delete", "key": "b"},
            ]
        }
        await api.post("/batch", operations, headers={"Idempotency-Key": "k"})
        kept = (await api.get("/requests/k")).json
        assert kept["status"] == 200
        assert [one["status"] for one in kept["items"]] == [201, 404]
        assert kept["idempotency_key"] == "k"
        assert kept["index"] > 0


async def test_an_idempotency_key_that_cannot_be_one_is_refused():
    async with running() as api:
        (await api.get("/requests/" + "k" * 129)).problem("invalid", 400)
        (await api.get("/requests/")).problem("invalid", 400)
        (await api.get("/requests/never")).problem("not_found", 404)


async def test_revisions_are_stamps_of_the_entry():
    async with running() as api:
        put = await api.put("/kv/a", {"value": 1})
        stamp = parse_stamp(put.json["revision"])
        assert format_stamp(stamp) == put.json["revision"]
        assert stamp_index(stamp) == int(put.headers["Replicante-Index"])
        assert put.headers["Replicante-Consistency"] == "linearizable"


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/txn", {"then": [{"op": "put", "key": "a", "value": 1}]}, ("is_success", "is_success")),
        (
            "/txn",
            {
                "compares": [{"check": "present", "key": "a"}],
                "otherwise": [{"op": "get", "key": "a"}],
            },
            ("is_success", "is_success"),
        ),
        ("/queues/q/jobs", [{"body": 1}, {"body": 2, "dedup": "d"}], ("items", "items")),
        ("/queues/q/claim", {"max": 5}, ("items", "items")),
        ("/queues/none/claim", {}, ("items", "items")),
        ("/queues/q/purge", {"reason": "x", "max": 1}, ("moved", "left", "next")),
        ("/queues/q/redrive", {}, ("moved", "left")),
    ],
)
async def test_what_is_remembered_of_an_answer_can_be_asked_for(path, body, told):
    async with running() as api:
        await api.post("/queues/q/jobs", [{"body": n} for n in range(3)])
        answer = await api.post(path, body, headers={"Idempotency-Key": "k"})
        kept = await api.get("/requests/k")
        assert (kept.status, kept.json["status"]) == (200, answer.status)
        for name in told:
            found = answer.json[name]
            if isinstance(found, list):
                # Bodies and times are no part of what is remembered.
                found = [{n: it[n] for n in it if n not in ("body", "expires_in")} for it in found]
            assert kept.json["body"][name] == found
        if "claim" in path or "jobs" in path:
            assert len(kept.json["items"]) == len(answer.json["items"])
