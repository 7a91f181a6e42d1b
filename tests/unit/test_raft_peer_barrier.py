"""Between what a peer decides and what it says lies its disk (Raft paper figure 2: persistent state
is updated before responding)."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import SimpleNamespace

from raft_harness import ListMachine

from replicante.raft.in_memory import InMemoryMachine
from replicante.raft.inputs import Effects
from replicante.raft.peer import Peer
from replicante.raft.waiters import AppliedWaiters

PATIENCE_S = 20
TURNS = 50
"""Of the loop: enough for a step that waits for nothing."""


class Decider:
    """A driver whose every step is a vote, and an append that may go before it."""

    agreement = SimpleNamespace(quarantine=None)
    engine = SimpleNamespace(roster=None, is_removed=False, is_leader=False)
    log = SimpleNamespace(has_writes=True, take_writes=lambda: "a vote")
    wants_step = False
    applied_index = 0

    def __init__(self, told):
        self._told = told

    def step(self, inputs, *, now_ms, wall_ms):
        self._told.append("decided")
        return Effects(early=[("b", "an append")], late=[("b", "the vote")])

    def persisted(self):
        self._told.append("is durable")

    def next_wake_ms(self):
        return 1 << 60

    def stop(self):
        return Effects()


class Flooded(Decider):
    """In its first step, and no more in the second one."""

    log = SimpleNamespace(has_writes=False)

    def step(self, inputs, *, now_ms, wall_ms):
        self._told.append("decided")
        is_first = len(self._told) == 1
        return Effects(is_flooded=is_first, has_more=is_first)


class Links:
    def __init__(self, told):
        self._told = told
        self._is_held = False

    def hold_bulk(self, *, is_held):
        if is_held is not self._is_held:
            self._told.append("reads no more commands" if is_held else "reads them again")
        self._is_held = is_held

    def send(self, messages):
        self._told += [message for _, message in messages]

    def set_roster(self, roster): ...

    def check(self): ...

    async def advance_birth(self, committer): ...

    async def stop(self): ...


class SlowDisk:
    is_stopping = False

    def __init__(self, told):
        self._told = told
        self.is_asked, self.may_end = asyncio.Event(), asyncio.Event()

    async def commit(self, writes, *, is_awaited):
        self.is_asked.set()
        await self.may_end.wait()
        self._told.append(f"wrote {writes}")


class NoNote:
    async def keep(self, quarantine, committer): ...


class NoSnapshots:
    async def step(self, driver, effects):
        return None

    async def stop(self): ...

    async def close(self): ...


def running(told, disk, driver=None):
    peer = Peer(Path("unused"), "a", "127.0.0.1:1", {}, ListMachine())
    peer._wake, peer._followed, peer._waiters = asyncio.Event(), asyncio.Event(), AppliedWaiters()
    peer._machine, peer._snapshots = InMemoryMachine(ListMachine()), NoSnapshots()
    peer._driver, peer._neighbours, peer._committing = driver or Decider(told), Links(told), disk
    peer._quarantine_note, peer._committer = NoNote(), None
    peer._opened = contextlib.ExitStack()
    peer._task = asyncio.create_task(peer._run())
    return peer


async def turns():
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def test_nothing_that_depends_on_a_write_is_said_before_the_write_is_durable():
    told = []
    disk = SlowDisk(told)
    peer = running(told, disk)
    peer._wake.set()
    async with asyncio.timeout(PATIENCE_S):
        await disk.is_asked.wait()
    peer._wake.set()
    await turns()
    # Neither the vote nor another step; an append that nobody counts before the own write may go.
    assert told == ["decided", "an append"]
    peer._is_stopping = True
    disk.may_end.set()
    async with asyncio.timeout(PATIENCE_S):
        await peer.wait_closed()
    assert told == ["decided", "an append", "wrote a vote", "is durable", "the vote"]


async def test_a_leader_where_too_many_commands_wait_reads_no_more_of_them_until_some_are_gone():
    """What it drops instead, the clock would not wait for (ADR 0013)."""
    told = []
    peer = running(told, SlowDisk(told), Flooded(told))
    peer._wake.set()
    await turns()
    await peer.stop()
    assert told[:4] == ["decided", "reads no more commands", "decided", "reads them again"]
