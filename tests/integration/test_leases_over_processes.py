"""Locks at real peers: held through the kill of the leader, and free when their holder is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from docs_runner import free_ports

from replicante.client import Client
from replicante.clock import SystemClock
from replicante.demo.lookups import find_leader
from replicante.dev import LocalCluster, Voices
from replicante.dev_plan import plan_peers

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

DURATION_MS = 5_000


@asynccontextmanager
async def three_peers(folder) -> AsyncIterator[tuple[LocalCluster, list[str]]]:
    ports = free_ports()
    plans = plan_peers(
        peers_count=3,
        data_dir=folder,
        http_port=ports[16016],
        raft_port=ports[16116],
        log_format="json",
    )
    voices = Voices(log=lambda _peer, _line: None, note=lambda _text: None)
    cluster = LocalCluster(plans, voices=voices, clock=SystemClock())
    try:
        async with asyncio.timeout(200):
            await cluster.start()
            yield cluster, await cluster.wait_ready()
    finally:
        await cluster.stop()


async def test_a_lock_is_held_through_the_kill_of_the_leader(tmp_path):
    async with three_peers(tmp_path) as (cluster, urls):
        leader = await find_leader(urls)
        others = [url for url in urls if url != cluster.plans[leader].url]
        async with Client(urls) as holder, Client(others) as rival:
            order: list[str] = []

            async def compete() -> str:
                async with rival.lock("l", duration_ms=DURATION_MS) as lock:
                    order.append("rival")
                    return lock.token

            async with holder.lock("l", duration_ms=DURATION_MS) as lock:
                competing = asyncio.create_task(compete())
                await cluster.kill_peer(leader)
                # Longer than the lease would last without renewals at the new leader.
                await passed(holder, by_ms=2 * DURATION_MS)
                item = await rival.leases.get("l")
                assert item.token == lock.token
                order.append("holder")
                token = lock.token
            assert await competing > token
            assert order == ["holder", "rival"]


async def test_what_a_dead_holder_had_is_free_and_its_records_are_gone(tmp_path):
    async with three_peers(tmp_path) as (_, urls), Client(urls) as client:
        dead = await client.leases.acquire("l", duration_ms=1_000)
        await client.kv.put("member", 1, lease=dead.token)
        alive = await client.leases.acquire("l", duration_ms=1_000, wait_ms=60_000)
        assert alive.token > dead.token
        assert await client.kv.find("member") is None
        page = await client.events.page(limit=1_000)
        codes = [event.code for event in page.items if event.code.startswith(("LEASE", "KV"))]
        assert codes[:4] == ["LEASE_ACQUIRED", "KV_PUT", "LEASE_EXPIRED", "KV_DELETED"]


async def passed(client: Client, *, by_ms: int) -> None:
    """Returns when so much time has passed, by waiting for events that do not come."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + by_ms / 1_000
    while loop.time() < until_s:
        await client.events.page(after="9" * 18, wait_ms=500)
