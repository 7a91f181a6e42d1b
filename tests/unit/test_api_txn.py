from __future__ import annotations

import pytest
from api_harness import running

from replicante.limits import REQUEST_OPERATIONS_MAX


def put(key, value, **fields):
    return {"op": "put", "key": key, "value": value, **fields}


async def test_the_branch_of_the_comparisons_is_carried_out():
    async with running() as api:
        created = await api.put("/kv/a", {"value": {"n": 1}})
        revision = created.json["revision"]
        compares = [
            {"check": "present", "key": "a"},
            {"check": "absent", "key": "b"},
            {"check": "revision_equals", "key": "a", "revision": revision},
            {"check": "revision_less", "key": "a", "revision": "9223372036854775807"},
            {"check": "revision_greater", "key": "a", "revision": "1"},
            {"check": "value_equals", "key": "a", "value": {"n": 1}},
        ]
        then = [
            {"op": "get", "key": "a"},
            put("a", 2),
            {"op": "delete", "key": "nothing"},
            {"op": "get", "key": "nothing"},
            {"op": "delete", "key": "a"},
        ]
        body = {"compares": compares, "then": then, "otherwise": [put("c", 1)]}
        done = await api.post("/txn", body)
        assert done.status == 200
        assert done.json["is_success"]
        assert done.json["index"] == int(done.headers["Replicante-Index"])
        got, written, nothing, missing, removed = done.json["results"]
        assert got == {"op": "get", "key": "a", "revision": revision, "value": {"n": 1}}
        assert revision < written["revision"] < removed["revision"]
        assert nothing == {"op": "delete", "key": "nothing", "revision": None}
        assert missing == {"op": "get", "key": "nothing", "revision": None, "value": None}
        again = await api.post("/txn", body)
        assert not again.json["is_success"]
        assert [one["key"] for one in again.json["results"]] == ["c"]


async def test_a_repeat_answers_revisions_without_values():
    async with running() as api:
        await api.put("/kv/a", {"value": 1})
        body = {"then": [{"op": "get", "key": "a"}, put("b", 1)]}
        headers = {"Idempotency-Key": "k"}
        first = await api.post("/txn", body, headers=headers)
        again = await api.post("/txn", body, headers=headers)
        assert again.headers["Replicante-Replayed"] == "true"
        assert first.json["results"][0].pop("value") == 1
        expected = first.json["results"]
        del expected[0]["value"]
        assert again.json["results"] == expected
        outcome = await api.get("/requests/k")
        assert outcome.json["status"] == 200
        assert [one["status"] for one in outcome.json["items"]] == [200, 201]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, ""),
        ({"then": [{"op": "get", "key": ""}]}, "then[0].key"),
        ({"then": [{"op": "get"}]}, "then[0].key"),
        ({"then": [{"op": "patch", "key": "a"}]}, "then[0].op"),
        ({"then": [put("a", 1, lease="x")]}, "then[0].lease"),
        ({"then": [put("a", 1, if_match="1")]}, "then[0].if_match"),
        ({"otherwise": [put("a", [0] * 2, lease="0")]}, "otherwise[0].lease"),
        ({"compares": [{"check": "absent"}]}, "compares[0].key"),
        ({"compares": [{"check": "newer", "key": "a"}]}, "compares[0].check"),
        (
            {"compares": [{"check": "revision_less", "key": "a", "revision": "x"}]},
            "compares[0].revision",
        ),
        (
            {"compares": [{"check": "revision_less", "key": "a", "revision": "0"}]},
            "compares[0].revision",
        ),
        ({"compares": [{"check": "absent", "key": "a"}] * (REQUEST_OPERATIONS_MAX + 1)}, ""),
    ],
)
async def test_a_fault_is_refused_with_its_path(body, path):
    async with running() as api:
        problem = (await api.post("/txn", body)).problem("invalid", 400)
        assert problem.get("path", "") == path
        assert api.peer.proposals_count == 0


async def test_a_lost_lease_refuses_all_of_it():
    async with running() as api:
        body = {"then": [put("a", 1), put("b", 1, lease="5")]}
        (await api.post("/txn", body)).problem("stale_token", 409)
        (await api.get("/kv/a")).problem("not_found", 404)


async def test_a_full_store_refuses_writes_and_lets_deletions_through():
    async with running() as api:
        await api.put("/kv/a", {"value": 1})
        api.room.used_fraction = 0.99
        (await api.post("/txn", {"then": [put("a", 1)]})).problem("storage_full", 507)
        removing = {"then": [{"op": "get", "key": "a"}, {"op": "delete", "key": "a"}]}
        assert (await api.post("/txn", removing)).status == 200
