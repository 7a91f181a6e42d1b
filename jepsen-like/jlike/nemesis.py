"""Faults: who is hit, how, whether it took effect, and the way back.

Used by `jlike.runner`. Faults come by time and by what the system has just promised: half of them
begin right after an acknowledgement, and every third aims at the leader. A fault is probed; one
that was asked for and never took effect leaves the run unknown.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from jlike.links import Pair
from jlike.peers import Peers
from jlike.recorder import Recorder

GAP_S = 2.0
HELD_S = (0.3, 4.0)
LEADER_SHARE = 0.35
KINDS = ("partition", "kill", "pause", "restart", "slow")
STOP_S = 20.0


@dataclass(slots=True, kw_only=True)
class Nemesis:
    """kinds: of KINDS. leader: the peer that leads, as far as anybody says so. terms: how many have
    been seen; while it is the first one, all faults aim at the leader, so that a short run has a
    change of leader to tell of."""

    kinds: Sequence[str]
    peers: Peers
    recorder: Recorder
    chance: random.Random
    leader: Callable[[], str | None]
    terms: Callable[[], int]
    effects: Counter[str] = field(default_factory=Counter)

    async def run(self, *, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._wait(stop)
            if stop.is_set():
                return
            # What has taken effect least comes first, so that a short run tries every kind.
            turn = self.chance.sample(list(self.kinds), len(self.kinds))
            turn.sort(key=self.effects.__getitem__)
            async with asyncio.TaskGroup() as group:
                for kind in turn[: self.chance.choice((1, 1, 2))]:
                    group.create_task(self.once(kind))

    async def _wait(self, stop: asyncio.Event) -> None:
        seconds = self.chance.expovariate(1 / GAP_S)
        await _until(stop, seconds)
        if self.chance.random() < 0.5:
            self.recorder.acknowledged.clear()
            await _until(self.recorder.acknowledged, GAP_S)

    async def once(self, kind: str) -> None:
        """Begins it, holds it, ends it, and notes what was seen of it."""
        deeds: dict[str, Callable[[float], Awaitable[tuple[str, bool]]]] = {
            "partition": self._partition,
            "kill": self._kill,
            "pause": self._pause,
            "restart": self._restart,
            "slow": self._slow,
        }
        began_ns = self.recorder.now_ns()
        target, has_effect = await deeds[kind](self.chance.uniform(*HELD_S))
        self.effects[kind] += has_effect
        self.recorder.note(
            "nemesis", fault=kind, target=target, began=began_ns, took_effect=has_effect
        )

    # --- who -----------------------------------------------------------------------------------

    def _victims(self) -> list[str]:
        """One, the leader, a minority, a majority or all."""
        ids = self.peers.ids
        leader = self.leader()
        if leader is not None and self._aims_at_leader():
            return [leader]
        most = (len(ids) - 1) // 2
        size = self.chance.choice((1, 1, most, most + 1, len(ids)))
        return sorted(self.chance.sample(ids, max(1, size)))

    def _aims_at_leader(self) -> bool:
        return self.terms() < 2 or self.chance.random() < LEADER_SHARE

    def _pairs(self) -> tuple[str, set[Pair]]:
        ids = list(self.peers.ids)
        self.chance.shuffle(ids)
        leader = self.leader()
        if leader is not None and self._aims_at_leader():
            ids.remove(leader)
            ids.insert(0, leader)
        half = len(ids) // 2
        shape = self.chance.choice(("one", "halves", "inward", "outward", "ring", "bridge"))
        match shape:
            case "one":
                cut = _between(ids[:1], ids[1:])
            case "halves":
                cut = _between(ids[:half], ids[half:])
            case "inward":
                cut = {(other, ids[0]) for other in ids[1:]}
            case "outward":
                cut = {(ids[0], other) for other in ids[1:]}
            case "ring" if len(ids) > 3:  # each peer sees a majority, no two see the same
                near = (len(ids) // 2 + 1) // 2
                cut = {
                    (one, other)
                    for at, one in enumerate(ids)
                    for to, other in enumerate(ids)
                    if min((at - to) % len(ids), (to - at) % len(ids)) > near
                }
            case _:  # two sides that only one peer sees both of
                cut = _between(ids[:half], ids[half + 1 :])
        return f"{shape} {' '.join(ids)}", cut

    # --- how -----------------------------------------------------------------------------------

    async def _partition(self, seconds: float) -> tuple[str, bool]:
        assert self.peers.links is not None
        target, pairs = self._pairs()
        held_before = sum(self.peers.links.held[pair] for pair in pairs)
        await self.peers.links.cut(pairs)
        await asyncio.sleep(seconds)
        has_effect = sum(self.peers.links.held[pair] for pair in pairs) > held_before
        await self.peers.links.heal(pairs)
        return target, has_effect

    async def _slow(self, seconds: float) -> tuple[str, bool]:
        assert self.peers.links is not None
        victim = self.leader() or self.chance.choice(self.peers.ids)
        pairs = _between([victim], [it for it in self.peers.ids if it != victim])
        delay_s = self.chance.choice((0.02, 0.1, 0.4))
        self.peers.links.delay_s |= dict.fromkeys(pairs, delay_s)
        slowed = self.peers.links.slowed
        await asyncio.sleep(seconds)
        has_effect = self.peers.links.slowed > slowed
        for pair in pairs:
            self.peers.links.delay_s.pop(pair, None)
        return f"{victim} by {delay_s * 1000:.0f} ms", has_effect

    async def _kill(self, seconds: float) -> tuple[str, bool]:
        """Sometimes again and again, within an election."""
        victims = self._victims()
        times = self.chance.choice((1, 1, 1, 3))
        has_effect = True
        for _ in range(times):
            for it in victims:
                self.peers[it].kill()
            has_effect &= not any(self.peers[it].is_alive for it in victims)
            await asyncio.sleep(seconds if times == 1 else self.chance.uniform(0, 0.2))
            for it in victims:
                self.peers[it].start()
            if times > 1:
                await asyncio.sleep(self.chance.uniform(0.5, 1.5))
        return f"{' '.join(victims)} × {times}", has_effect

    async def _pause(self, seconds: float) -> tuple[str, bool]:
        victims = self._victims()
        for it in victims:
            self.peers[it].signal(signal.SIGSTOP)
        await asyncio.sleep(0.05)
        has_effect = any(self.peers[it].state == "T" for it in victims)
        await asyncio.sleep(seconds)
        for it in victims:
            self.peers[it].signal(signal.SIGCONT)
        return " ".join(victims), has_effect

    async def _restart(self, seconds: float) -> tuple[str, bool]:
        victim = self.leader() or self.chance.choice(self.peers.ids)
        has_effect = await self.peers.end_gently(self.peers[victim], seconds=STOP_S)
        await asyncio.sleep(min(seconds, 1.0))
        self.peers[victim].start()
        return victim, has_effect

    async def heal(self) -> None:
        """Everything is as if there had been no fault; harmless to repeat."""
        if self.peers.links is not None:
            self.peers.links.delay_s.clear()
            await self.peers.links.heal()
        for peer in self.peers.by_id.values():
            peer.signal(signal.SIGCONT)
            if peer.command:
                peer.start()


def _between(one_side: Sequence[str], other_side: Sequence[str]) -> set[Pair]:
    there = {(one, other) for one in one_side for other in other_side}
    return there | {(other, one) for one, other in there}


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
