"""Faults of processes: killed, killed in a loop, paused, starved, restarted gently.

Called by `jlike.nemesis`. Whatever was done to a process is undone at the end of each. None of
them took effect at a peer that was not there: each victim must have been hit.
"""

from __future__ import annotations

import asyncio
import random
import signal

from jlike.history import Kind
from jlike.http import API
from jlike.nemesis_plan import RESTART_S, Plan
from jlike.peers import Peers

STOP_S = 20.0
STOPPED_S = 1.0
POLL_S = 0.01
STATUS_S = 1.0
"""For one question to one peer: who is paused or cut off must not keep the others waiting."""
LEADS_S = 5.0
"""After a transfer was accepted: several elections."""
UP_S = (0.3, 1.2)
"""Between a start and the next kill, in a crash loop."""
STARVED_PERIOD_S = 0.1
STARVED_SHARE = 0.1
"""What a starved process gets, as a quota of 10 % in periods of 100 ms gives to a control group."""


async def kill(plan: Plan, peers: Peers) -> bool:
    were_there = [peers[it].kill() for it in plan.victims]
    await asyncio.sleep(plan.seconds)
    for it in plan.victims:
        peers[it].start()
    return all(were_there)


async def crashloop(plan: Plan, peers: Peers) -> bool:
    """A start every time within one election."""
    chance = random.Random(plan.seconds)
    were_there: list[bool] = []
    for _ in range(int(plan.figures["crashes"])):
        were_there += [peers[it].kill() for it in plan.victims]
        await asyncio.sleep(chance.uniform(*RESTART_S))
        for it in plan.victims:
            peers[it].start()
        await asyncio.sleep(chance.uniform(*UP_S))
    return all(were_there)


async def pause(plan: Plan, peers: Peers) -> bool:
    for it in plan.victims:
        peers[it].signal(signal.SIGSTOP)
    try:
        are_stopped = await _are_stopped(plan, peers)
        await asyncio.sleep(plan.seconds)
    finally:
        for it in plan.victims:
            peers[it].signal(signal.SIGCONT)
    return are_stopped


async def _are_stopped(plan: Plan, peers: Peers) -> bool:
    """A process is stopped when it is its turn, which may take a while on a busy machine."""
    for _ in range(int(STOPPED_S / POLL_S)):
        if all(peers[it].state == "T" for it in plan.victims):
            return True
        await asyncio.sleep(POLL_S)
    return False


async def starve(plan: Plan, peers: Peers) -> bool:
    """Stopped and continued so that they run a tenth of the time: jerky, not dead."""
    before = {it: peers[it].processor_s for it in plan.victims}
    stopped: set[str] = set()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        while loop.time() < began_s + plan.seconds:
            for it in plan.victims:
                peers[it].signal(signal.SIGSTOP)
            await asyncio.sleep(STARVED_PERIOD_S * (1 - STARVED_SHARE))
            stopped |= {it for it in plan.victims if peers[it].state == "T"}
            for it in plan.victims:
                peers[it].signal(signal.SIGCONT)
            await asyncio.sleep(STARVED_PERIOD_S * STARVED_SHARE)
    finally:
        for it in plan.victims:
            peers[it].signal(signal.SIGCONT)
    seconds = loop.time() - began_s
    used = [peers[it].processor_s - before[it] for it in plan.victims]
    return stopped == set(plan.victims) and max(used) < seconds / 2


async def transfer(plan: Plan, peers: Peers) -> bool:
    """Somebody else is to lead: the gentlest change of leader, in the middle of the load. It counts
    when somebody else does; that it was accepted is only a word."""
    _, before = await _leader(peers)
    for it in plan.victims:
        answer = await peers.ask(it, "POST", f"{API}/raft/transfer", {})
        if answer.kind is Kind.OK:
            return bool(before) and await _leads_another(peers, than=before)
    return False


async def _leads_another(peers: Peers, *, than: str) -> bool:
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + LEADS_S
    while True:
        _, leader = await _leader(peers)
        if leader not in ("", than):
            return True
        if loop.time() >= ends_s:
            return False
        await asyncio.sleep(POLL_S)


async def _leader(peers: Peers) -> tuple[int, str]:
    """(term, who leads it), of the newest term that somebody says to lead; (0, "") of none."""
    return max(await asyncio.gather(*(_reign(it, peers) for it in peers.ids)), default=(0, ""))


async def _reign(peer_id: str, peers: Peers) -> tuple[int, str]:
    try:
        async with asyncio.timeout(STATUS_S):
            answer = await peers.ask(peer_id, "GET", f"{API}/raft/status")
    except TimeoutError:
        return 0, ""
    is_leader = answer.kind is Kind.OK and answer.body["role"] == "leader"
    return (int(answer.body["term"]), peer_id) if is_leader else (0, "")


async def restart(plan: Plan, peers: Peers) -> bool:
    """SIGTERM, the end that it makes itself, a new start; one after the other."""
    have_ended = True
    for it in plan.victims:
        have_ended &= await peers.end_gently(peers[it], seconds=STOP_S)
        await asyncio.sleep(plan.seconds)
        peers[it].start()
    return have_ended
