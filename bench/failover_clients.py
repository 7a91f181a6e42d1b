"""Clients that write numbered increments to Redis all the time, for bench/failover.py.

Each write is one transaction: a counter goes up, and the number enters the client's own set. It
counts as acknowledged when the server answered, as most programs take it. So what a client was
promised can be compared with what is there when all is over.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from redis import exceptions

from replicante.clock import Clock
from replicante.demo.writer import open_redis

WRITE_PAUSE_MS = 10
LOOK_PAUSE_MS = 20
CALL_MS_MAX = 500
FAILURES = (exceptions.RedisError, OSError, TimeoutError)

Lookup = Callable[[], Awaitable[str | None]]
"""host:port of the primary as somebody knows it; None: nobody knows."""


@dataclass(frozen=True, slots=True)
class Ack:
    number: int
    address: str
    at_ms: int


@dataclass(slots=True)
class Client:
    """One client. lookup: asked at the start and after each error; a pinned one is always told the
    same."""

    name: str
    lookup: Lookup
    clock: Clock
    acks: list[Ack] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def run(self, stop: asyncio.Event) -> None:
        """Until it is told to stop. A cancellation would not do: `redis` loses one that meets an
        answer."""
        while not stop.is_set():
            address = await self.lookup()
            if address is not None:
                await self._write_to(address, stop)
            await asyncio.sleep(LOOK_PAUSE_MS / 1_000)

    async def _write_to(self, address: str, stop: asyncio.Event) -> None:
        """Until the first error."""
        try:
            async with open_redis(address, call_ms=CALL_MS_MAX) as redis:
                while not stop.is_set():
                    number = next(self.numbers)
                    async with asyncio.timeout(CALL_MS_MAX / 1_000):
                        transaction = redis.pipeline(transaction=True)
                        transaction.incr(f"{self.name}:count")
                        transaction.sadd(self.name, number)
                        await transaction.execute()
                    self.acks.append(Ack(number, address, self.clock.monotonic_ms()))
                    await asyncio.sleep(WRITE_PAUSE_MS / 1_000)
        except FAILURES:
            return

    def first_after(self, moment_ms: int, *, not_at: str) -> Ack | None:
        found = (it for it in self.acks if it.at_ms > moment_ms and it.address != not_at)
        return next(found, None)

    def longest_pause_ms(self, since_ms: int) -> int:
        """Between two acknowledgements of which the second came after a moment."""
        pauses = [
            later.at_ms - earlier.at_ms
            for earlier, later in itertools.pairwise(self.acks)
            if later.at_ms > since_ms
        ]
        return max(pauses, default=0)

    async def lost(self, address: str) -> int:
        """How many acknowledged numbers are not in its set there.  Raises FAILURES."""
        async with open_redis(address, call_ms=CALL_MS_MAX) as redis:
            there = {int(it) async for it in redis.sscan_iter(self.name, count=1_000)}
        return sum(it.number not in there for it in self.acks)
