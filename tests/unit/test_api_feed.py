"""The fan-out of events: what is done once for all readers, and that the loop stays free."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest
from api_harness import running, until
from stream_reader import NDJSON, OPEN, SSE, streaming

from replicante import limits
from replicante.api import event_feed, event_lines
from replicante.api.context import ApiSettings
from replicante.api.event_portions import join
from replicante.api.event_wakes import Wakes
from replicante.api.negotiate import Media
from replicante.testing.builders import kv_put

READERS = 40


@pytest.fixture
def counted(monkeypatch):
    """How many events were encoded, and how many portions that hold something were joined."""
    found = {"encoded": 0, "joined": 0}
    wire_event = event_lines.wire_event

    def encode(event):
        found["encoded"] += 1
        return wire_event(event)

    def join_and_count(*args, **kwargs):
        portion = join(*args, **kwargs)
        found["joined"] += portion.count > 0
        return portion

    monkeypatch.setattr(event_lines, "wire_event", encode)
    monkeypatch.setattr(event_feed, "join", join_and_count)
    return found


async def take(stream, *, accept, count):
    facts = [await stream.fact() for _ in range(count)]
    return [(fact["data"] if accept == SSE else fact)["seq"] for fact in facts]


@pytest.mark.parametrize("accept", [SSE, NDJSON])
async def test_a_new_event_is_encoded_once_and_joined_once_a_filter(counted, accept):
    async with running() as api, AsyncExitStack() as stack:
        api.peer.do(kv_put("old", 1))
        streams = []
        for number in range(READERS):
            path = "/events?after=head" + ("&key=k" if number % 2 else "")
            stream = await stack.enter_async_context(streaming(api, path, accept=accept))
            streams.append(stream)
        await until(
            lambda: api.counted(OPEN, format="sse" if accept == SSE else "ndjson") == READERS
        )
        for number in range(10):
            api.peer.do(kv_put(f"k{number}", number))
            found = await asyncio.gather(*(take(it, accept=accept, count=1) for it in streams))
            assert found == [[number + 2]] * READERS
            # The readers have it before the peer's tasks wait again; the next event must find them.
            await until(lambda: len(api.api.ctx.feed._wakes._waiting) == READERS)
        assert counted == {"encoded": 10, "joined": 20}


async def test_who_catches_up_from_one_place_shares_the_work_too(counted):
    async with running() as api:
        for number in range(30):
            api.peer.do(kv_put(f"k{number}", number))

        async def follow(number):
            path = "/events?after=0" + ("&key=k" if number % 2 else "")
            async with streaming(api, path, accept=NDJSON) as stream:
                return await take(stream, accept=NDJSON, count=30)

        # One that stays keeps the feed awake between the others.
        async with streaming(api, "/events?after=head"):
            found = await asyncio.gather(*map(follow, range(READERS)))
        assert found == [list(range(1, 31))] * READERS
        assert counted == {"encoded": 60, "joined": 2}


async def test_more_filters_than_portions_are_kept_for_are_served_all_the_same(monkeypatch):
    monkeypatch.setattr(limits, "EVENT_PORTIONS_MAX", 3)
    async with running() as api, AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(
                streaming(api, f"/events?after=head&key=k{number}", accept=NDJSON)
            )
            for number in range(10)
        ]
        await until(lambda: api.counted(OPEN, format="ndjson") == 10)
        for number in range(10):
            api.peer.do(kv_put(f"k{number}", number))
        for number, stream in enumerate(streams):
            assert (await stream.fact())["key"] == f"k{number}"
        assert len(api.api.ctx.feed._portions._made) <= 3


async def test_a_slow_reader_is_cut_off_and_holds_nobody_up():
    async with running(settings=ApiSettings(write_ms_max=50, heartbeat_ms=10_000)) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port, limit=1_024)
        writer.write(b"GET /api/v0/events HTTP/1.1\r\nHost: localhost\r\nAccept: ")
        writer.write(b"application/x-ndjson\r\n\r\n")
        reader._transport.pause_reading()
        count = 16 * limits.MIB // limits.EVENT_VALUE_BYTES_MAX
        async with streaming(api, accept=NDJSON) as fast:
            seen = 0
            for number in range(count):
                api.peer.do(kv_put("k", "x" * (limits.EVENT_VALUE_BYTES_MAX - 8)))
                if number % 100 == 99:
                    seen += len(await take(fast, accept=NDJSON, count=100))
            ended = "replicante_event_streams_ended_total"
            await until(lambda: api.counted(ended, format="ndjson", reason="slow_reader") == 1)
            assert seen == count - count % 100
        writer.transport.abort()


async def test_a_portion_is_bounded_and_goes_on_where_it_ended():
    async with running() as api:
        for number in range(40):
            api.peer.do(kv_put(f"k{number}", "x" * (limits.EVENT_VALUE_BYTES_MAX - 8)))
        feed = api.api.ctx.feed
        where = event_feed.EventFilter()
        with feed.reader():
            after, sizes, count = 0, [], 0
            while True:
                portion = feed.portion(after, where=where, media=Media.NDJSON)
                if not portion.data:
                    break
                sizes.append(len(portion.data))
                count += portion.count
                after = portion.place
        assert count == 40
        assert len(sizes) > 1
        assert max(sizes) < limits.EVENT_CHUNK_BYTES_MAX + 2 * limits.EVENT_VALUE_BYTES_MAX


async def test_many_are_woken_in_slices_and_the_loop_serves_others_in_between():
    wakes, woken = Wakes(), []

    async def wait(number):
        await wakes.wait(timeout_ms=60_000)
        woken.append(number)

    count = 3 * limits.EVENT_WAKES_AT_ONCE_MAX
    waiting = [asyncio.create_task(wait(number)) for number in range(count)]
    await asyncio.sleep(0)
    rounds = asyncio.create_task(wakes.round(may_rest=False))
    seen = [0]
    while len(woken) < count:
        await asyncio.sleep(0)
        seen.append(len(woken))
    steps = [after - before for before, after in pairwise(seen)]
    assert 0 < max(steps) <= limits.EVENT_WAKES_AT_ONCE_MAX
    assert woken == list(range(count))
    await rounds
    await asyncio.gather(*waiting)


async def test_who_waits_is_let_go_when_its_time_is_over_and_is_forgotten_when_it_leaves():
    wakes = Wakes()
    await wakes.wait(timeout_ms=1)
    waiting = asyncio.create_task(wakes.wait(timeout_ms=60_000))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not wakes._waiting
    await wakes.round(may_rest=True)
