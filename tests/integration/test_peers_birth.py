"""A cluster is born whatever the order in which the links of its peers come up, and in which they
get to write that they are born."""

from __future__ import annotations

import asyncio

from cluster_peer import PORTS
from peer_words import NAMES, PATIENCE_S, said, started

from replicante.raft import Peer
from replicante.raft.commit_thread import CommitThread
from replicante.raft.frames import Channel
from replicante.raft.link_observations import LinkUp
from replicante.raft.neighbours import Neighbours
from replicante.raft.transport import Transport

LINKS = len(NAMES) * (len(NAMES) - 1)


class LateBulk:
    """Every peer has greeted every other one on both links before anything was agreed; then they
    agree, and only then learn that the second link of each pair stands."""

    def __init__(self, monkeypatch) -> None:
        self._held: list[tuple[Neighbours, LinkUp]] = []
        self._has_come = False
        self._observe, self._is_connected = Neighbours._observe, Transport.is_connected
        self._run, self._may_write = CommitThread.run, asyncio.Event()
        late = self

        def observe(neighbours: Neighbours, observation) -> None:
            match observation:
                case LinkUp(is_inbound=False, channel=Channel.BULK) if not late._has_come:
                    late._held.append((neighbours, observation))
                    if len(late._held) == LINKS:
                        late._may_write.set()
                case _:
                    late._observe(neighbours, observation)

        def is_connected(transport: Transport, peer_id, channel=Channel.VITAL) -> bool:
            if channel is Channel.BULK and not late._has_come:
                return False
            return late._is_connected(transport, peer_id, channel)

        async def run(thread: CommitThread, write) -> None:
            await late._may_write.wait()
            await late._run(thread, write)

        monkeypatch.setattr(CommitThread, "run", run)
        monkeypatch.setattr(Neighbours, "_observe", observe)
        monkeypatch.setattr(Transport, "is_connected", is_connected)

    def comes(self) -> None:
        self._has_come = True
        for neighbours, observation in self._held:
            self._observe(neighbours, observation)


async def agreed(peer: Peer) -> None:
    """Until its agreement is on its disk."""
    while True:
        if peer._neighbours.header.birth_lock:
            return
        await asyncio.sleep(0.01)


async def test_what_is_agreed_before_the_second_link_of_a_pair_stands_is_heard(
    tmp_path, monkeypatch
):
    late = LateBulk(monkeypatch)
    addresses = {name: f"127.0.0.1:{PORTS.take()}" for name in NAMES}
    peers = [(await started(tmp_path, addresses, name))[0] for name in NAMES]
    try:
        async with asyncio.timeout(PATIENCE_S):
            for peer in peers:
                await agreed(peer)
        late.comes()
        await said(peers[0], b"we live")
    finally:
        for peer in peers:
            await peer.stop()


async def heard_all(peer: Peer) -> None:
    """Until it knows of every member which level that one supports."""
    while True:
        levels = [it.level_max for it in peer.status().peers]
        if levels and None not in levels:
            return
        await asyncio.sleep(0.01)


class LateBirth:
    """One peer has agreed, and writes that it was born when it is told to."""

    def __init__(self, monkeypatch, name: str) -> None:
        self.may_write = asyncio.Event()
        advance, late = Neighbours.advance_birth, self

        async def advance_birth(neighbours: Neighbours, committer: CommitThread) -> None:
            if neighbours._settings.peer_id == name and neighbours.header.birth_lock:
                await late.may_write.wait()
            await advance(neighbours, committer)

        monkeypatch.setattr(Neighbours, "advance_birth", advance_birth)


async def test_who_is_born_last_hears_what_the_others_told_it_before(tmp_path, monkeypatch):
    late = LateBirth(monkeypatch, NAMES[-1])
    addresses = {name: f"127.0.0.1:{PORTS.take()}" for name in NAMES}
    peers = [(await started(tmp_path, addresses, name))[0] for name in NAMES]
    try:
        await said(peers[0], b"two of three live")
        late.may_write.set()
        async with asyncio.timeout(PATIENCE_S):
            for peer in peers:
                await heard_all(peer)
    finally:
        late.may_write.set()
        for peer in peers:
            await peer.stop()
