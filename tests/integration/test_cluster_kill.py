"""Real peers, killed with SIGKILL under load: nothing acknowledged is lost, nothing done twice."""

from __future__ import annotations

import asyncio

import pytest
from cluster import running
from cluster_load import check_history, load

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]


async def test_killed_leaders_lose_nothing_and_are_taken_back(tmp_path):
    async with running(tmp_path) as cluster:
        async with load(cluster) as callers:
            for _ in range(3):
                await callers.acknowledged(100)
                leader = await cluster.leader()
                cluster.kill(leader)
                await callers.acknowledged(100)
                assert await cluster.leader() != leader
                await cluster.start(leader)
            await callers.acknowledged(100)
        await check_history(cluster, callers.history)


async def test_all_peers_killed_at_once_lose_nothing(tmp_path):
    async with running(tmp_path) as cluster:
        async with load(cluster) as callers:
            await callers.acknowledged(500)
            cluster.kill(*cluster.ids)
            await cluster.start(*reversed(cluster.ids))
            await callers.acknowledged(200)
        await check_history(cluster, callers.history)


async def test_every_peer_killed_at_every_moment_of_its_life_comes_back(tmp_path):
    """Also while it starts, is born, elects, and replays."""
    async with running(tmp_path, is_started=False) as cluster:
        for pause_ms in range(150, 1_050, 150):
            cluster.spawn()
            await asyncio.sleep(pause_ms / 1000)
            cluster.kill(*cluster.ids)
        await cluster.start()
        async with load(cluster) as callers:
            await callers.acknowledged(100)
        await check_history(cluster, callers.history)
