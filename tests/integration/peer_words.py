"""Whole peers over the least state machine, as an operator meets them. Not a test file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

from replicante.errors import ReplicanteError
from replicante.raft import Entry, Peer, PeerOptions

PATIENCE_S = 30
NAMES = ("p1", "p2", "p3")


class Words:
    """The least state machine: it remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def apply(self, entry: Entry) -> bytes:
        self.told.append(entry.data)
        return b"%d" % len(self.told)

    def snapshot(self) -> Iterable[bytes]:
        return list(self.told)

    def restore(self, chunks: Iterator[bytes]) -> None:
        self.told = list(chunks)


async def started(
    folder: Path,
    addresses: dict[str, str],
    peer_id: str,
    *,
    words: Words | None = None,
    join: str = "",
) -> tuple[Peer, Words]:
    words = words or Words()
    options = PeerOptions(log_reserve_bytes=0, join=join)
    peer = Peer(folder / peer_id, peer_id, addresses[peer_id], addresses, words, options=options)
    await peer.start()
    return peer, words


async def said(peer: Peer, word: bytes) -> None:
    """As an operator does: again, until it is done."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await peer.propose(word, timeout_ms=5_000)
                return
            except ReplicanteError:
                await asyncio.sleep(0.05)
