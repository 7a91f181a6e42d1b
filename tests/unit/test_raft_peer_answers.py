"""What a peer tells its callers when it cannot go on: never more than it knows."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from raft_harness import ListMachine

from replicante import limits
from replicante.errors import (
    DiskFull,
    FatalError,
    NoLeader,
    OutcomeUnknown,
    PeerStopping,
    QueueFull,
)
from replicante.raft.changes import Change, ChangeKind
from replicante.raft.in_memory import InMemoryMachine
from replicante.raft.inputs import Effects
from replicante.raft.membership import NOBODY
from replicante.raft.peer import Peer
from replicante.raft.waiters import AppliedWaiters

PATIENCE_S = 10
"""Less than a caller's own time: who is not answered is seen."""


class NoNeighbours:
    """Nobody is there, and nothing goes wrong with them."""

    def check(self): ...

    async def advance_birth(self, committer): ...

    async def stop(self): ...

    async def close(self): ...

    def set_roster(self, roster): ...

    def send(self, messages): ...

    def hold_bulk(self, *, is_held): ...


class NoDisk:
    """Of a peer that never writes."""

    is_stopping = False


class BrokenDriver:
    """Takes everything, applies it, and fails before it could say so."""

    def __init__(self):
        self.taken = []

    def step(self, inputs, *, now_ms, wall_ms):
        self.taken += inputs
        raise FatalError("the entry after it cannot be applied")

    def next_wake_ms(self):
        return 1 << 60

    def stop(self):
        return Effects()


class WritingDriver:
    """Of a follower: each step has something to write."""

    def __init__(self):
        self.engine = SimpleNamespace(is_leader=False, roster=NOBODY)
        self.log = SimpleNamespace(has_writes=True, take_writes=lambda: None)

    def step(self, inputs, *, now_ms, wall_ms):
        return Effects()

    def next_wake_ms(self):
        return 1 << 60

    def stop(self):
        return Effects()


class FullDisk:
    """Waits for room until the peer stops."""

    def __init__(self):
        self.is_tried, self._is_stopped = asyncio.Event(), asyncio.Event()

    is_stopping = property(lambda self: False, lambda self, value: self._is_stopped.set())

    async def commit(self, writes, *, is_awaited):
        self.is_tried.set()
        await self._is_stopped.wait()
        raise DiskFull("no room")


def running(driver):
    peer = Peer(Path("unused"), "a", "127.0.0.1:1", {}, ListMachine())
    peer._wake, peer._followed, peer._waiters = asyncio.Event(), asyncio.Event(), AppliedWaiters()
    peer._machine, peer._neighbours = InMemoryMachine(ListMachine()), NoNeighbours()
    peer._snapshots, peer._committing = NoNeighbours(), NoDisk()
    peer._committer, peer._opened = None, contextlib.ExitStack()
    peer._driver = driver
    peer._task = asyncio.create_task(peer._run())
    return peer


async def test_what_a_failed_step_may_have_applied_is_unknown():
    peer = running(BrokenDriver())
    with pytest.raises(OutcomeUnknown):
        await peer.propose(b"x", timeout_ms=60_000)
    with pytest.raises(FatalError):
        await peer.wait_closed()
    assert len(peer.__dict__["_driver"].taken) == 1


async def test_after_its_end_a_peer_refuses_definitely():
    peer = running(BrokenDriver())
    peer._wake.set()
    with pytest.raises(FatalError):
        await peer.wait_closed()
    with pytest.raises(PeerStopping):
        await peer.propose(b"x", timeout_ms=60_000)
    with pytest.raises(PeerStopping):
        await peer.read_barrier(timeout_ms=60_000)


async def test_an_unborn_peer_never_did_what_it_was_asked(monkeypatch):
    monkeypatch.setattr("replicante.raft.callers._GRACE_MS", 0)
    peer = running(None)
    with pytest.raises(NoLeader):
        await peer.propose(b"x", timeout_ms=0)
    peer._is_stopping = True
    peer._wake.set()
    await peer.wait_closed()


async def test_an_unborn_peer_that_stops_refuses_definitely():
    peer = running(None)
    waiting = asyncio.create_task(peer.propose(b"x", timeout_ms=60_000))
    await asyncio.sleep(0)
    await peer.stop()
    with pytest.raises(PeerStopping):
        await waiting


async def test_a_peer_that_takes_nothing_out_of_its_inbox_refuses_more(monkeypatch):
    monkeypatch.setattr("replicante.raft.callers._GRACE_MS", 0)
    monkeypatch.setattr(limits, "PROPOSALS_PENDING_BYTES_MAX", 3)
    peer = running(None)
    with pytest.raises(NoLeader):
        await peer.propose(b"xyz", timeout_ms=0)
    with pytest.raises(QueueFull):
        await peer.propose(b"x", timeout_ms=0)
    with pytest.raises(QueueFull):
        await peer.read_barrier(timeout_ms=0)
    await peer.stop()


INVITATION = Change(kind=ChangeKind.INVITE, peer_id="b", digest="00")


async def test_a_change_of_members_that_no_step_took_is_refused_definitely_by_a_stop():
    peer = running(None)
    waiting = asyncio.create_task(peer._change(INVITATION, timeout_ms=60_000))
    await asyncio.sleep(0)
    await peer.stop()
    with pytest.raises(PeerStopping):
        async with asyncio.timeout(PATIENCE_S):
            await waiting


async def test_a_change_of_members_is_unknown_where_the_step_that_took_it_failed():
    peer = running(BrokenDriver())
    with pytest.raises(OutcomeUnknown):
        async with asyncio.timeout(PATIENCE_S):
            await peer._change(INVITATION, timeout_ms=60_000)
    with pytest.raises(FatalError):
        await peer.wait_closed()


async def test_a_stop_on_a_full_disk_ends_without_a_word_and_its_step_is_unknown():
    peer = running(WritingDriver())
    peer._committing = FullDisk()
    waiting = asyncio.create_task(peer.propose(b"x", timeout_ms=60_000))
    await peer._committing.is_tried.wait()
    await peer.stop()
    await peer.wait_closed()
    with pytest.raises(OutcomeUnknown):
        await waiting
