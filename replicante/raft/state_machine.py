"""What `replicante.raft` asks of the thing that it replicates. Pure protocols; implemented by
users and by `state`.

Every method is called on the event loop's thread, never concurrently, and must not await, block
on the network, read clocks or randomness: the same entries must give the same state on every
peer, whatever the machine. An exception out of any of these methods is a bug: the peer stops
loudly with the entry's index.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec


class EntryKind(enum.IntEnum):
    """Stored in log records and compared by peers: a number is never reused."""

    GENESIS = 1
    """Birth of the cluster. detail: {"cluster": name, "cluster_id": hex, "voters": [...]}."""
    TERM_STARTED = 2
    """First entry of each leader. detail: {"leader": peer id}."""
    CONFIGURATION = 3
    """Membership. detail: {"voters": [...], "learners": [...]}."""
    COMMANDS = 4
    """Zero or more commands; with zero it only carries the cluster clock."""
    SKIPPED = 5
    """An entry that an operator declared to be a no-op. detail: {"reason": text, "chain": hex}."""
    RECOVERED = 6
    """First entry of a later generation. detail: as CONFIGURATION, and {"recovery": {"how",
    "from", "generation", "last_index", "last_term", "reason"}}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryHeader:
    """What is known of one log entry apart from its commands."""

    index: int
    """Strictly increasing, not dense over generations (ids.py)."""
    term: int
    clock_ms: int
    """Cluster clock, never goes back; the only time that apply may compare (ADR 0013)."""
    wall_ms: int
    """The leader's wall clock, for people; never compared."""
    kind: EntryKind
    detail: dict[str, Any] = field(default_factory=dict)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One command as a `StateMachine` sees it."""

    index: int
    ordinal: int
    """Place of the command in its log entry, from 0: (index, ordinal) is unique and increasing."""
    term: int
    clock_ms: int
    wall_ms: int
    data: bytes


@runtime_checkable
class StateMachine(Protocol):
    """Three functions replicate anything that fits into memory."""

    def apply(self, entry: Entry) -> bytes:
        """Changes the state and returns what `propose` returns on the peer that proposed. User
        mistakes are answers, not exceptions. The result is remembered for exactly-once: keep it
        small (≤ 64 KiB).
        """
        ...

    def snapshot(self) -> Iterable[bytes]:
        """The whole state as chunks, each of at most 4 GiB. Called between entries; the chunks are
        consumed, and copied, before the next apply. For as long this peer neither votes nor
        acknowledges, and its callers wait: stay well below ELECTION_MS_MIN, 50 ms is a good aim.
        What is then packed, digested and written is so on a thread."""
        ...

    def restore(self, chunks: Iterator[bytes]) -> None:
        """Replaces the whole state by what `snapshot` produced, on this or on another peer. Called
        at the start, and for a copy that arrived, which was read and checked on a thread: for as
        long as this takes the peer does nothing else."""
        ...


@runtime_checkable
class DurableStateMachine(Protocol):
    """A machine that keeps its own state on disk, together with its applied index, possibly
    lagging the log.

    One log entry is: begin, apply for each new command in order, end. A peer that restarts
    replays every entry after `applied_index`. `sessions` lives in the machine's own
    transaction, so that exactly-once and state become durable together.
    """

    @property
    def applied_index(self) -> int: ...

    @property
    def durable_index(self) -> int: ...

    @property
    def is_full(self) -> bool:
        """True while the machine cannot take more before a flush: the peer waits with the next
        entry."""
        ...

    @property
    def is_disk_full(self) -> bool: ...

    @property
    def sessions(self) -> MutableMapping[bytes, bytes]:
        """Written only between begin and end; keys ≤ 64 bytes; iterated only at start."""
        ...

    def begin(self, header: EntryHeader) -> None: ...

    def apply(self, command: bytes) -> bytes:
        """As StateMachine.apply, for the entry that began."""
        ...

    def end(self) -> None: ...

    @property
    def level_max(self) -> int:
        """Highest level of its own behaviour that this machine can follow; told to other peers,
        and of no meaning here."""
        ...

    def digests(self) -> Sequence[tuple[int, str]]:
        """(index, digest of the whole state at it), oldest first, at most DIGESTS_KEPT, at indexes
        that all peers choose alike; what is told is durable. Peers whose digests differ have
        different states (ADR 0044). Empty: this machine is not compared. Cheap."""
        ...

    def deadline_ms(self) -> int | None:
        """Cluster time at which something is due; None when nothing ever is. The leader then
        proposes a tick."""
        ...

    def request_flush(self) -> None:
        """Starts to make everything applied durable, returns at once. Called about every
        FLUSH_INTERVAL_MS."""
        ...

    def flush(self) -> None:
        """As request_flush, but returns when it is durable. Called at stop."""
        ...

    def export(self, path: Path) -> int:
        """Writes a copy of the durable state into the new file `path`, durably; the index that it
        is as of. Called on a thread of its own while everything else goes on; may take long.
        Raises OSError, DiskFull."""
        ...

    def install(self, path: Path, *, index: int) -> None:
        """Replaces the whole state by the copy in `path`, which `export` of another peer wrote as
        of `index`, and takes the file away. Called on the loop between entries. Atomic: after a
        crash at any instruction the old state is there, or the new one. Afterwards applied_index
        and durable_index are `index`. Raises CorruptData, having changed nothing."""
        ...

    def close(self) -> None: ...
