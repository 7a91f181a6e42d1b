"""Whole peers that all stop at one entry, and go on when it is skipped on each of them."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from cluster_peer import PORTS
from peer_words import NAMES, PATIENCE_S, Words, said, started

from replicante.errors import FatalError, ReplicanteError
from replicante.raft import Entry
from replicante.raft.forcing import copy_in_memory
from replicante.raft.inspecting import state_on_shelf
from replicante.raft.skip_rules import Fate, SkipReport
from replicante.raft.skipping import skip_entry


class Fragile(Words):
    def apply(self, entry: Entry) -> bytes:
        if entry.data == b"poison":
            raise ValueError("a word that nobody can bear")
        return super().apply(entry)


@pytest.fixture
async def poisoned(tmp_path) -> tuple[dict[str, str], int]:
    """Addresses of three peers that stopped, and the entry that stopped each of them."""
    addresses = {name: f"127.0.0.1:{PORTS.take()}" for name in NAMES}
    peers = [await started(tmp_path, addresses, name, words=Fragile()) for name in NAMES]
    await said(peers[0][0], b"one")
    with contextlib.suppress(ReplicanteError):
        await peers[0][0].propose(b"poison", timeout_ms=5_000)
    # The last one is left without a majority before it hears of the commit.
    closed = [asyncio.create_task(peer.wait_closed()) for peer, _ in peers]
    async with asyncio.timeout(PATIENCE_S):
        while sum(task.done() for task in closed) < 2:
            await asyncio.wait([task for task in closed if not task.done()], timeout=0.1)
    failures = [task.exception() for task in closed if task.done()]
    for peer, _ in peers:
        await peer.stop()
    await asyncio.gather(*closed, return_exceptions=True)
    assert all("cannot be applied" in str(failure) for failure in failures)
    (index,) = {failure.details["index"] for failure in failures}
    return addresses, index


def skipped(folder: Path, index: int, *names: str) -> SkipReport:
    return skip_entry(
        [folder / name for name in names],
        index,
        reason="nobody can bear it",
        state_index=state_on_shelf,
        open_copy=copy_in_memory(Fragile),
        scratch=folder,
    )


async def test_all_go_on_without_it(poisoned, tmp_path):
    addresses, index = poisoned
    while index is not None:
        report = skipped(tmp_path, index, *NAMES)
        assert Fate.SKIPPED in {it.fate for it in report.directories}
        index = report.next_broken  # its proposer sent it to each new leader
    assert report.untreated == ()
    peers = [await started(tmp_path, addresses, name, words=Fragile()) for name in NAMES]
    await said(peers[1][0], b"two")
    for peer, words in peers:
        await peer.read_barrier(timeout_ms=30_000)
        assert words.told == [b"one", b"two"]
    for peer, _ in peers:
        await peer.stop()


async def test_a_peer_that_was_left_out_stops_although_it_could_apply_the_entry(poisoned, tmp_path):
    """It would be the only one that did what the others skipped."""
    addresses, index = poisoned
    while index is not None:
        report = skipped(tmp_path, index, "p1", "p2")
        index = report.next_broken
    assert report.untreated == ("p3",)
    first = [await started(tmp_path, addresses, name, words=Fragile()) for name in ("p1", "p2")]
    await said(first[0][0], b"two")
    left_out, words = await started(tmp_path, addresses, "p3", words=Words())
    with pytest.raises(FatalError, match="another history"):
        await asyncio.wait_for(left_out.wait_closed(), PATIENCE_S)
    assert b"poison" not in words.told
    for peer, told in first:
        await peer.read_barrier(timeout_ms=30_000)
        assert told.told == [b"one", b"two"]
    for peer, _ in first:
        await peer.stop()
