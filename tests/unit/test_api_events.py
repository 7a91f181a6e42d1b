from __future__ import annotations

import asyncio

import pytest
from api_harness import running, until
from stream_reader import NDJSON, OPEN, SSE

from replicante import limits
from replicante.api.event_lines import rfc3339
from replicante.ids import format_stamp
from replicante.state.commands import SetEventRetention
from replicante.testing.builders import kv_put, put_namespace


async def test_a_page_has_the_promised_shape():
    async with running() as api:
        api.peer.lone.jumps = False
        api.peer.do(put_namespace("n1"), request_id="r1")
        api.peer.do(kv_put("k", {"v": 1}))
        page = (await api.get("/events")).json
        assert set(page) == {"items", "next", "floor", "head"}
        first, second = page["items"]
        assert set(first) == {
            *("id", "seq", "chain", "index", "code", "time", "clock_ms"),
            *("ns", "cluster", "key", "payload", "cause"),
        }
        assert first["code"] == "NAMESPACE_APPLY"
        assert first["ns"] == "n1"
        assert first["cause"] == {"actor": "", "request_id": "r1"}
        assert first["time"] == "2023-11-14T22:13:20.000Z"
        assert (second["code"], second["key"], second["seq"]) == ("KV_PUT", "k", 2)
        assert second["payload"]["value"] == {"v": 1}
        assert len(second["chain"]) == 32
        assert page["next"] == page["head"] == second["id"]
        assert page["floor"] == "0" * 19


async def test_pages_follow_each_other_without_gap_or_duplicate():
    async with running() as api:
        for i in range(25):
            api.peer.do(kv_put(f"k{i}", i))
        seqs, after = [], ""
        while True:
            page = (await api.get(f"/events?limit=10{after}")).json
            if not page["items"]:
                break
            seqs += [event["seq"] for event in page["items"]]
            after = f"&after={page['next']}"
        assert seqs == list(range(1, 26))


async def test_pages_backwards_are_the_log_from_its_end():
    async with running() as api:
        for i in range(25):
            api.peer.do(kv_put(f"k{i}", i))
        seqs, before = [], "end"
        while True:
            page = (await api.get(f"/events?limit=10&before={before}")).json
            seqs += [event["seq"] for event in page["items"]]
            before = page["next"]
            if before == page["floor"]:
                break
            assert before == page["items"][-1]["id"]
        assert seqs == list(range(25, 0, -1))
        assert (await api.get(f"/events?before={before}")).json["items"] == []


async def test_a_page_backwards_passes_over_what_the_filter_leaves_out():
    async with running() as api:
        for i in range(limits.EVENT_SCAN_ITEMS_MAX + 20):
            api.peer.do(kv_put("rare" if i == 5 else "often", i))
        page = (await api.get("/events?before=end&key=rare")).json
        assert page["items"] == []
        assert page["next"] > page["floor"]
        page = (await api.get(f"/events?before={page['next']}&key=rare")).json
        assert [event["seq"] for event in page["items"]] == [6]
        assert page["next"] == page["floor"]


async def test_a_place_that_fell_below_the_floor_is_told_so_backwards_too():
    async with running() as api:
        for i in range(20):
            api.peer.do(kv_put(f"k{i}", i))
        third = (await api.get("/events?limit=3")).json["items"][-1]["id"]
        api.peer.do(SetEventRetention(count_max=5, bytes_max=1 << 30, age_ms_max=1 << 40))
        body = (await api.get(f"/events?before={third}")).problem("history_gone", 410)
        assert body["details"]["floor"] > third
        assert body["hints"]
        page = (await api.get("/events?before=end&limit=100")).json
        assert page["next"] == page["floor"] == body["details"]["floor"]
        assert page["items"][-1]["id"] > page["floor"]


@pytest.mark.parametrize("also", ["&after=0", "&wait=1s", "&before=x"])
async def test_backwards_is_asked_for_alone(also):
    async with running() as api:
        query = "before=end" + also if "before" not in also else also[1:]
        body = (await api.get(f"/events?{query}")).problem("invalid", 400)
        assert body["path"] == "?before"


@pytest.mark.parametrize("headers", [{"Accept": SSE}, {"Accept": NDJSON}, {"Last-Event-ID": "1"}])
async def test_no_stream_goes_backwards(headers):
    async with running() as api:
        answer = await api.get("/events?before=end", headers=headers)
        assert answer.problem("invalid", 400)["path"] == "?before"


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("code=KV_PUT", ["a/1", "b"]),
        ("code=KV", ["a/1", "b", "b"]),
        ("code=NAMESPACE,KV_DEL", ["n1", "b"]),
        ("ns=n1", ["n1"]),
        ("ns=other", []),
        ("cluster=c", []),
        ("key=a%2F", ["a/1"]),
        ("code=KV&key=b", ["b", "b"]),
    ],
)
async def test_events_are_filtered_and_the_cursor_goes_on(query, keys):
    async with running() as api:
        api.peer.do(put_namespace("n1"))
        api.peer.do(kv_put("a/1", 1))
        api.peer.do(kv_put("b", 1))
        await api.delete("/kv/b")
        page = (await api.get(f"/events?{query}")).json
        assert [event["key"] for event in page["items"]] == keys
        assert page["next"] == page["head"]


async def test_after_beyond_the_head_waits_and_then_is_an_empty_page():
    async with running() as api:
        api.peer.do(kv_put("a", 1))
        future = format_stamp(9_999 << 16)
        page = await api.get(f"/events?after={future}&wait=20ms")
        assert page.status == 200
        assert page.json["items"] == []
        assert page.json["next"] == future


async def test_a_long_poll_wakes_with_the_first_event_that_passes():
    async with running() as api:
        api.peer.do(kv_put("a", 1))
        after = (await api.get("/events")).json["next"]
        waiting = asyncio.create_task(api.get(f"/events?after={after}&wait=10s&key=c"))
        await until(lambda: api.counted(OPEN, format="poll") == 1)
        api.peer.do(kv_put("b", 2))
        api.peer.do(kv_put("c", 3))
        page = (await waiting).json
        assert [event["key"] for event in page["items"]] == ["c"]
        assert api.counted(OPEN, format="poll") == 0


async def test_a_long_poll_ends_when_the_server_stops():
    async with running() as api:
        waiting = asyncio.create_task(api.get("/events?wait=10m"))
        await until(lambda: api.counted(OPEN, format="poll") == 1)
        await api.server.stop()
        assert (await waiting).json["items"] == []


async def test_who_read_the_state_at_an_index_follows_from_there():
    async with running() as api:
        operations = [{"op": "kv.put", "key": f"k{i}", "value": i} for i in range(3)]
        await api.post("/batch", {"operations": operations})
        state = await api.get("/kv")
        index = state.headers["Replicante-Index"]
        api.peer.do(kv_put("later", 1))
        page = (await api.get(f"/events?after=index:{index}")).json
        assert [event["key"] for event in page["items"]] == ["later"]
        for bad in ("index:", "index:x", "index:-1", f"index:{1 << 60}"):
            body = (await api.get(f"/events?after={bad}")).problem("invalid", 400)
            assert body["path"] == "?after"


async def test_below_the_floor_the_answer_says_what_was_lost_and_how_to_go_on():
    async with running() as api:
        for i in range(20):
            api.peer.do(kv_put(f"k{i}", i))
        first = (await api.get("/events?limit=1")).json["items"][0]
        api.peer.do(SetEventRetention(count_max=5, bytes_max=1 << 30, age_ms_max=1 << 40))
        for _ in range(3):
            api.peer.lone.tick()
        body = (await api.get(f"/events?after={first['id']}")).problem("history_gone", 410)
        assert body["details"]["floor"] > first["id"]
        assert body["details"]["head"] >= body["details"]["floor"]
        assert body["hints"]
        again = await api.get(f"/events?after={body['details']['floor']}")
        assert again.json["items"]
        unasked = await api.get("/events")
        assert unasked.json["items"] == again.json["items"]
        for accept in (SSE, NDJSON):
            answer = await api.get("/events?after=0", headers={"Accept": accept})
            answer.problem("history_gone", 410)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/events?after=x", "?after"),
        ("/events?after=-1", "?after"),
        ("/events?after=99999999999999999999", "?after"),
        ("/events?limit=0", "?limit"),
        ("/events?wait=1", "?wait"),
        ("/events?nope=1", "?nope"),
        ("/events?code=" + "A," * 40, "?code"),
        ("/events?consistency=x", "?consistency"),
    ],
)
async def test_a_bad_question_about_events_is_named(path, field):
    async with running() as api:
        assert (await api.get(path)).problem("invalid", 400)["path"] == field


async def test_a_page_may_be_asked_to_be_linearizable():
    async with running() as api:
        api.peer.do(kv_put("a", 1))
        local = await api.get("/events")
        assert local.headers["Replicante-Consistency"] == "stale"
        assert api.peer.barriers_count == 0
        confirmed = await api.get("/events?consistency=linearizable")
        assert confirmed.headers["Replicante-Consistency"] == "linearizable"
        assert api.peer.barriers_count == 1


async def test_a_long_poll_whose_client_hangs_up_is_over_at_once():
    async with running() as api:
        waiting = asyncio.create_task(api.get("/events?wait=10m"))
        await until(lambda: api.counted(OPEN, format="poll") == 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await until(lambda: api.counted(OPEN, format="poll") == 0)


@pytest.mark.parametrize(
    ("wall_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        (1 << 62, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_rfc_3339(wall_ms, text):
    assert rfc3339(wall_ms) == text
