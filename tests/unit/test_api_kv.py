from __future__ import annotations

import msgpack
import pytest
from api_harness import running
from hypothesis import given, settings
from hypothesis import strategies as st

from replicante.client import Client
from replicante.testing.builders import kv_put
from replicante.wire.paths import kv_path

HEADERS = (
    "Replicante-Index",
    "Replicante-Served-By",
    "Replicante-Leader",
    "Replicante-Consistency",
    "Replicante-Staleness-Ms",
    "Replicante-Request-Id",
    "Replicante-Clock-Ms",
)


async def test_a_record_is_created_replaced_read_and_removed():
    async with running() as api:
        created = await api.put("/kv/a", {"value": {"x": [1, 2.5, None, "é"]}, "lease": None})
        assert created.status == 201
        revision = created.json["revision"]
        assert created.json == {
            "key": "a",
            "value": {"x": [1, 2.5, None, "é"]},
            "revision": revision,
        }
        assert len(revision) == 19
        assert created.headers["ETag"] == f'"{revision}"'
        read = await api.get("/kv/a")
        assert (read.status, read.json) == (200, created.json)
        replaced = await api.put("/kv/a", {"value": None})
        assert replaced.status == 200
        assert replaced.json["revision"] > revision
        removed = await api.delete("/kv/a")
        assert removed.status == 200
        assert removed.json["key"] == "a"
        assert removed.json["revision"] > replaced.json["revision"]
        (await api.get("/kv/a")).problem("not_found", 404)
        (await api.delete("/kv/a")).problem("not_found", 404)


async def test_every_answer_says_index_age_and_who_served_it():
    async with running() as api:
        await api.put("/kv/a", {"value": 1})
        for answer in (
            await api.get("/kv/a"),
            await api.get("/kv/missing"),
            await api.get("/kv?prefix=a"),
            await api.put("/kv/a", {"value": 2}),
            await api.get("/events"),
            await api.get("/status"),
            await api.get("/raft/status"),
            await api.get("/list/replicante.io/v0/namespace"),
            await api.get("/nothing"),
            await api.post("/batch", {"operations": []}),
            await api.ask("GET", "/metrics"),
        ):
            assert [name for name in HEADERS if name not in answer.headers] == []
            assert answer.headers["Replicante-Served-By"] == "p1"
            assert answer.headers["Replicante-Leader"] == "p1"
        read = await api.get("/kv/a")
        assert read.headers["Replicante-Index"] == str(api.peer.applied_index)
        assert read.headers["Replicante-Consistency"] == "linearizable"
        assert read.headers["Replicante-Staleness-Ms"] == "3"


KEYS = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40),
    st.lists(
        st.sampled_from(["/", "%2F", "%", "..", ".", "//", " ", "?", "#", "a", "é", "\n", "\0"]),
        min_size=1,
        max_size=12,
    ).map("".join),
).filter(lambda key: len(key.encode()) <= 384)


@settings(max_examples=25, deadline=None)
@given(st.lists(KEYS, min_size=1, max_size=6, unique=True))
async def test_any_key_survives_client_server_and_store(keys):
    async with running() as api:
        for i, key in enumerate(keys):
            put = await api.ask("PUT", kv_path(key), value={"value": i})
            assert (put.status, put.json["key"]) == (201, key)
        for i, key in enumerate(keys):
            read = await api.ask("GET", kv_path(key))
            assert read.json["key"] == key
            assert read.json["value"] == i
        listed = await api.get("/kv?limit=1000")
        found = {item["key"]: item["value"] for item in listed.json["items"]}
        assert found == {key: i for i, key in enumerate(keys)}


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/kv/a/b", "a/b"),
        ("/kv/a%2Fb", "a/b"),
        ("/kv/a%2fb", "a/b"),
        ("/kv/a%252Fb", "a%2Fb"),
        ("/kv/..", ".."),
        ("/kv/a/../b", "a/../b"),
        ("/kv//a//", "/a//"),
        ("/kv/%2E%2E", ".."),
        ("/kv/%00", "\0"),
        ("/kv/a+b", "a+b"),
        ("/kv/a;b=c&d", "a;b=c&d"),
    ],
)
async def test_a_key_is_the_raw_rest_of_the_path_decoded_once(path, key):
    async with running() as api:
        put = await api.put(path, {"value": 1})
        assert (put.status, put.json["key"]) == (201, key)
        assert [one["key"] for one in (await api.get("/kv")).json["items"]] == [key]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/kv/", "key"),
        ("/kv/%", "key"),
        ("/kv/%zz", "key"),
        ("/kv/%ff", "key"),
        ("/kv/%ed%a0%80", "key"),
        ("/kv/" + "a" * 385, "key"),
        ("/kv/a?wait=1x", "?wait"),
        ("/kv/a?consistency=strong", "?consistency"),
        ("/kv/a?max_stale_ms=5", "?max_stale_ms"),
        ("/kv/a?consistency=bounded&max_stale_ms=-1", "?max_stale_ms"),
        ("/kv/a?after_index=x", "?after_index"),
        ("/kv/a?after_index=99999999999999999999", "?after_index"),
        ("/kv/a?nope=1", "?nope"),
        ("/kv/a?timeout=0s", "?timeout"),
        ("/kv/a?timeout=2m", "?timeout"),
        ("/kv/a?timeout=1s&timeout=1s", "?timeout"),
        ("/kv/a?consistency=%ff", "?"),
        ("/kv?limit=0", "?limit"),
        ("/kv?limit=1001", "?limit"),
        ("/kv?limit=ten", "?limit"),
        ("/kv?cursor=abc", "?cursor"),
        ("/kv?cursor=", "?cursor"),
        ("/kv?cursor=" + "A" * 2_000, "?cursor"),
        ("/kv?prefix=" + "a" * 385, "?prefix"),
        ("/kv?from=" + "a" * 385, "?from"),
        ("/kv?to=" + "a" * 385, "?to"),
    ],
)
async def test_a_bad_path_or_parameter_is_named(path, field):
    async with running() as api:
        assert (await api.get(path)).problem("invalid", 400)["path"] == field


async def test_a_range_of_keys_alone_brings_no_values_and_the_same_pages():
    async with running() as api, Client([api.server.url]) as client:
        for i in range(5):
            api.peer.do(kv_put(f"k{i}", {"n": i}))
        whole = (await api.get("/kv?prefix=k&limit=2")).json
        keys = (await api.get("/kv?prefix=k&limit=2&keys_only=true")).json
        assert keys["next"] == whole["next"] is not None
        assert keys["items"] == [
            {name: it[name] for name in ("key", "revision")} for it in whole["items"]
        ]
        found = [item async for item in client.kv.keys("k", from_key="k1", page_items=2)]
        assert [item.key for item in found] == ["k1", "k2", "k3", "k4"]
        (await api.get("/kv?keys_only=yes")).problem("invalid", 400)


async def test_a_range_is_paged_in_byte_order():
    async with running() as api:
        keys = ["a", "a/1", "a/2", "aé", "b", "é"]
        for key in reversed(keys):
            api.peer.do(kv_put(key, key))
        pages, cursor = [], ""
        while True:
            page = (await api.get(f"/kv?limit=2{cursor}")).json
            pages.append([one["key"] for one in page["items"]])
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert [key for page in pages for key in page] == sorted(keys, key=str.encode)
        assert [len(page) for page in pages] == [2, 2, 2]
        prefixed = (await api.get("/kv?prefix=a%2F")).json
        assert [one["key"] for one in prefixed["items"]] == ["a/1", "a/2"]
        between = (await api.get("/kv?from=a%2F1&to=b")).json
        assert [one["key"] for one in between["items"]] == ["a/1", "a/2", "aé"]
        part = (await api.get("/kv?prefix=a&from=a%2F1&to=b&limit=2")).json
        rest = (await api.get(f"/kv?prefix=a&from=a%2F1&to=b&cursor={part['next']}")).json
        assert [one["key"] for one in part["items"] + rest["items"]] == ["a/1", "a/2", "aé"]
        assert (await api.get("/kv?from=b&to=a")).json["items"] == []
        objects = (await api.get("/list/replicante.io/v0/namespace?limit=1")).json
        assert objects == {"items": [], "next": None}


async def test_conditions_compare_and_set():
    async with running() as api:
        fresh = {"If-None-Match": "*"}
        first = await api.put("/kv/a", {"value": 1}, headers=fresh)
        assert first.status == 201
        body = (await api.put("/kv/a", {"value": 2}, headers=fresh)).problem(
            "revision_mismatch", 412
        )
        assert body["details"]["revision"] == first.json["revision"]
        assert body["index"] > 0
        held = {"If-Match": first.headers["ETag"]}
        second = await api.put("/kv/a", {"value": 3}, headers=held)
        assert second.status == 200
        stale = (await api.put("/kv/a", {"value": 4}, headers=held)).problem(
            "revision_mismatch", 412
        )
        assert stale["details"]["revision"] == second.json["revision"]
        (await api.delete("/kv/a", headers=held)).problem("revision_mismatch", 412)
        (await api.put("/kv/b", {"value": 1}, headers={"If-Match": "*"})).problem(
            "revision_mismatch", 412
        )
        assert (await api.delete("/kv/a", headers={"If-Match": "*"})).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"If-Match": "5"},
        {"If-Match": '"x"'},
        {"If-Match": '"0"'},
        {"If-Match": 'W/"0000000000000065537"'},
        {"If-Match": '"1", "2"'},
        {"If-None-Match": '"1"'},
        {"If-None-Match": "*", "If-Match": "*"},
        {"Idempotency-Key": ""},
        {"Idempotency-Key": "with space"},
        {"Idempotency-Key": "x" * 129},
        {"Replicante-First-Attempt-Ms": "5"},
        {"Replicante-First-Attempt-Ms": "x", "Idempotency-Key": "k"},
    ],
)
async def test_a_bad_condition_is_refused_before_anything_happens(headers):
    async with running() as api:
        (await api.put("/kv/a", {"value": 1}, headers=headers)).problem("invalid", 400)
        assert api.peer.proposals_count == 0


async def test_a_condition_where_none_is_taken_is_not_ignored():
    async with running() as api:
        operations = {"operations": [{"op": "kv.put", "key": "a", "value": 1}]}
        (await api.post("/batch", operations, headers={"If-Match": '"1"'})).problem("invalid", 400)
        assert api.peer.proposals_count == 0


async def test_msgpack_is_spoken_when_asked():
    async with running() as api:
        packed = {"Content-Type": "application/msgpack", "Accept": "application/x-msgpack"}
        put = await api.ask(
            "PUT", "/api/v0/kv/a", data=msgpack.packb({"value": [1, "é"]}), headers=packed
        )
        assert put.headers["Content-Type"] == "application/msgpack"
        assert msgpack.unpackb(put.body)["value"] == [1, "é"]
        read = await api.get("/kv/a", headers={"Accept": "application/msgpack"})
        assert msgpack.unpackb(read.body) == msgpack.unpackb(put.body)
        assert (await api.get("/kv/a")).json["value"] == [1, "é"]
        (await api.get("/kv/b", headers=packed)).problem("not_found", 404)


@pytest.mark.parametrize("accept", ["text/html", "image/*", "application/json;q=0", "nonsense"])
async def test_an_answer_that_nobody_can_read_is_refused(accept):
    async with running() as api:
        (await api.get("/kv/a", headers={"Accept": accept})).problem("not_acceptable", 406)


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/*", "text/html, application/json;q=0.5", "text/html,*/*;q=0.1", ""],
)
async def test_json_is_the_default(accept):
    async with running() as api:
        read = await api.get("/kv", headers={"Accept": accept})
        assert read.headers["Content-Type"] == "application/json"


async def test_a_key_is_bound_to_a_lease_by_its_token_and_vanishes_with_it():
    async with running() as api:
        grant = await api.post("/leases/l/acquire", {"duration": "10s"})
        token = grant.json["token"]
        put = await api.put("/kv/a", {"value": 1, "lease": token})
        assert put.json["lease"] == token
        assert (await api.get("/kv/a")).json == put.json
        operation = {"op": "kv.put", "key": "b", "value": 1, "lease": token}
        await api.post("/batch", {"operations": [operation]})
        assert (await api.get("/kv/b")).json["lease"] == token
        await api.post("/leases/l/release", {"token": token})
        (await api.get("/kv/a")).problem("not_found", 404)
        assert (await api.get("/kv?prefix=")).json["items"] == []
        refused = await api.put("/kv/a", {"value": 1, "lease": token})
        refused.problem("stale_token", 409)


@pytest.mark.parametrize("lease", ["l", "", "0", "99999999999999999999"])
async def test_a_lease_that_is_no_token_is_refused(lease):
    async with running() as api:
        body = (await api.put("/kv/a", {"value": 1, "lease": lease})).problem("invalid", 400)
        assert body["path"] == "lease"
        operation = {"op": "kv.put", "key": "b", "value": 1, "lease": lease}
        body = (await api.post("/batch", {"operations": [operation]})).problem("invalid", 400)
        assert body["path"] == "operations[0].lease"


@pytest.mark.parametrize("consistency", ["linearizable", "bounded", "stale"])
async def test_what_is_not_there_was_seen_as_consistently_as_asked(consistency):
    async with running() as api:
        answer = await api.get(f"/kv/none?consistency={consistency}")
        assert answer.status == 404
        assert answer.headers["Replicante-Consistency"] == consistency
