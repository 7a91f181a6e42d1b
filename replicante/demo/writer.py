"""The client of the demo: writes numbered increments to Redis all the time, and counts what it was
promised. Called by the scenes.

A write is one transaction: the counter goes up, and the number of the write enters a set. It counts
as acknowledged when the primary answered *and* a replica has it (`WAIT 1`): a Redis primary alone
promises nothing that survives it. A number is used once; what was not acknowledged is in doubt.

Rule: this file learns of roles as any client would: from a peer of the control plane, after an
error.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from redis import asyncio as redis_asyncio
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from replicante.client import Client
from replicante.clock import Clock
from replicante.demo.lookups import Copy, find_primary
from replicante.errors import ReplicanteError

COUNTER, NUMBERS = "demo:count", "demo:numbers"
WRITE_PAUSE_MS = 15
LOOK_PAUSE_MS = 50
CALL_MS_MAX = 1_000
REPLICA_MS_MAX = 250
"""How long a write waits for a replica before it is in doubt."""

RedisError = exceptions.RedisError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    number: int
    node_id: str
    at_ms: int
    """Monotonic."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """What the writer was told. taken: by a primary that answered, with a replica or without."""

    acks: list[Ack] = field(default_factory=list)
    in_doubt: set[int] = field(default_factory=set)
    taken: list[Ack] = field(default_factory=list)
    grew: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at every acknowledgement; whoever waits clears it first."""

    async def wait_for(self, count: int, *, after_ms: int = 0, not_by: str | None = None) -> None:
        """Until so many were acknowledged after a moment, by another node than `not_by`. Give it
        a time limit."""
        while sum(it.at_ms > after_ms and it.node_id != not_by for it in self.acks) < count:
            self.grew.clear()
            await self.grew.wait()

    def longest_pause_ms(self, *, since_ms: int, until_ms: int) -> int | None:
        """Between two acknowledgements of which the second came in that time."""
        pauses = [
            later.at_ms - earlier.at_ms
            for earlier, later in itertools.pairwise(self.acks)
            if since_ms < later.at_ms <= until_ms
        ]
        return max(pauses, default=None)

    def first_taken(self, *, after_ms: int, not_by: str) -> Ack | None:
        found = (it for it in self.taken if it.at_ms > after_ms and it.node_id != not_by)
        return next(found, None)


class Writer:
    def __init__(self, urls: Sequence[str], *, ledger: Ledger, clock: Clock) -> None:
        self._urls = urls
        self._ledger = ledger
        self._clock = clock
        self._numbers = itertools.count(1)

    async def run(self, stop: asyncio.Event) -> None:
        """Until it is told to stop."""
        async with Client(self._urls) as client:
            while not stop.is_set():
                primary = await _look_up(client)
                if primary is not None:
                    await self._write_to(primary, stop)
                await asyncio.sleep(LOOK_PAUSE_MS / 1_000)

    async def _write_to(self, primary: Copy, stop: asyncio.Event) -> None:
        """Until the first error, which sends the writer back to look the primary up."""
        try:
            async with open_redis(primary.address) as redis:
                while not stop.is_set():
                    await self._write(redis, primary.node_id)
                    await asyncio.sleep(WRITE_PAUSE_MS / 1_000)
        except (RedisError, OSError, TimeoutError):
            return

    async def _write(self, redis: redis_asyncio.Redis, node_id: str) -> None:
        ledger, number = self._ledger, next(self._numbers)
        # In doubt from before it leaves until both answers are there.
        ledger.in_doubt.add(number)
        async with asyncio.timeout(CALL_MS_MAX / 1_000):
            transaction = redis.pipeline(transaction=True)
            transaction.incr(COUNTER)
            transaction.sadd(NUMBERS, number)
            await transaction.execute()
        taken_ms = self._clock.monotonic_ms()
        ledger.taken.append(Ack(number=number, node_id=node_id, at_ms=taken_ms))
        async with asyncio.timeout(CALL_MS_MAX / 1_000):
            replicas_count = await redis.wait(1, REPLICA_MS_MAX)
        if replicas_count:
            acknowledged_ms = self._clock.monotonic_ms()
            ledger.acks.append(Ack(number=number, node_id=node_id, at_ms=acknowledged_ms))
            ledger.in_doubt.discard(number)
            ledger.grew.set()


def open_redis(address: str, *, call_ms: int = CALL_MS_MAX) -> redis_asyncio.Redis:
    """One connection, without repeats of its own. Use as a context. call_ms: of each call."""
    host, _, port = address.rpartition(":")
    return redis_asyncio.Redis(
        host=host,
        port=int(port),
        socket_timeout=call_ms / 1_000,
        socket_connect_timeout=call_ms / 1_000,
        decode_responses=True,
        single_connection_client=True,
        retry=Retry(NoBackoff(), 0),
    )


async def read_back(address: str) -> tuple[tuple[int, ...], int]:
    """The numbers that are there, in order, and the counter.  Raises RedisError, OSError."""
    async with open_redis(address) as redis:
        numbers = [int(it) async for it in redis.sscan_iter(NUMBERS, count=1_000)]
        return tuple(sorted(set(numbers))), int(await redis.get(COUNTER) or 0)


async def takes_writes(address: str) -> bool:
    """Whether a write is taken there. A refusal is an answer; silence raises RedisError,
    OSError."""
    async with open_redis(address) as redis:
        try:
            await redis.incr("demo:stray")
        except exceptions.ReadOnlyError:
            return False
        return True


async def _look_up(client: Client) -> Copy | None:
    try:
        return await find_primary(client)
    except ReplicanteError:
        # Peers are killed in this demo: the next look asks another one.
        return None
