from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import pytest
from api_harness import LIMIT_S, PREFIX, running, until
from yarl import URL

from replicante import limits
from replicante.api.context import ApiSettings
from replicante.api.event_lines import rfc3339
from replicante.ids import format_stamp
from replicante.state.commands import SetEventRetention
from replicante.testing.builders import kv_put, put_namespace

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
OPEN = "replicante_event_streams"
ENDED = "replicante_event_streams_ended_total"


class Reader:
    """Reads a stream one event at a time."""

    def __init__(self, response):
        self.response = response
        self.headers = response.headers

    async def line(self):
        """The next NDJSON object; None at the end."""
        async with asyncio.timeout(LIMIT_S):
            raw = await self.response.content.readline()
        return json.loads(raw) if raw else None

    async def event(self):
        """The next server-sent event as its fields; None at the end."""
        fields = {}
        async with asyncio.timeout(LIMIT_S):
            while raw := await self.response.content.readline():
                text = raw.decode().rstrip("\n")
                if not text:
                    return fields
                name, _, value = text.partition(": ")
                fields[name] = json.loads(value) if name == "data" else value
        return None

    async def fact(self):
        """The next event that is no heartbeat, in either format."""
        is_sse = self.headers["Content-Type"].startswith(SSE)
        while True:
            found = await (self.event() if is_sse else self.line())
            if found is None:
                return None
            kind = found.get("event") if is_sse else found.get("type")
            if kind != "heartbeat":
                return found


@asynccontextmanager
async def streaming(api, path="/events", *, accept=SSE, headers=None):
    url = URL(api.server.url + PREFIX + path, encoded=True)
    sent = {"Accept": accept, **(headers or {})}
    async with api.session.get(url, headers=sent) as response:
        assert response.status == 200, await response.read()
        assert response.headers["Content-Type"].startswith(accept)
        yield Reader(response)


async def test_a_page_has_the_promised_shape():
    async with running() as api:
        api.peer.do(put_namespace("n1"), request_id="r1")
        api.peer.do(kv_put("k", {"v": 1}))
        page = (await api.get("/events")).json
        assert set(page) == {"items", "next", "floor", "head"}
        first, second = page["items"]
        assert set(first) == {
            *("id", "seq", "chain", "index", "code", "time"),
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


async def test_server_sent_events_resume_after_the_last_one_seen():
    async with running() as api:
        for i in range(3):
            api.peer.do(kv_put(f"k{i}", i))
        async with streaming(api) as stream:
            beat = await stream.event()
            assert beat["event"] == "heartbeat"
            assert beat["data"]["index"] == 3
            assert beat["data"]["staleness_ms"] == 3
            first = await stream.fact()
            second = await stream.fact()
            assert first["id"] == first["data"]["id"]
            assert [first["data"]["key"], second["data"]["key"]] == ["k0", "k1"]
        headers = {"Last-Event-ID": second["id"]}
        async with streaming(api, "/events?after=0", headers=headers) as stream:
            assert (await stream.fact())["data"]["key"] == "k2"
            api.peer.do(kv_put("k3", 3))
            assert (await stream.fact())["data"]["seq"] == 4


@pytest.mark.parametrize("accept", [SSE, NDJSON])
async def test_old_and_new_events_come_once_and_in_order(accept):
    async with running() as api:
        for i in range(limits.EVENT_SCAN_ITEMS_MAX + 7):
            api.peer.do(kv_put("k", i))
        async with streaming(api, accept=accept) as stream:
            seqs = []
            for i in range(limits.EVENT_SCAN_ITEMS_MAX + 57):
                if i >= 100 and i % 2:
                    api.peer.do(kv_put("k", i))
                fact = await stream.fact()
                seqs.append((fact["data"] if accept == SSE else fact)["seq"])
        assert seqs == list(range(1, len(seqs) + 1))


async def test_a_hundred_streams_see_the_same():
    async with running() as api:

        async def follow():
            async with streaming(api, "/events?limit=20", accept=NDJSON) as stream:
                found = []
                while (line := await stream.fact()) and line.get("type") is None:
                    found.append(line["chain"])
                return found, line["reason"]

        readers = [asyncio.create_task(follow()) for _ in range(100)]
        for i in range(20):
            api.peer.do(kv_put("k", i))
            await asyncio.sleep(0)
        results = await asyncio.gather(*readers)
        chains, reason = results[0]
        assert len(chains) == 20
        assert reason == "limit"
        assert all(one == (chains, reason) for one in results)


async def test_a_filtered_stream_moves_its_cursor_with_heartbeats():
    async with (
        running(settings=ApiSettings(heartbeat_ms=5)) as api,
        streaming(api, "/events?key=nothing", accept=NDJSON) as stream,
    ):
        assert (await stream.line())["after"] == "0" * 19
        api.peer.do(kv_put("a", 1))
        while (beat := await stream.line())["after"] == "0" * 19:
            assert beat["type"] == "heartbeat"
        assert beat["index"] == 1


async def test_only_new_events_come_after_head():
    async with running() as api:
        api.peer.do(kv_put("old", 1))
        async with streaming(api, "/events?after=head", accept=NDJSON) as stream:
            assert (await stream.line())["type"] == "heartbeat"
            api.peer.do(kv_put("new", 2))
            assert (await stream.fact())["key"] == "new"


@pytest.mark.parametrize("staleness", [None, 10_000])
async def test_a_stream_of_a_peer_that_lost_touch_ends_with_a_word(staleness):
    quick = ApiSettings(heartbeat_ms=5, stale_stream_ms=30)
    async with running(settings=quick) as api, streaming(api) as stream:
        api.peer.do(kv_put("a", 1))
        fact = await stream.fact()
        api.peer.staleness = staleness
        end = await stream.fact()
        assert end["event"] == "stale"
        assert end["data"]["after"] == end["id"] == fact["id"]
        assert await stream.fact() is None
    assert api.counted(ENDED, format="sse", reason="out_of_touch") == 1


@pytest.mark.parametrize("accept", [SSE, NDJSON])
async def test_a_stream_ends_with_a_word_when_the_peer_stops(accept):
    async with running() as api, streaming(api, accept=accept) as stream:
        assert await (stream.event() if accept == SSE else stream.line())
        stopping = asyncio.create_task(api.server.stop())
        end = await stream.fact()
        assert (end["data"] if accept == SSE else end)["reason"] == "stopping"
        assert await stream.fact() is None
        await stopping


async def test_a_stream_that_falls_behind_the_floor_is_told():
    async with running() as api, streaming(api, accept=NDJSON) as stream:
        assert (await stream.line())["type"] == "heartbeat"
        api.peer.do(SetEventRetention(count_max=5, bytes_max=1 << 30, age_ms_max=1 << 40))
        for i in range(600):
            api.peer.do(kv_put("k", i))
        for _ in range(10):
            api.peer.lone.tick()
        while (line := await stream.fact()).get("type") is None:
            pass
        assert (line["type"], line["reason"]) == ("gone", "history_gone")
        assert line["floor"] > line["after"]


async def test_a_reader_that_takes_nothing_is_cut_off():
    quick = ApiSettings(write_ms_max=50, heartbeat_ms=10_000)
    async with running(settings=quick) as api:
        # More than the buffers of two sockets hold.
        for i in range(16 * limits.MIB // limits.EVENT_VALUE_BYTES_MAX):
            api.peer.do(kv_put(f"k{i}", "x" * (limits.EVENT_VALUE_BYTES_MAX - 8)))
        reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port, limit=1_024)
        writer.write(
            b"GET /api/v0/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        )
        reader._transport.pause_reading()
        await until(lambda: api.counted(ENDED, format="sse", reason="slow_reader") == 1)
        assert api.counted(OPEN, format="sse") == 0
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_streams_beyond_the_bound_are_sent_elsewhere():
    async with running(settings=ApiSettings(streams_max=1)) as api:
        async with streaming(api) as stream:
            await stream.event()
            for accept in (SSE, NDJSON):
                answer = await api.get("/events", headers={"Accept": accept})
                answer.problem("too_many_streams", 503)
            assert (await api.get("/events")).status == 200
            (await api.get("/events?wait=1s")).problem("too_many_streams", 503)
        await until(lambda: api.counted(OPEN, format="sse") == 0)
        async with streaming(api) as stream:
            assert await stream.event()


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
