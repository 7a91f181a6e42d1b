"""Faults of the network between peers: cuts, flapping cuts, slow and lossy links.

Called by `jlike.nemesis`. A cut counts when something of the peers met it and no probe of ours came
through; a flaw counts when something of the peers met it.
"""

from __future__ import annotations

import asyncio

from jlike.nemesis_plan import Plan
from jlike.peers import Peers

PROBE_S = 1.0
"""Nothing that we delay is under way for longer."""


async def partition(plan: Plan, peers: Peers) -> bool:
    links = peers.links
    held_before = sum(links.held[pair] for pair in plan.pairs)
    await links.cut(plan.pairs)
    try:
        probed_s = min(plan.seconds, PROBE_S)
        passing = await links.passing(plan.pairs, seconds=probed_s)
        await asyncio.sleep(plan.seconds - probed_s)
    finally:
        await links.heal(plan.pairs)
    has_held = sum(links.held[pair] for pair in plan.pairs) > held_before
    return has_held and not passing


async def flapping(plan: Plan, peers: Peers) -> bool:
    """Cut and healed again and again, each for so long: less than an election, or about one."""
    links, flap_s = peers.links, plan.figures["flap_s"]
    held_before = sum(links.held[pair] for pair in plan.pairs)
    try:
        for _ in range(max(1, round(plan.seconds / (2 * flap_s)))):
            await links.cut(plan.pairs)
            await asyncio.sleep(flap_s)
            await links.heal(plan.pairs)
            await asyncio.sleep(flap_s)
    finally:
        await links.heal(plan.pairs)
    return sum(links.held[pair] for pair in plan.pairs) > held_before


async def flaw(plan: Plan, peers: Peers) -> bool:
    assert plan.flaw is not None
    links = peers.links
    marred_before = sum(links.marred[pair] for pair in plan.pairs)
    links.mar(plan.pairs, plan.flaw)
    try:
        await asyncio.sleep(plan.seconds)
    finally:
        links.mend(plan.pairs)
    return sum(links.marred[pair] for pair in plan.pairs) > marred_before
