from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from api_harness import running, until
from stream_reader import ENDED, NDJSON, OPEN, SSE, streaming

from replicante import limits
from replicante.api.context import ApiSettings
from replicante.raft.status import Quarantine
from replicante.state.commands import SetEventRetention
from replicante.testing.builders import kv_put
from replicante.testing.fake_peer import Trouble


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


async def test_a_stream_ends_at_once_when_its_peer_is_quarantined():
    quick = ApiSettings(heartbeat_ms=5)
    async with running(settings=quick) as api, streaming(api) as stream:
        api.peer.do(kv_put("a", 1))
        await stream.fact()
        wrong = Quarantine(index=1, own_digest="a", digest="b")
        api.peer.base_status = replace(api.peer.base_status, quarantine=wrong)
        end = await stream.fact()
        assert (end["event"], end["data"]["reason"]) == ("stale", "quarantined")
        assert await stream.fact() is None
    assert api.counted(ENDED, format="sse", reason="quarantined") == 1


@pytest.mark.parametrize("accept", [SSE, NDJSON])
async def test_a_stream_ends_with_a_word_when_the_peer_stops(accept):
    async with running() as api, streaming(api, accept=accept) as stream:
        assert await (stream.event() if accept == SSE else stream.line())
        stopping = asyncio.create_task(api.server.stop())
        end = await stream.fact()
        assert (end["data"] if accept == SSE else end)["reason"] == "stopping"
        assert await stream.fact() is None
        await stopping


async def test_a_peer_that_stops_does_not_hold_the_loop_with_its_streams():
    quick = ApiSettings(heartbeat_ms=5)
    async with running(settings=quick) as api, streaming(api, accept=NDJSON) as stream:
        assert await stream.line()
        api.peer.trouble = Trouble.STOPPING
        api.peer.do(kv_put("a", 1))
        assert (await stream.fact())["key"] == "a"
        for _ in range(5):
            assert (await stream.line())["type"] == "heartbeat"


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


async def test_a_bad_after_is_refused_although_the_last_id_wins():
    async with running() as api:
        asked = await api.get("/events?after=none", headers={"Last-Event-ID": "7"})
        asked.problem("invalid", 400)
