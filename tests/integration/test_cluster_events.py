"""The event log, followed by the SDK while real peers are killed: each event once, in order."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager

import msgspec
import pytest
from cluster import Cluster, running
from cluster_load import all_events, check_history, check_order, load
from cluster_peer import eventually

from replicante.client import Client, NoteKind

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

MARKER = "the-end"


async def test_a_follower_of_events_outlives_the_peers_that_it_is_connected_to(tmp_path):
    async with running(tmp_path) as cluster:
        connected = await cluster.leader()
        async with _following(cluster, first=connected) as reader:
            async with load(cluster) as callers:
                for _ in range(3):
                    await callers.acknowledged(100)
                    await reader.reads_from(connected)
                    cluster.kill(connected)
                    await callers.acknowledged(100)
                    await reader.moves_on_from(connected)
                    await cluster.start(connected)
                    connected = reader.connected
            assert (await cluster.put(connected, MARKER, True)).status == 201
            await eventually(lambda: reader.task.done(), "the last event")
            reader.task.result()
        await check_history(cluster, callers.history)
        check_order(reader.events)
        wanted = await all_events(cluster, cluster.ids[0])
        assert reader.events == wanted[: len(reader.events)]
        assert len(reader.lost) >= 3
        happened = [event["key"] for event in reader.events if event["code"] == "KV_PUT"]
        for key in callers.history.acknowledged:
            assert happened.count(key) == 1


async def test_a_stream_that_was_lost_with_all_peers_goes_on_where_it_was(tmp_path):
    async with running(tmp_path) as cluster:
        async with _following(cluster, first="p1") as reader:
            assert (await cluster.put("p1", "before", 1)).status == 201
            await eventually(lambda: "before" in reader.keys, "the first event")
            cluster.kill(*cluster.ids)
            await cluster.start()
            assert (await cluster.put("p2", "after", 2)).status == 201
            assert (await cluster.put("p3", MARKER, 3)).status == 201
            await eventually(lambda: reader.task.done(), "the last event")
            reader.task.result()
        check_order(reader.events)
        assert [key for key in reader.keys if key] == ["before", "after", MARKER]


class _Reader:
    """What one followed stream delivered, and from whom."""

    def __init__(self, cluster: Cluster, *, first: str) -> None:
        self.events: list[dict] = []
        self.lost: list[str] = []
        self.connected = first
        self.task: asyncio.Task[None]
        self._ids = {cluster[peer].url: peer for peer in cluster.ids}

    @property
    def keys(self) -> list[str | None]:
        return [event["key"] for event in self.events]

    async def reads_from(self, peer: str) -> None:
        await eventually(
            lambda: self.connected == peer and len(self.events) > 0, f"to read from {peer}"
        )

    async def moves_on_from(self, peer: str) -> None:
        await eventually(lambda: self.connected != peer, f"to read from another than {peer}")

    def observe(self, note) -> None:
        peer = self._ids[note.endpoint]
        if note.kind is NoteKind.STREAM_LOST:
            self.lost.append(peer)
        elif note.kind is NoteKind.STREAM_RESUMED:
            self.connected = peer

    async def read(self, client: Client) -> None:
        async with aclosing(client.events.follow()) as stream:
            async for event in stream:
                self.events.append(msgspec.to_builtins(event))
                if event.key == MARKER:
                    return


@asynccontextmanager
async def _following(cluster: Cluster, *, first: str):
    reader = _Reader(cluster, first=first)
    async with Client(cluster.urls(first=first), observe=reader.observe) as client:
        reader.task = asyncio.create_task(reader.read(client))
        try:
            yield reader
        finally:
            reader.task.cancel()
            await asyncio.gather(reader.task, return_exceptions=True)
