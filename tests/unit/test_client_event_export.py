"""The event log as a file: whole, in order, and resumed where a crash left it."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager

import msgspec
import pytest
from api_harness import running, until

from replicante import limits
from replicante.client import Client, EventFilter
from replicante.client.event_export import Export
from replicante.client.event_file import EventFile
from replicante.errors import BadAnswer, Conflict, HistoryGone, Invalid
from replicante.state.commands import SetEventRetention
from replicante.testing.builders import kv_put
from replicante.wire.events import Event


@asynccontextmanager
async def log_of(count):
    """A client of a peer with so many events."""
    async with running() as api, Client([api.server.url]) as client:
        for i in range(count):
            api.peer.do(kv_put(f"k{i}", {"text": "ä\n", "n": i}))
        yield api, client


def events_in(path):
    return [msgspec.json.decode(line, type=Event) for line in path.read_bytes().splitlines()]


async def test_the_file_is_the_log(tmp_path):
    path = tmp_path / "events"
    async with log_of(limits.PAGE_ITEMS_MAX + 3) as (_, client):
        done = await client.events.export(path)
        log = [event async for event in client.events.newest_first()][::-1]
    assert events_in(path) == log
    assert (done.written_count, done.last) == (len(log), log[-1].id)


async def test_a_second_run_adds_what_is_new_and_a_third_nothing(tmp_path):
    path = tmp_path / "events"
    async with log_of(5) as (api, client):
        await client.events.export(path)
        api.peer.do(kv_put("new", 1))
        assert (await client.events.export(path)).written_count == 1
        before = path.read_bytes()
        assert (await client.events.export(path)).written_count == 0
    assert path.read_bytes() == before
    assert [event.seq for event in events_in(path)] == list(range(1, 7))


async def test_wherever_a_crash_cut_the_file_the_next_run_makes_it_whole(tmp_path):
    path = tmp_path / "events"
    async with log_of(3) as (_, client):
        await client.events.export(path)
        whole = path.read_bytes()
        ends = [*range(0, len(whole), 7), len(whole) - 1]
        for end in ends:
            for garbage in (b"", b"\0" * 100):
                path.write_bytes(whole[:end] + garbage)
                await client.events.export(path)
                assert path.read_bytes() == whole, (end, garbage)


async def test_a_hole_of_zeros_in_what_was_not_synced_is_exported_again(tmp_path):
    path = tmp_path / "events"
    async with log_of(50) as (_, client):
        await client.events.export(path)
        whole = path.read_bytes()
        path.write_bytes(whole[:5_000] + b"\0" * 1_000 + whole[6_000:])
        await client.events.export(path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"hello", b"hello\n", b"\n", b'{"id":"1"}\n', b'{"a":1}\n{'])
async def test_a_file_that_is_no_export_is_left_alone(tmp_path, content):
    path = tmp_path / "precious"
    path.write_bytes(content)
    async with log_of(1) as (_, client):
        with pytest.raises(Invalid):
            await client.events.export(path)
    assert path.read_bytes() == content


async def test_more_than_a_crash_can_leave_is_not_cut_off(tmp_path):
    path = tmp_path / "events"
    async with log_of(1) as (_, client):
        await client.events.export(path)
        large = limits.EXPORT_UNSYNCED_BYTES_MAX + limits.CLIENT_EVENT_BYTES_MAX + 1
        content = path.read_bytes() + b"x" * large
        path.write_bytes(content)
        with pytest.raises(Invalid):
            await client.events.export(path)
    assert path.stat().st_size == len(content)


async def test_a_filtered_file_does_not_become_an_unfiltered_one(tmp_path):
    path = tmp_path / "events"
    async with log_of(13) as (_, client):
        ones = EventFilter(key="k1")
        assert (await client.events.export(path, wanted=ones)).written_count == 4
        assert (await client.events.export(path, wanted=ones)).written_count == 0
        with pytest.raises(Invalid):
            await client.events.export(path)
    assert [event.key for event in events_in(path)] == ["k1", "k10", "k11", "k12"]


async def test_two_exports_do_not_share_a_file(tmp_path):
    path = tmp_path / "events"
    async with log_of(1) as (_, client):
        held = EventFile(path, is_whole=True)
        with pytest.raises(Conflict):
            await client.events.export(path)
        held.close()
        assert (await client.events.export(path)).written_count == 1


async def test_a_log_that_is_not_the_continuation_of_the_file_is_not_written(tmp_path):
    path = tmp_path / "events"
    async with log_of(4) as (_, client):
        await client.events.export(path)
        whole = path.read_bytes()
    async with running() as api, Client([api.server.url]) as client:
        for i in range(6):
            api.peer.do(kv_put("another log", i))
        with pytest.raises(BadAnswer):
            await client.events.export(path)
    assert path.read_bytes() == whole


async def test_events_that_are_gone_before_they_were_exported_are_an_error(tmp_path):
    path = tmp_path / "events"
    async with log_of(4) as (api, client):
        await client.events.export(path)
        whole = path.read_bytes()
        for i in range(20):
            api.peer.do(kv_put("k", i))
        api.peer.do(SetEventRetention(count_max=3, bytes_max=1 << 30, age_ms_max=1 << 40))
        with pytest.raises(HistoryGone):
            await client.events.export(path)
        assert path.read_bytes() == whole
        other = tmp_path / "other"
        await client.events.export(other)
    assert len(events_in(other)) == 3


async def test_a_followed_export_goes_on_and_what_it_has_is_durable(tmp_path, monkeypatch):
    path = tmp_path / "events"
    synced = []
    fsync = os.fsync

    def note_and_sync(descriptor):
        fsync(descriptor)
        synced.append(path.stat().st_size)

    monkeypatch.setattr(os, "fsync", note_and_sync)
    async with log_of(2) as (api, client):
        running_export = asyncio.create_task(client.events.export(path, is_followed=True))
        await until(lambda: path.exists() and path.read_bytes().count(b"\n") == 2)
        for i in range(300):
            api.peer.do(kv_put("more", i))
        await until(lambda: path.read_bytes().count(b"\n") == 302)
        await until(lambda: synced[-1] == path.stat().st_size)
        assert len(synced) < 100, "one fsync covers what came during the one before"
        running_export.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running_export
        assert (await client.events.export(path)).written_count == 0
    assert [event.seq for event in events_in(path)] == list(range(1, 303))


async def test_after_a_failed_fsync_the_file_holds_only_what_was_synced(tmp_path, monkeypatch):
    path = tmp_path / "events"
    async with log_of(3) as (api, client):
        await client.events.export(path)
        whole = path.read_bytes()
        api.peer.do(kv_put("new", 1))
        fsync, calls = os.fsync, []

        def fail_at_the_second(descriptor):
            calls.append(descriptor)
            if len(calls) == 2:
                raise OSError(5, "Input/output error")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", fail_at_the_second)
        with pytest.raises(OSError, match="Input/output"):
            await client.events.export(path)
        assert path.read_bytes() == whole
        assert (await client.events.export(path)).written_count == 1


class Kept:
    """A sink that remembers in which portions it was written."""

    def __init__(self):
        self.last, self.portions, self.synced_count = None, [], 0

    def append(self, events):
        self.portions.append([event.seq for event in events])
        self.last = events[-1]

    def sync(self):
        self.synced_count += 1


async def test_a_stream_that_ends_with_an_error_leaves_all_that_came_before_it():
    async with log_of(5) as (_, client):
        log = [event async for event in client.events.newest_first()][::-1]

        async def stream():
            for event in log:
                yield event
            raise HistoryGone()

        sink = Kept()
        export = Export(sink, is_whole=True)
        with pytest.raises(HistoryGone):
            await export.go_on(stream())
    assert [seq for portion in sink.portions for seq in portion] == [1, 2, 3, 4, 5]
    assert sink.synced_count == len(sink.portions)
    assert export.exported.written_count == 5
