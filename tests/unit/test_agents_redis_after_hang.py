"""What the Redis agent does when its clocks tell it that its machine stood still."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest
from agent_harness import POLL_SECONDS
from test_agents_redis_facts import PRIMARY, REPLICA

from replicante.agents.sdk import StoreContact
from replicante.agents.stores.redis.after_hang import GUARD_LAG_SECONDS, AfterHang
from replicante.agents.stores.redis.facts import Facts, read_facts
from replicante.agents.stores.redis.talk import NoContact
from replicante.limits import REDIS_HUNG_MS
from replicante.testing.clock import ManualClock

FOLLOWED = read_facts(PRIMARY)
ALONE = dataclasses.replace(FOLLOWED, replicas=())
UNTOUCHED = {"min-replicas-to-write": "0", "min-replicas-max-lag": "2"}
GUARDED = {"min-replicas-to-write": "1", "min-replicas-max-lag": str(GUARD_LAG_SECONDS)}


class FakeServer:
    """Holds settings and facts, and may be silent."""

    def __init__(self, facts: Facts, settings: dict[str, str]) -> None:
        self.seen, self.settings = facts, dict(settings)
        self.is_silent = False
        self.asked = asyncio.Event()

    async def call(self, command: str, name: str, *value: int) -> dict[str, str]:
        self.asked.set()
        if self.is_silent:
            raise NoContact(StoreContact.SILENT, "it says nothing")
        if command == "CONFIG SET":
            self.settings[name] = str(value[0])
        return {name: self.settings[name]}

    async def facts(self) -> Facts:
        return self.seen


@contextlib.asynccontextmanager
async def running(server: FakeServer, clock: ManualClock) -> AsyncIterator[AfterHang]:
    """Once it has looked what is left of an earlier process."""
    found = AfterHang(server=server, clock=clock)
    task = asyncio.create_task(found.run())
    try:
        await server.asked.wait()
        yield found
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(claim) -> None:
    async with asyncio.timeout(30):
        while not claim():  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)


async def next_look(server: FakeServer) -> None:
    server.asked.clear()
    async with asyncio.timeout(30):
        await server.asked.wait()


async def test_a_primary_that_stood_still_asks_for_a_replica_until_one_follows():
    server, clock = FakeServer(ALONE, UNTOUCHED), ManualClock()
    async with running(server, clock):
        clock.advance(REDIS_HUNG_MS * 2)
        await until(lambda: server.settings == GUARDED)
        await next_look(server)
        assert server.settings == GUARDED
        server.seen = FOLLOWED
        await until(lambda: server.settings["min-replicas-to-write"] == "0")


async def test_one_that_was_made_a_replica_is_left_as_it_was():
    server, clock = FakeServer(ALONE, UNTOUCHED), ManualClock()
    async with running(server, clock):
        clock.advance(REDIS_HUNG_MS * 2)
        await until(lambda: server.settings == GUARDED)
        server.seen = read_facts(REPLICA)
        await until(lambda: server.settings["min-replicas-to-write"] == "0")


async def test_a_server_that_is_silent_at_first_is_asked_again():
    server, clock = FakeServer(ALONE, UNTOUCHED), ManualClock()
    async with running(server, clock):
        server.is_silent = True
        clock.advance(REDIS_HUNG_MS * 2)
        await next_look(server)
        server.is_silent = False
        await until(lambda: server.settings == GUARDED)


async def test_a_guard_that_an_earlier_agent_left_is_taken_away():
    server = FakeServer(FOLLOWED, GUARDED)
    async with running(server, ManualClock()):
        await until(lambda: server.settings["min-replicas-to-write"] == "0")


@pytest.mark.parametrize(
    ("seen", "settings"),
    [
        (ALONE, UNTOUCHED),
        (FOLLOWED, {"min-replicas-to-write": "1", "min-replicas-max-lag": "2"}),
        (FOLLOWED, {"min-replicas-to-write": "1000000", "min-replicas-max-lag": "1"}),
    ],
    ids=["nobody_followed_it", "protected_anyway", "refuses_all"],
)
async def test_what_needs_no_guard_or_has_a_stricter_one_is_left_alone(seen, settings):
    server, clock = FakeServer(seen, settings), ManualClock()
    async with running(server, clock) as found:
        found.look(seen)
        clock.advance(REDIS_HUNG_MS * 2)
        for _ in range(30):
            await asyncio.sleep(POLL_SECONDS)
        assert server.settings == settings
