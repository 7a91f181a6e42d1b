"""A Redis server whose whole machine stood still, agent and all, and goes on: nobody tells it
anything here."""

from __future__ import annotations

import asyncio
import signal

import pytest
from redis import exceptions
from test_agents_redis import Node, cluster, until

from replicante.limits import REDIS_HUNG_MS
from replicante.model import action_kinds as kinds

pytestmark = pytest.mark.processes


async def test_a_primary_that_was_replaced_meanwhile_refuses_writes_by_itself(tmp_path):
    async with cluster(tmp_path) as (n1, n2, n3):
        n1.signal_machine(signal.SIGSTOP)
        await n2.succeeds(kinds.STORE_PROMOTE, shard_id="all", replaces="n1")
        await n3.succeeds(kinds.STORE_REJOIN, node=n2.member)
        await asyncio.sleep(2 * REDIS_HUNG_MS / 1_000)  # what its clocks are to have missed
        n1.signal_machine(signal.SIGCONT)
        await until(lambda: _refuses(n1))

        await n1.succeeds(kinds.STORE_REJOIN, node=n2.member)
        await until(lambda: _asks_for(n1, replicas=0))


async def _refuses(node: Node) -> bool:
    try:
        await node.command("SET", "stray", "1")
    except exceptions.ResponseError as exc:
        return "NOREPLICAS" in str(exc)
    return False


async def _asks_for(node: Node, *, replicas: int) -> bool:
    found = await node.command("CONFIG", "GET", "min-replicas-to-write")
    lag = await node.command("CONFIG", "GET", "min-replicas-max-lag")
    return int(found["min-replicas-to-write"]) == replicas and lag["min-replicas-max-lag"] != "11"
