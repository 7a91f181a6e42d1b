"""Real peers that stand still and go on (SIGSTOP, SIGCONT): a leader that slept rules nobody."""

from __future__ import annotations

import asyncio
import time

import pytest
from cluster import running
from cluster_http import NoAnswer
from cluster_load import COUNTER, Load, check_history, load
from cluster_peer import eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

PAUSE_SECONDS = 3
LONG_PAUSE_SECONDS = 30
"""Longer than any request waits, and than any peer hopes for an answer."""


@pytest.mark.parametrize("pause_seconds", [PAUSE_SECONDS, LONG_PAUSE_SECONDS])
async def test_a_leader_that_slept_serves_nothing_stale_and_repeats_nothing(
    tmp_path, pause_seconds
):
    async with running(tmp_path) as cluster:
        async with load(cluster) as callers:
            await callers.acknowledged(100)
            sleeper = await cluster.leader()
            asleep_at = time.monotonic()
            cluster.freeze(sleeper)
            heard_asleep = _requests(callers, sleeper, "heard_asleep")
            await callers.acknowledged(200)
            successor = await cluster.leader(not_one_of=[sleeper])
            await asyncio.sleep(max(0.0, pause_seconds - (time.monotonic() - asleep_at)))
            late = _requests(callers, sleeper, "late")
            cluster.thaw(sleeper)
            awake = _requests(callers, sleeper, "awake")
            await asyncio.gather(*heard_asleep, *late, *awake)
            await eventually(lambda: _follows(cluster, sleeper), "the sleeper to step down")
            await callers.acknowledged(100)
            assert await cluster.leader() == successor
        await check_history(cluster, callers.history)


async def test_peers_that_all_slept_go_on(tmp_path):
    async with running(tmp_path) as cluster:
        async with load(cluster) as callers:
            await callers.acknowledged(100)
            cluster.freeze(*cluster.ids)
            await asyncio.sleep(PAUSE_SECONDS)
            for peer in reversed(cluster.ids):
                cluster.thaw(peer)
            await callers.acknowledged(100)
        await check_history(cluster, callers.history)


async def test_a_leader_that_stumbles_again_and_again_does_no_harm(tmp_path):
    """Pauses around the election timeout: elections begin, and are overtaken."""
    async with running(tmp_path) as cluster:
        async with load(cluster) as callers:
            for pause_ms in (300, 600, 900, 1_200):
                leader = await cluster.leader()
                cluster.freeze(leader)
                await asyncio.sleep(pause_ms / 1000)
                cluster.thaw(leader)
                await callers.acknowledged(50)
        await check_history(cluster, callers.history)


def _requests(callers: Load, peer: str, name: str) -> list[asyncio.Task[None]]:
    """Reads and writes at once to one peer, whatever it does now."""
    return [
        *(asyncio.create_task(_read_counter(callers, peer)) for _ in range(15)),
        *(
            asyncio.create_task(callers.write_key(peer, f"{name}/{number}", 1))
            for number in range(15)
        ),
    ]


async def _read_counter(callers: Load, peer: str) -> None:
    """Whatever was acknowledged before the question is in the answer."""
    steps = callers.history.steps_count
    try:
        answer = await callers.cluster.get(peer, COUNTER, "?timeout=2s")
    except NoAnswer as lost:
        if callers.cluster[peer].is_frozen:
            return  # it sleeps for longer than anybody waits
        raise AssertionError(f"a read was not answered: {lost}") from lost
    assert answer.status in (200, 503)
    if answer.status == 200:
        assert answer.json["value"] >= steps, f"a stale read was called linearizable: {answer}"


async def _follows(cluster, peer: str) -> bool:
    return (await cluster.status(peer))["role"] == "follower"
