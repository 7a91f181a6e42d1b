"""A whole peer that is restarted while it receives a copy of the state: it goes on where it was."""

from __future__ import annotations

import asyncio
import threading

from cluster_peer import PORTS
from peer_words import PATIENCE_S, Words, said

from replicante import limits
from replicante.raft import Peer, PeerOptions
from replicante.raft.in_memory import begin_durable
from replicante.raft.observations import SnapshotInstalled, SnapshotResumed
from replicante.raft.snapshot_parts import _Writing

PART_BYTES = 512 * limits.KIB
PARTS_BEFORE = 3
WORDS = [b"%02d" % number + bytes(256 * limits.KIB) for number in range(40)]


class SlowDisk:
    """Takes so many parts, and no more until it is let go."""

    def __init__(self) -> None:
        self.is_full, self._may_go = threading.Event(), threading.Event()
        self._taken = 0
        self._real = _Writing._end_part

    def end_part(self, writing: _Writing) -> None:
        if self._taken < PARTS_BEFORE:
            self._taken += 1
            self._real(writing)
            return
        self.is_full.set()
        self._may_go.wait(PATIENCE_S)

    def let_go(self) -> None:
        self._may_go.set()


async def test_a_peer_that_restarts_takes_the_rest_of_the_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SNAPSHOT_PART_BYTES", PART_BYTES)
    addresses = {name: f"127.0.0.1:{PORTS.take()}" for name in ("p1", "p2")}

    async def started(name: str, *, join: str = "") -> tuple[Peer, Words, list]:
        options = PeerOptions(log_reserve_bytes=0, log_kept_bytes=1, join=join)
        listed = {"p1": addresses["p1"]}
        words, seen = Words(), []
        peer = Peer(tmp_path / name, name, addresses[name], listed, words, options=options)
        peer.observe(seen.append)
        await peer.start()
        return peer, words, seen

    leader, _, _ = await started("p1")
    for word in WORDS:
        await said(leader, word)
    begin_durable(leader.machine)
    async with asyncio.timeout(PATIENCE_S):
        while leader.status().first_index < 20:
            await said(leader, b"more")

    slow = SlowDisk()
    with monkeypatch.context() as patched:
        patched.setattr(_Writing, "_end_part", lambda writing: slow.end_part(writing))
        token = await leader.invite("p2")
        learner, _, _ = await started("p2", join=token)
        assert await asyncio.to_thread(slow.is_full.wait, PATIENCE_S)
        stopping = asyncio.create_task(learner.stop())
        await asyncio.sleep(0)
        slow.let_go()
        await stopping

    learner, words, seen = await started("p2")
    assert await learner.wait_applied(leader.applied_index, timeout_ms=PATIENCE_S * 1_000)
    assert any(isinstance(it, SnapshotInstalled) for it in seen)
    resumed = [it.offset for it in seen if isinstance(it, SnapshotResumed)]
    assert resumed == [PARTS_BEFORE * PART_BYTES]
    assert words.told[: len(WORDS)] == WORDS
    await learner.stop()
    await leader.stop()
