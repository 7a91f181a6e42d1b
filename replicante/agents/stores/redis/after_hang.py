"""Has a primary that hung with its whole machine take writes only while a replica follows it.

Run by the agent beside everything else.

A machine that stood still does not know that it was replaced, and nobody could end its server
meanwhile. When it goes on, the server takes writes until its agent is asked by the control plane.
The agent went on in the same moment, and its clocks tell it that it stood still. Then it has the
server ask for one replica (`min-replicas-to-write`): who was replaced has none, because they left
with its successor, and refuses writes by itself; for a primary that was not, nothing changes.

Rule: no decision is made here. So it needs no control plane, and who stood still for no reason pays
nothing, as long as a replica follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from replicante.agents.stores.redis.facts import Facts
from replicante.agents.stores.redis.server import RedisServer
from replicante.agents.stores.redis.talk import NoContact, Refused
from replicante.clock import Clock
from replicante.limits import REDIS_HUNG_MS, REDIS_HUNG_TICK_MS

GUARD_LAG_SECONDS = 11
"""Of nobody else's making: a guard of an agent that ended is known by it."""
_WANTED, _LAG = "min-replicas-to-write", "min-replicas-max-lag"
LAG_USUAL_SECONDS = 10
"""What Redis has without a configuration."""


class AfterHang:
    def __init__(self, *, server: RedisServer, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._is_in_doubt = False
        """It stood still, and the server was not told yet."""
        self._is_guarding = False
        self._has_replicas = True
        """When it was seen last; not known counts as yes."""

    def look(self, facts: Facts) -> None:
        """To be told what somebody's look has found."""
        if not self._is_in_doubt and not self._is_guarding:
            self._has_replicas = not facts.is_primary or bool(facts.replicas)

    def doubt(self) -> None:
        """Nobody knows whether it was replaced."""
        self._is_in_doubt = True

    async def run(self) -> None:
        """Until it is cancelled."""
        await self._try(self._find())
        while True:
            before = self._times()
            await asyncio.sleep(REDIS_HUNG_TICK_MS / 1_000)
            if self._stood_still_ms(before) >= REDIS_HUNG_MS:
                # Where nobody follows, nobody could take over.
                self._is_in_doubt = self._has_replicas
            if self._is_in_doubt:
                await self._try(self._guard())
            elif self._is_guarding:
                await self._try(self._lift())

    async def _find(self) -> None:
        """A guard that an earlier process left."""
        self._is_guarding = await self._setting(_LAG) == GUARD_LAG_SECONDS

    async def _guard(self) -> None:
        if await self._setting(_WANTED) == 0:
            # In this order: what is left of a half is no guard, and is made whole by the next try.
            await self._server.call("CONFIG SET", _LAG, GUARD_LAG_SECONDS)
            await self._server.call("CONFIG SET", _WANTED, 1)
            self._is_guarding = True
        elif await self._setting(_LAG) == GUARD_LAG_SECONDS:
            self._is_guarding = True
        self._is_in_doubt = False

    async def _lift(self) -> None:
        """When it has replicas, or is one itself, or somebody set it otherwise."""
        facts = await self._server.facts()
        is_ours = await self._setting(_LAG) == GUARD_LAG_SECONDS
        if is_ours and facts.is_primary and not facts.replicas:
            return
        if is_ours:
            await self._server.call("CONFIG SET", _WANTED, 0)
            await self._server.call("CONFIG SET", _LAG, LAG_USUAL_SECONDS)
        self._is_guarding = False

    async def _setting(self, name: str) -> int:
        return int((await self._server.call("CONFIG GET", name))[name])

    def _times(self) -> tuple[int, int]:
        return self._clock.monotonic_ms(), self._clock.wall_ms()

    def _stood_still_ms(self, before: tuple[int, int]) -> int:
        """By whichever clock counted on: that of a virtual machine which was suspended may not."""
        passed = (now - then for now, then in zip(self._times(), before, strict=True))
        return max(passed) - REDIS_HUNG_TICK_MS

    async def _try(self, work: Coroutine[Any, Any, None]) -> None:
        """A server that does not answer takes no write either; the next tick tries again. One that
        keeps its settings to itself cannot be guarded."""
        try:
            await work
        except (NoContact, Refused, LookupError, ValueError):
            return
