"""Clients that die in the middle of what they ask, and forget all that they held.

Called by `jlike.nemesis`. A worker is gone with the jobs that it claimed, a reader with the events
that it handled, a holder with its lease; the peer sees a connection that ends before its answer.
Who comes in their place knows of nothing.
"""

from __future__ import annotations

import asyncio
import random

from jlike.nemesis_plan import DIES_AFTER_S, Plan
from jlike.peers import Peers

PERIOD_S = 0.05


async def die(plan: Plan, peers: Peers) -> bool:
    """Again and again, so many of them as the plan says. It counts when one died unanswered."""
    chance = random.Random(plan.seconds)
    crowd = list(peers.crowd)
    doomed = crowd[: max(1, round(len(crowd) * plan.figures["share"]))]
    before = sum(it.deaths for it in doomed)
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + plan.seconds
    try:
        while loop.time() < ends_s:
            for it in doomed:
                it.dies_after_s = chance.uniform(0, DIES_AFTER_S)
            await asyncio.sleep(PERIOD_S)
    finally:
        for it in doomed:
            it.dies_after_s = None
    return sum(it.deaths for it in doomed) > before
