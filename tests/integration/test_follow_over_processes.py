"""A client follows the events of real peers through the kill of the one that it is connected to."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from docs_runner import free_ports

from replicante.client import Client, Note, NoteKind, Write
from replicante.clock import SystemClock
from replicante.demo.lookups import find_leader
from replicante.dev import LocalCluster, Voices
from replicante.dev_plan import plan_peers
from replicante.wire.events import Event

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


async def write_until(client: Client, stop: asyncio.Event, done: list[str]) -> None:
    """Keys of acknowledged writes."""
    number = 0
    while not stop.is_set():
        number += 1
        key = f"follow/{number:05d}"
        await client.kv.put(key, number, write=Write(timeout_ms=30_000))
        done.append(key)


async def follow_until(client: Client, last: asyncio.Future[str], seen: list[Event]) -> None:
    """All events up to the one of the last key, once that is known."""
    async with aclosing(client.events.follow()) as events:
        async for event in events:
            seen.append(event)
            if last.done() and event.key == last.result():
                return


async def test_no_event_is_missed_and_none_comes_twice_when_the_followed_peer_is_killed(tmp_path):
    ports = free_ports()
    plans = plan_peers(
        peers_count=3,
        data_dir=tmp_path,
        http_port=ports[16016],
        raft_port=ports[16116],
        log_format="json",
    )
    log: list[str] = []
    voices = Voices(log=lambda peer, line: log.append(f"{peer} {line}"), note=log.append)
    cluster = LocalCluster(plans, voices=voices, clock=SystemClock())
    notes: list[Note] = []
    try:
        async with asyncio.timeout(200):
            await cluster.start()
            urls = await cluster.wait_ready()
            await kill_while_followed(cluster, urls, notes)
    finally:
        await cluster.stop()


async def kill_while_followed(cluster: LocalCluster, urls: list[str], notes: list[Note]) -> None:
    leader = await find_leader(urls)
    first = urls.index(cluster.plans[leader].url)
    order = urls[first:] + urls[:first]
    stop, last = asyncio.Event(), asyncio.get_running_loop().create_future()
    seen: list[Event] = []
    done: list[str] = []
    async with Client(order, observe=notes.append) as reader, Client(order) as writer:
        following = asyncio.create_task(follow_until(reader, last, seen))
        writing = asyncio.create_task(write_until(writer, stop, done))
        await until(lambda: len(done) > 30)
        await cluster.kill_peer(leader)
        before = len(done)
        await until(lambda: len(done) > before + 30)
        await cluster.start_peer(leader)
        await cluster.wait_ready()
        stop.set()
        await writing
        # Named before it is written: the reader may see it before its writer hears of it.
        last.set_result("follow/last")
        await writer.kv.put("follow/last", 0)
        done.append("follow/last")
        await following
    assert any(note.kind is NoteKind.STREAM_RESUMED for note in notes)
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert [event.key for event in seen if event.key in set(done)] == done


async def until(is_true) -> None:
    while not is_true():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
