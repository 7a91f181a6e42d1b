"""A real peer that was away while very much happened: it comes back, and is the same."""

from __future__ import annotations

import asyncio
import time

import pytest
from cluster import Cluster, running

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

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
