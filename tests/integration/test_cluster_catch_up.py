"""A real peer that was away while very much happened: it comes back, and is the same."""

from __future__ import annotations

import asyncio
import time

import pytest
from cluster import Cluster, running
from cluster_load import check_history, load
from cluster_peer import eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

BATCHES = 100
BATCH_ITEMS = 1_000


async def test_a_peer_that_was_away_for_100k_writes_catches_up(tmp_path):
    async with running(tmp_path) as cluster:
        leader, absent = await cluster.leader(), (await cluster.followers())[0]
        cluster.kill(absent)
        started = time.monotonic()
        await asyncio.gather(*(_write_batches(cluster, leader, turn) for turn in range(4)))
        print(f"{BATCHES * BATCH_ITEMS} writes in {time.monotonic() - started:.1f} s")
        await cluster.pass_a_digest(leader)

        started = time.monotonic()
        await cluster.start(absent)
        await cluster.converged()
        print(f"caught up in {time.monotonic() - started:.1f} s")
        for place in (0, 49_999, 99_999):
            answer = await cluster.get(absent, f"bulk/{place:06}", "?consistency=stale")
            assert answer.json["value"] == place

        started = time.monotonic()
        cluster.kill(*cluster.ids)
        await cluster.start()
        print(f"all restarted in {time.monotonic() - started:.1f} s")
        await cluster.settled()
        assert (await cluster.get(absent, "bulk/099999")).json["value"] == 99_999


async def test_a_peer_that_lacks_what_was_trimmed_gets_a_snapshot_under_load(tmp_path):
    flags = ("--storage-log-kept-bytes", "65536")
    async with running(tmp_path, flags=flags) as cluster:
        leader, absent = await cluster.leader(), (await cluster.followers())[0]
        async with load(cluster, name="before", writers=2, counters=1) as callers:
            await callers.acknowledged(50)
        cluster.kill(absent)
        last_index = (await cluster.status(leader))["last_index"]
        await _write_batches(cluster, leader, 0)
        await eventually(lambda: _is_trimmed_beyond(cluster, leader, last_index), "a trimmed log")
        async with load(cluster, writers=4, counters=1) as more:
            await more.acknowledged(20)
            await cluster.start(absent)
            await more.acknowledged(50)
        assert any(line.get("kind") == "snapshot_installed" for line in cluster[absent].lines())
        await check_history(cluster, callers.history, more.history)
        cluster.kill(absent)
        await cluster.start(absent)
        await cluster.converged()


async def _is_trimmed_beyond(cluster: Cluster, peer: str, index: int) -> bool:
    await cluster.put(peer, "filler", 1)
    return (await cluster.status(peer))["first_index"] > index


async def _write_batches(cluster: Cluster, peer: str, turn: int) -> None:
    for batch in range(turn, BATCHES, 4):
        places = range(batch * BATCH_ITEMS, (batch + 1) * BATCH_ITEMS)
        operations = [
            {"op": "kv.put", "key": f"bulk/{place:06}", "value": place} for place in places
        ]
        answer = await cluster.ask(
            peer, "POST", "/api/v0/batch?timeout=30s", json={"operations": operations}, seconds=40
        )
        assert answer.status == 200, answer
        assert all(item["status"] == 201 for item in answer.json["items"])
