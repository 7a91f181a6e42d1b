"""A peer without Raft: the real state machine behind a door that can be told to misbehave.

For tests of the API, the SDK and whatever else talks to a peer. One per event loop; proposals are
applied at once, each in an entry of its own. Fits `api.backend.PeerDoor`.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, replace
from pathlib import Path

from replicante import errors
from replicante.raft.status import PeerInfo, Role, Status
from replicante.state.commands import Command
from replicante.state.outcome import Outcome, decode_outcome
from replicante.testing.builders import LoneState, envelope_bytes


class Trouble(enum.Enum):
    """What happens to proposals and barriers from now on."""

    NONE = "none"
    NO_LEADER = "no_leader"
    """Refused definitely."""
    LOST_BEFORE = "lost_before"
    """The outcome is unknown, and the write never happens."""
    LOST_AFTER = "lost_after"
    """The outcome is unknown, and the write happened."""
    QUEUE_FULL = "queue_full"
    SESSION_ENDED = "session_ended"
    STOPPING = "stopping"
    DISK_FULL = "disk_full"
    TOO_LARGE = "too_large"
    SILENT = "silent"
    """Nothing is ever answered: callers are held until their time limit."""
    DEFECT = "defect"
    """An exception that nobody expects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeBackup:
    folder: str
    index: int
    made_by: str = "p1"
    state_bytes: int = 4_096
    state_digest: str = "d1"


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeProposed:
    outcome: bytes
    index: int


_REFUSALS: dict[Trouble, type[errors.ReplicanteError]] = {
    Trouble.NO_LEADER: errors.NoLeader,
    Trouble.QUEUE_FULL: errors.QueueFull,
    Trouble.SESSION_ENDED: errors.SessionEnded,
    Trouble.STOPPING: errors.PeerStopping,
    Trouble.DISK_FULL: errors.DiskFull,
    Trouble.TOO_LARGE: errors.TooLarge,
}


class FakePeer:
    """`trouble`, `staleness` and `base_status` may be set at any time."""

    def __init__(self, lone: LoneState | None = None, *, peer_id: str = "p1") -> None:
        self.lone = LoneState() if lone is None else lone
        self.trouble = Trouble.NONE
        self.staleness: int | None = 3
        """Milliseconds; None: unknown."""
        self.base_status = _first_status(peer_id)
        """What does not follow from the state; trouble hides the leader."""
        self.proposals_count = 0
        self.backups: list[Path] = []
        self.barriers_count = 0
        self.proposed = asyncio.Event()
        """Set by the first proposal."""
        self._applied: asyncio.Event = asyncio.Event()

    # --- the door ---

    async def propose(self, command: bytes, *, timeout_ms: int) -> FakeProposed:
        self.proposals_count += 1
        self.proposed.set()
        if self.trouble is Trouble.SILENT:
            await asyncio.sleep(timeout_ms / 1_000)
            raise errors.OutcomeUnknown()
        if self.trouble is Trouble.DEFECT:
            raise ZeroDivisionError("a defect, on purpose")
        if self.trouble is Trouble.LOST_BEFORE:
            raise errors.OutcomeUnknown()
        if self.trouble in _REFUSALS:
            raise _REFUSALS[self.trouble]()
        # As behind a network: the answer never comes in the same step of the loop.
        await asyncio.sleep(0)
        outcome, index = self.lone.propose(command)
        self._wake()
        if self.trouble is Trouble.LOST_AFTER:
            raise errors.OutcomeUnknown()
        return FakeProposed(outcome=outcome, index=index)

    async def read_barrier(self, *, timeout_ms: int) -> int:
        self.barriers_count += 1
        await asyncio.sleep(0)
        if self.trouble is Trouble.NO_LEADER:
            raise errors.NoLeader()
        if self.trouble is Trouble.STOPPING:
            raise errors.PeerStopping()
        if self.trouble is Trouble.DEFECT:
            raise ZeroDivisionError("a defect, on purpose")
        if self.trouble is Trouble.SILENT:
            await asyncio.sleep(timeout_ms / 1_000)
            raise errors.ReadTimeout()
        return self.applied_index

    async def invite(self, peer_id: str, *, valid_ms: int, timeout_ms: int) -> str:
        await self._changed()
        return f"token-of-{peer_id}-for-{valid_ms}"

    async def add_learner(
        self, peer_id: str, *, incarnation: str, address: str, timeout_ms: int
    ) -> int:
        await self._changed()
        added = replace(
            self.base_status.peers[0],
            peer_id=peer_id,
            incarnation=incarnation,
            raft_address=address,
            is_voter=False,
        )
        return self._has_peers((*self.base_status.peers, added))

    async def promote(self, peer_id: str, *, timeout_ms: int) -> int:
        await self._changed(peer_id)
        return self._has_peers(
            tuple(
                replace(it, is_voter=True) if it.peer_id == peer_id else it
                for it in self.base_status.peers
            )
        )

    async def remove(self, peer_id: str, *, timeout_ms: int) -> int:
        await self._changed(peer_id)
        left = tuple(it for it in self.base_status.peers if it.peer_id != peer_id)
        if not any(it.is_voter for it in left):
            raise errors.MembershipRefused(f"{peer_id} is the last voter")
        return self._has_peers(left)

    async def transfer_leadership(self, to: str | None = None, *, timeout_ms: int) -> None:
        await self._changed(to)
        voters = [it.peer_id for it in self.base_status.peers if it.is_voter]
        self.base_status = replace(self.base_status, leader_id=to or voters[-1])

    async def backup(self, folder: Path, *, timeout_ms: int) -> FakeBackup:
        """Remembers the name; writes nothing."""
        if self.trouble is Trouble.DISK_FULL:
            raise errors.DiskFull()
        if folder in self.backups:
            raise errors.Conflict(f"{folder} exists already")
        self.backups.append(folder)
        return FakeBackup(folder=f"backups/{folder}", index=self.applied_index)

    async def wait_applied(self, index: int, *, timeout_ms: int) -> bool:
        if self.trouble is Trouble.STOPPING:
            return self.applied_index >= index
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                while self.applied_index < index:
                    await self._applied.wait()
        except TimeoutError:
            return False
        return True

    @property
    def applied_index(self) -> int:
        return self.lone.applied_index

    def staleness_ms(self) -> int | None:
        return self.staleness

    def status(self) -> Status:
        has_leader = self.trouble is not Trouble.NO_LEADER
        return replace(
            self.base_status,
            leader_id=self.base_status.leader_id if has_leader else None,
            role=self.base_status.role if has_leader else Role.CANDIDATE,
            is_ready=self.base_status.is_ready and has_leader,
            is_disk_full=self.trouble is Trouble.DISK_FULL,
            is_log_full=False,
            commit_index=max(self.applied_index, self.base_status.commit_index),
            applied_index=self.applied_index,
            last_index=self.applied_index,
            clock_ms=self.lone.clock_ms,
            staleness_ms=self.staleness,
        )

    # --- for tests ---

    def do(self, command: Command, *, request_id: str = "test") -> Outcome:
        """Applies a command as if another peer had proposed it."""
        encoded = envelope_bytes(command, request_id=request_id)
        outcome, _ = self.lone.propose(encoded)
        self._wake()
        return decode_outcome(outcome)

    def pass_time(self, ms: int) -> None:
        """Cluster time passes, and the leader ticks."""
        self.lone.advance(ms)
        self.lone.tick()
        self._wake()

    async def _changed(self, peer_id: str | None = None) -> None:
        """Raises what a change of the members may."""
        await asyncio.sleep(0)
        if self.trouble in (Trouble.LOST_BEFORE, Trouble.LOST_AFTER):
            raise errors.OutcomeUnknown()
        if self.trouble in _REFUSALS:
            raise _REFUSALS[self.trouble]()
        if peer_id is not None and all(it.peer_id != peer_id for it in self.base_status.peers):
            raise errors.NotFound(f"there is no member {peer_id}")

    def _has_peers(self, peers: tuple[PeerInfo, ...]) -> int:
        self.base_status = replace(self.base_status, peers=peers)
        return self.applied_index

    def _wake(self) -> None:
        self._applied.set()
        self._applied = asyncio.Event()


def _first_status(peer_id: str) -> Status:
    return Status(
        peer_id=peer_id,
        incarnation="0" * 31 + "1",
        cluster_name="test",
        cluster_id="c" * 32,
        generation=0,
        role=Role.LEADER,
        leader_id=peer_id,
        term=1,
        commit_index=0,
        applied_index=0,
        durable_index=0,
        first_index=1,
        last_index=0,
        clock_ms=0,
        staleness_ms=None,
        is_ready=True,
        is_disk_full=False,
        is_log_full=False,
        durability="fsync",
        pending_proposals_count=0,
        peers=(
            PeerInfo(
                peer_id=peer_id,
                incarnation="0" * 31 + "1",
                raft_address="127.0.0.1:16116",
                http_address="127.0.0.1:16016",
                is_voter=True,
                is_connected=True,
                match_index=None,
            ),
        ),
    )
