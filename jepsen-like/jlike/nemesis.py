"""Faults: when they begin, how many at once, whether they took effect, and the way back.

Used by `jlike.runner`. Faults come by time and by what the system has just promised or decided: an
acknowledgement, a change of leader. What has taken effect least comes first, so that a short run
tries every kind. A fault is probed; one that was asked for and never took effect leaves the run
unknown, so when the time of the run is over what is missing is made up for, while the load goes on.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from jlike import (
    nemesis_clients,
    nemesis_damage,
    nemesis_disk,
    nemesis_network,
    nemesis_plan,
    nemesis_process,
)
from jlike.disks import PowerDisk
from jlike.nemesis_disk import Breach
from jlike.nemesis_plan import Plan, Scene
from jlike.peers import Peers
from jlike.recorder import Recorder

GAP_S = 2.0
TRIGGER_S = 2.0
"""An occasion that does not come in this time is not waited for."""
POLL_S = 0.02
OCCASIONS = ("time", "acknowledgement", "leader")
OVERTIME = "overtime"
"""The occasion of what is made up for."""
AT_ONCE = (1, 1, 2, 3)
KINDS = nemesis_plan.KINDS
Deed = Callable[[Plan, Peers], Awaitable[bool]]
"""Begins it, holds it, ends it. Result: whether it took effect."""

DEEDS: Mapping[str, Deed] = {
    "partition": nemesis_network.partition,
    "flapping": nemesis_network.flapping,
    "slow": nemesis_network.flaw,
    "lossy": nemesis_network.flaw,
    "kill": nemesis_process.kill,
    "crashloop": nemesis_process.crashloop,
    "pause": nemesis_process.pause,
    "starve": nemesis_process.starve,
    "restart": nemesis_process.restart,
    "power": nemesis_disk.power,
    "diskfull": nemesis_disk.diskfull,
    "slowsync": nemesis_disk.slowsync,
    "failsync": nemesis_disk.failsync,
    "corrupt": nemesis_damage.corrupt,
    "clock": nemesis_disk.clock,
    "transfer": nemesis_process.transfer,
    "clients": nemesis_clients.die,
}
HOLDING = frozenset(
    {"kill", "crashloop", "pause", "starve", "restart", "power", "failsync", "corrupt", "diskfull"}
)
"""Kinds that decide whether a process runs, or can: no two of them hold one peer at a time."""
GENTLE = frozenset({"clock", "slowsync", "slow", "lossy", "starve", "diskfull", "clients"})
"""Kinds that a leader may survive, however often they hit it. Alone they get company: a transfer,
until the leader has changed."""
ALIKE = (frozenset({"partition", "flapping"}), frozenset({"slow", "lossy"}))
"""Of these one at a time: the end of one would be the end of the other."""


@dataclass(slots=True, kw_only=True)
class Nemesis:
    """kinds: of KINDS. leader: the peer that leads, as far as anybody says so. changes: of the
    leader that were seen; one that follows itself is none."""

    kinds: Sequence[str]
    peers: Peers
    recorder: Recorder
    chance: random.Random
    leader: Callable[[], str | None]
    changes: Callable[[], int]
    effects: Counter[str] = field(default_factory=Counter)
    tries: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)
    """What peers did after a fault and must not, whatever clients saw."""
    _held: set[str] = field(default_factory=set)

    async def run(self, *, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await _until(stop, self.chance.expovariate(1 / GAP_S))
            occasion = await self._occasion()
            if stop.is_set():
                return
            turn = self.chance.sample(list(self.kinds), len(self.kinds))
            turn.sort(key=self.effects.__getitem__)
            async with asyncio.TaskGroup() as group:
                for kind in [*_unlike(turn)[: self.chance.choice(AT_ONCE)], *self._company()]:
                    found = nemesis_plan.plan(kind, self.scene(), self.chance)
                    if found is not None:
                        holds = set(found.victims) if kind in HOLDING else set()
                        self._held |= holds
                        group.create_task(self._carry_out(found, occasion, holds))

    async def make_up(self, *, until_s: float) -> None:
        """What never took effect, one by one and aimed at the leader, whose links and disk are the
        busiest. until_s: of the loop's clock; what began by then is brought to its end."""
        loop = asyncio.get_running_loop()
        while (kinds := self._missing()) and loop.time() < until_s:
            scene = replace(self.scene(), is_first_leader=True)
            found = nemesis_plan.plan(kinds[0], scene, self.chance)
            if found is not None:
                await self._carry_out(found, OVERTIME, set())
            await asyncio.sleep(POLL_S)

    def _missing(self) -> list[str]:
        """Those that were tried least often first: one that cannot work here hides no other."""
        missing = [it for it in self.kinds if not self.effects[it]]
        if not missing and self.kinds and not self.changes():
            return ["transfer"]
        return sorted(missing, key=self.tries.__getitem__)

    def _company(self) -> list[str]:
        needs_it = not self.changes() and GENTLE.issuperset(self.kinds)
        return ["transfer"] if needs_it else []

    def scene(self) -> Scene:
        return Scene(
            ids=self.peers.ids,
            leader=self.leader(),
            is_first_leader=not self.changes(),
            free=frozenset(self.peers.ids) - self._held - self.peers.away,
        )

    async def _occasion(self) -> str:
        """Waits for it. Result: what it came to be."""
        wanted = self.chance.choice(OCCASIONS)
        if wanted == "acknowledgement":
            self.recorder.acknowledged.clear()
            if await _until(self.recorder.acknowledged, TRIGGER_S):
                return wanted
        if wanted == "leader":
            changes = self.changes()
            if await _until_true(lambda: self.changes() > changes, TRIGGER_S):
                return wanted
        return "time"

    async def _carry_out(self, plan: Plan, occasion: str, holds: set[str]) -> None:
        began_ns = self.recorder.now_ns()
        self.tries[plan.kind] += 1
        has_effect = True
        try:
            has_effect = await DEEDS[plan.kind](plan, self.peers)
        except Breach as breach:
            self.breaches.append(f"{plan.kind}: {breach}")
        finally:
            self._held -= holds
        self.effects[plan.kind] += has_effect
        self.recorder.note(
            "nemesis",
            fault=plan.kind,
            target=plan.target,
            began=began_ns,
            took_effect=has_effect,
            occasion=occasion,
            plan=asdict(plan),
        )

    async def heal(self) -> None:
        """Everything is as if there had been no fault; harmless to repeat."""
        if self.peers.environment is not None:
            await self.peers.links.heal()
            self.peers.links.mend()
        for peer in self.peers.by_id.values():
            if peer.page is not None:
                peer.page.heal()
            if isinstance(peer.disk, PowerDisk) and not peer.disk.has_power:
                peer.kill()
                peer.disk.restore()
            if peer.disk is not None:
                peer.disk.free()
            peer.signal(signal.SIGCONT)
            if peer.command and peer.id not in self.peers.lost:
                peer.start()

    async def bring_back(self) -> None:
        """After `heal`: whoever lost its files and was not taken in again yet, with the help of the
        others. When that fails it is a breach: nothing stands in the way any more."""
        self.breaches += await nemesis_damage.bring_back(self.peers)


def _unlike(kinds: Sequence[str]) -> list[str]:
    """Without those that are like one before them."""
    found: list[str] = []
    for kind in kinds:
        if not any(kind in alike and alike & set(found) for alike in ALIKE):
            found.append(kind)
    return found


async def _until(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _until_true(is_true: Callable[[], bool], seconds: float) -> bool:
    for _ in range(int(seconds / POLL_S)):
        if is_true():
            return True
        await asyncio.sleep(POLL_S)
    return False
