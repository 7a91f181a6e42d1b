"""Peers in one's own program: snapshots, members, recovery. docs/howto/raft-in-a-program.md."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

from replicante.errors import Conflict
from replicante.raft import Peer, PeerOptions, recovery

IDS = ("a", "b", "c", "d")
FOLDER = Path("notes-data")


class Notes:
    def __init__(self):
        self.lines = []

    def apply(self, entry):
        self.lines.append(entry.data)
        return str(len(self.lines)).encode()

    def snapshot(self):
        return iter(self.lines)

    def restore(self, chunks):
        self.lines = list(chunks)


async def started(folder, peer_id, peers, **options):
    notes = Notes()
    peer = Peer(
        folder / peer_id, peer_id, peers[peer_id], peers, notes, options=PeerOptions(**options)
    )
    await peer.start()
    return peer, notes


async def grow(a, peers):
    token = await a.invite("d")
    d, notes = await started(FOLDER, "d", peers, join=token)
    await d.read_barrier(timeout_ms=10_000)
    print("d is a learner and has", len(notes.lines), "notes")

    await a.promote("d")
    print("voters:", *(it.peer_id for it in a.configuration.voters))

    await a.remove("d")
    await d.stop()
    print("voters:", *(it.peer_id for it in a.configuration.voters))


async def make_backup(a):
    made = await a.backup(Path("first"), timeout_ms=30_000)
    print("backup as of entry", made.index)


async def go_back(peers):
    recovery.restore(FOLDER / "a/backups/first", Path("restored"), members={"a": peers["a"]})
    a, notes = await started(Path("restored"), "a", peers)
    await a.read_barrier(timeout_ms=10_000)
    print("restored:", *(line.decode() for line in notes.lines))
    await a.stop()


async def go_on(peers):
    ranked, advice = recovery.inspect([FOLDER / "b"])
    print("best:", ranked[0].peer_id, "way:", advice.way)
    members = {"b": peers["b"]}
    machine = recovery.in_memory(Notes)
    try:
        recovery.force(
            FOLDER / "b", Path("forced"), members=members, reason="a, c burnt", open_copy=machine
        )
    except Conflict as error:
        print("its price:", error.message)
    recovery.force(
        FOLDER / "b",
        Path("forced"),
        members=members,
        reason="a, c burnt",
        open_copy=machine,
        accepts_data_loss=True,
    )
    b, notes = await started(Path("forced"), "b", peers)
    await b.read_barrier(timeout_ms=10_000)
    print("forced:", *(line.decode() for line in notes.lines))
    await b.stop()


async def main(peers):
    first = {name: peers[name] for name in "abc"}
    (a, _), (b, _), (c, _) = [await started(FOLDER, name, first) for name in first]
    await a.propose(b"one", timeout_ms=10_000)
    await grow(a, peers)
    await make_backup(a)
    await c.propose(b"two", timeout_ms=10_000)
    await b.read_barrier(timeout_ms=10_000)
    for peer in (a, b, c):
        await peer.stop()
    await go_back(peers)
    await go_on(peers)


def free_addresses():
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in IDS]
    ports = [it.getsockname()[1] for it in sockets]
    for it in sockets:
        it.close()
    return {name: f"127.0.0.1:{port}" for name, port in zip(IDS, ports, strict=True)}


if __name__ == "__main__":
    addresses = dict(it.split("=") for it in sys.argv[1:]) or free_addresses()
    asyncio.run(main(addresses))
