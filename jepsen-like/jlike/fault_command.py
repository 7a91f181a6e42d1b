"""Faults in a cluster that others run: their command makes them, we say which, where and when.

Used by `jlike.runner` with `--fault-command`. The command is called with four words more:

    COMMAND begin|end KIND PEER URL

`begin` makes the fault and answers 0 when it took effect; `end` takes it back and must be harmless
to repeat. Whatever began is ended, also when the run is interrupted; what cannot be ended breaks
the run, because all that comes after would be judged under a fault that nobody knows of.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jlike.peers import Peers
from jlike.recorder import Recorder

GAP_S = 3.0
HELD_S = (1.0, 6.0)
COMMAND_S = 60.0
LEADER_SHARE = 0.35
TRIES_MAX = 5
"""A command that fails so often will not do better."""
ENDS_MAX = 3
AGAIN_S = 1.0


@dataclass(slots=True, kw_only=True)
class FaultCommand:
    """One fault at a time, on one peer; while the leader never changed, on the leader."""

    command: str
    kinds: Sequence[str]
    peers: Peers
    recorder: Recorder
    chance: random.Random
    leader: Callable[[], str | None]
    changes: Callable[[], int]
    effects: Counter[str] = field(default_factory=Counter)
    tries: Counter[str] = field(default_factory=Counter)
    breaches: tuple[str, ...] = ()
    _open: set[tuple[str, str]] = field(default_factory=set)

    async def run(self, *, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await _until(stop, self.chance.expovariate(1 / GAP_S))
            if stop.is_set():
                return
            kind = min(self.kinds, key=lambda it: (self.effects[it], self.chance.random()))
            await self.once(kind, self._victim())

    def _victim(self) -> str:
        leader = self.leader()
        is_wanted = not self.changes() or self.chance.random() < LEADER_SHARE
        if leader is not None and is_wanted:
            return leader
        return self.chance.choice(self.peers.ids)

    async def make_up(self, *, until_s: float) -> None:
        """What never took effect, on the leader. until_s: of the loop's clock."""
        loop = asyncio.get_running_loop()
        while loop.time() < until_s:
            missing = [it for it in self.kinds if not self.effects[it]]
            if not missing:
                return
            kind = min(missing, key=self.tries.__getitem__)
            await self.once(kind, self.leader() or self.chance.choice(self.peers.ids))
            if not self.effects[kind] and self.tries[kind] >= TRIES_MAX:
                return

    async def once(self, kind: str, peer_id: str) -> None:
        began_ns = self.recorder.now_ns()
        self._open.add((kind, peer_id))
        self.tries[kind] += 1
        has_effect = await self._call("begin", kind, peer_id)
        await asyncio.sleep(self.chance.uniform(*HELD_S))
        await self._end(kind, peer_id)
        self.effects[kind] += has_effect
        self.recorder.note(
            "nemesis",
            fault=kind,
            target=peer_id,
            began=began_ns,
            took_effect=has_effect,
            was_ended=(kind, peer_id) not in self._open,
        )

    async def heal(self) -> None:
        """Ends what is still open; harmless to repeat. Raises OSError when it cannot be."""
        for _ in range(ENDS_MAX):
            for kind, peer_id in sorted(self._open):
                await self._end(kind, peer_id)
            if not self._open:
                return
            await asyncio.sleep(AGAIN_S)
        still = ", ".join(f"{kind} at {peer_id}" for kind, peer_id in sorted(self._open))
        raise OSError(f"the fault command did not take back: {still}")

    async def bring_back(self) -> None:
        """What its faults took away is the command's to bring back."""

    async def _end(self, kind: str, peer_id: str) -> None:
        if await self._call("end", kind, peer_id):
            self._open.discard((kind, peer_id))

    async def _call(self, word: str, kind: str, peer_id: str) -> bool:
        words = [*shlex.split(self.command), word, kind, peer_id, self.peers[peer_id].url]
        process = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL)
        try:
            async with asyncio.timeout(COMMAND_S):
                return await process.wait() == 0
        except TimeoutError:
            return False
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _until(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
