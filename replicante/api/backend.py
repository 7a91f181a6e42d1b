"""What the API asks of the rooms behind it, by shape. `server` hands over the real ones.

Everything is called on the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from replicante.raft.status import Status
from replicante.storage.kv import View


class Proposed(Protocol):
    """outcome: what the state machine returned. index: the entry that carried the command."""

    @property
    def outcome(self) -> bytes: ...

    @property
    def index(self) -> int: ...


class BackedUp(Protocol):
    """What `raft.backup.Backup` says of a backup that was made."""

    @property
    def folder(self) -> str: ...

    @property
    def made_by(self) -> str: ...

    @property
    def index(self) -> int: ...

    @property
    def state_bytes(self) -> int: ...

    @property
    def state_digest(self) -> str: ...


class PeerDoor(Protocol):
    """A peer of the Raft group. The awaitables may overlap freely, hold their own time limit,
    and may be cancelled at any await (a client hung up)."""

    async def propose(self, command: bytes, *, timeout_ms: int) -> Proposed:
        """Raises OutcomeUnknown, or a definite NoLeader, QueueFull, TooLarge, SessionEnded,
        PeerStopping, DiskFull."""
        ...

    async def read_barrier(self, *, timeout_ms: int) -> int:
        """On return this peer has applied what was committed when it was called. Raises NoLeader,
        ReadTimeout, PeerStopping."""
        ...

    async def wait_applied(self, index: int, *, timeout_ms: int) -> bool:
        """False when the time ran out first."""
        ...

    async def invite(self, peer_id: str, *, valid_ms: int, timeout_ms: int) -> str:
        """A join token. Raises as `promote`, and Invalid."""
        ...

    async def add_learner(
        self, peer_id: str, *, incarnation: str, address: str, timeout_ms: int
    ) -> int:
        """The index of the configuration. Raises as `promote`, and Invalid."""
        ...

    async def promote(self, peer_id: str, *, timeout_ms: int) -> int:
        """Raises OutcomeUnknown, or a definite MembershipRefused, NotFound, NoLeader, ReadTimeout,
        QueueFull, PeerStopping, DiskFull."""
        ...

    async def remove(self, peer_id: str, *, timeout_ms: int) -> int:
        """Raises as `promote`."""
        ...

    async def transfer_leadership(self, to: str | None = None, *, timeout_ms: int) -> None:
        """Raises as `promote`."""
        ...

    async def backup(self, folder: Path, *, timeout_ms: int) -> BackedUp:
        """folder: below the peer's own folder for backups. timeout_ms: until what is applied is
        durable; copying it takes what it takes. Raises a definite Invalid, NoLeader, ReadTimeout,
        PeerStopping, DiskFull, StorageFull."""
        ...

    @property
    def applied_index(self) -> int: ...

    def status(self) -> Status: ...

    def staleness_ms(self) -> int | None:
        """None is unknown, and counts as infinite."""
        ...


class StateDoor(Protocol):
    """The tables. `state.machine.ReplicatedState` fits."""

    def view(self) -> View:
        """Taken, read and closed without an await in between."""
        ...

    def digests(self) -> Sequence[tuple[int, str]]:
        """(index, digest of all rows at it), oldest first."""
        ...

    def job_moves(self) -> Mapping[tuple[str, str], int]:
        """(queue, what became of a job) → how often, since this process began."""
        ...

    def digest_at_applied(self) -> tuple[int, str]:
        """The same for the last entry; reads every row, 1 µs each."""
        ...


class RoomDoor(Protocol):
    """How full the store is. `storage.kv.Store` fits."""

    @property
    def used_fraction(self) -> float: ...

    @property
    def is_map_full(self) -> bool: ...
