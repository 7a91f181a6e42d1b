"""However a peer ends, or a start of one, its directory is free and no thread of it stays."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest
from raft_harness import ListMachine
from test_raft_peer_answers import BrokenDriver, NoNeighbours, running

from replicante.dir_lock import DirLock
from replicante.errors import AddressInUse, FatalError
from replicante.raft.neighbours import Neighbours
from replicante.raft.peer import Peer


class NoEnd(NoNeighbours):
    async def close(self):
        raise RuntimeError("can't start new thread")


async def test_a_directory_is_let_go_whatever_fails_at_the_end(tmp_path):
    peer = running(BrokenDriver())
    peer._snapshots = NoEnd()
    peer._opened.callback(DirLock.acquire(tmp_path).release)
    peer._wake.set()
    with pytest.raises(RuntimeError, match="new thread"):
        await peer.wait_closed()
    DirLock.acquire(tmp_path).release()


class BrokenNeighbours(NoNeighbours):
    """What ended the transport is told again by whoever stops it."""

    async def stop(self):
        raise RuntimeError("a bug in the transport")


class Closing(NoNeighbours):
    is_closed = False

    async def close(self):
        self.is_closed = True


async def test_what_fails_at_the_end_keeps_nothing_else_from_its_end(tmp_path):
    """Threads that copy the state are waited for before it is closed."""
    peer = running(BrokenDriver())
    peer._neighbours, peer._snapshots = BrokenNeighbours(), Closing()
    closed = []
    peer._opened.callback(lambda: closed.append(peer._snapshots.is_closed))
    peer._wake.set()
    with pytest.raises(RuntimeError, match="transport"):
        await peer.wait_closed()
    assert closed == [True]


async def test_a_start_that_is_refused_leaves_no_thread_behind(tmp_path, monkeypatch):
    """The next one in this process may be receiving a copy, which that thread would cut off."""

    async def refuse(neighbours):
        raise AddressInUse("127.0.0.1:1 is taken")

    monkeypatch.setattr(Neighbours, "start", refuse)
    before = set(threading.enumerate())
    for _ in range(2):
        peer = Peer(tmp_path, "a", "127.0.0.1:1", {"a": "127.0.0.1:1"}, ListMachine())
        with pytest.raises(AddressInUse):
            await peer.start()
    left = [it.name for it in set(threading.enumerate()) - before]
    assert [name for name in left if name.startswith("raft-")] == []


class Endless(NoNeighbours):
    """Its end waits for a disk."""

    def __init__(self):
        self.is_asked, self.may_end = asyncio.Event(), asyncio.Event()

    async def close(self):
        self.is_asked.set()
        await self.may_end.wait()


async def test_who_waits_for_the_end_of_a_peer_can_be_cancelled():
    """Or a time limit around `stop` would not be told that the peer has not ended."""
    peer = running(BrokenDriver())
    slow = peer._snapshots = Endless()
    peer._driver = None
    stopping = asyncio.create_task(peer.stop())
    await slow.is_asked.wait()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert not peer._task.done(), "it ends by itself"
    slow.may_end.set()
    await peer.stop()
    assert peer._task.done()


class BrokenFollower(BrokenDriver):
    engine = SimpleNamespace(is_leader=False)


async def test_what_ended_a_peer_is_not_told_by_its_stop():
    peer = running(BrokenFollower())
    peer._wake.set()
    await asyncio.wait([peer._task])
    await peer.stop()
    with pytest.raises(FatalError):
        await peer.wait_closed()
