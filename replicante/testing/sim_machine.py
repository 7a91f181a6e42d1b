"""State machines of the simulation: registers with versions, in memory or on a lagging disk.

Called by sim_peer. A version is the number of writes to its key, so that the order of all
operations on a key can be read off their answers. Every command carries the number of the
client's operation; a machine reports each one that it applies.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgpack

from replicante.raft.in_memory import decode_snapshot, encode_snapshot
from replicante.raft.state_machine import Entry, EntryHeader
from replicante.testing.sim_files import SimFiles

Report = Callable[[int, int, int, bytes], None]
"""(operation, index, ordinal, outcome): called for every command that a machine applies."""


def encode_put(*, operation: int, key: int, expected: int, padding_bytes: int = 0) -> bytes:
    """expected: version that the key must have; −1 for any."""
    return b"%d %d %d" % (operation, key, expected) + b" " * padding_bytes


def decode_outcome(outcome: bytes) -> tuple[bool, int]:
    """(was it done, version of the key afterwards)."""
    done, version = outcome.split(b" ")
    return done == b"1", int(version)


@dataclass(slots=True)
class Registers:
    """key → (version, operation that wrote it). `digest` sums up how they came about."""

    rows: dict[int, tuple[int, int]] = field(default_factory=dict)
    digest: int = 0
    timer_ms: int | None = None
    """Cluster time at which something is due."""

    def apply(self, *, command: bytes, clock_ms: int) -> tuple[int, bytes]:
        """(operation, outcome)"""
        operation, key, expected = (int(part) for part in command.split())
        version, _ = self.rows.get(key, (0, 0))
        is_done = expected in (-1, version)
        if is_done:
            version += 1
            self.rows[key] = (version, operation)
        outcome = b"%d %d" % (is_done, version)
        self.digest = zlib.crc32(b"%d %d " % (clock_ms, operation) + outcome, self.digest)
        return operation, outcome

    def version(self, key: int) -> int:
        return self.rows.get(key, (0, 0))[0]

    def encode(self) -> bytes:
        packed: bytes = msgpack.packb((list(self.rows.items()), self.digest, self.timer_ms))
        return packed

    def decode(self, stored: bytes) -> None:
        rows, self.digest, self.timer_ms = msgpack.unpackb(stored, use_list=False)
        self.rows = dict(rows)

    def copy(self) -> Registers:
        return Registers(dict(self.rows), self.digest, self.timer_ms)


class RegisterMachine:
    """Fits `StateMachine`: three functions, state in memory."""

    def __init__(self, report: Report) -> None:
        self.registers = Registers()
        self._report = report

    def apply(self, entry: Entry) -> bytes:
        operation, outcome = self.registers.apply(command=entry.data, clock_ms=entry.clock_ms)
        self._report(operation, entry.index, entry.ordinal, outcome)
        return outcome

    def snapshot(self) -> Iterable[bytes]:
        yield self.registers.encode()

    def restore(self, chunks: Iterator[bytes]) -> None:
        self.registers.decode(b"".join(chunks))


@dataclass(slots=True)
class StateDisk:
    """What a machine on disk finds again after a crash."""

    applied_index: int = 0
    registers: Registers = field(default_factory=Registers)
    sessions: dict[bytes, bytes] = field(default_factory=dict)

    def encode(self) -> bytes:
        """As a machine in memory does: either takes what the other made."""
        return encode_snapshot(
            index=self.applied_index, sessions=self.sessions, chunks=[self.registers.encode()]
        )

    def decode(self, stored: bytes) -> None:
        self.applied_index, self.sessions, chunks = decode_snapshot(stored)
        self.registers = Registers()
        self.registers.decode(b"".join(chunks))


class LaggingMachine:
    """Fits `DurableStateMachine`: durable as of the last flush that finished."""

    def __init__(
        self, disk: StateDisk, report: Report, files: SimFiles, *, unflushed_max: int
    ) -> None:
        """unflushed_max: entries after which it takes no more before a flush."""
        self._files = files
        self.registers = disk.registers.copy()
        self.applied_index = disk.applied_index
        self.durable_index = disk.applied_index
        self.is_disk_full = False
        self._disk = disk
        self._sessions = dict(disk.sessions)
        self._report = report
        self._unflushed_max = unflushed_max
        self._flushing: StateDisk | None = None
        self._header: EntryHeader | None = None
        self._ordinal = 0

    @property
    def is_full(self) -> bool:
        return self.applied_index - self.durable_index >= self._unflushed_max

    @property
    def sessions(self) -> MutableMapping[bytes, bytes]:
        return self._sessions

    def begin(self, header: EntryHeader) -> None:
        assert header.index > self.applied_index, "an entry is applied once"
        self._header = header
        self._ordinal = 0
        timer_ms = self.registers.timer_ms
        if timer_ms is not None and timer_ms <= header.clock_ms:
            self.registers.timer_ms = None

    def apply(self, command: bytes) -> bytes:
        header = self._header
        assert header is not None
        operation, outcome = self.registers.apply(command=command, clock_ms=header.clock_ms)
        if operation % 8 == 0:
            self.registers.timer_ms = header.clock_ms + 40
        self._report(operation, header.index, self._ordinal, outcome)
        self._ordinal += 1
        return outcome

    def end(self) -> None:
        assert self._header is not None
        self.applied_index = self._header.index
        self._header = None

    level_max = 1

    def digests(self) -> Sequence[tuple[int, str]]:
        """The simulator compares the states itself, at every index."""
        return ()

    def deadline_ms(self) -> int | None:
        return self.registers.timer_ms

    def request_flush(self) -> None:
        """The copy is taken now and is durable when `finish_flush` is called."""
        if self._flushing is None and self.applied_index > self.durable_index:
            self._flushing = self._copy()

    def _copy(self) -> StateDisk:
        return StateDisk(self.applied_index, self.registers.copy(), dict(self._sessions))

    @property
    def is_flushing(self) -> bool:
        return self._flushing is not None

    def finish_flush(self) -> None:
        copy, self._flushing = self._flushing, None
        assert copy is not None
        self._disk.applied_index = copy.applied_index
        self._disk.registers = copy.registers
        self._disk.sessions = copy.sessions
        self.durable_index = copy.applied_index

    def flush(self) -> None:
        self._flushing = self._copy()
        self.finish_flush()

    def export(self, path: Path) -> int:
        self._files.write(path, self._disk.encode())
        return self._disk.applied_index

    def install(self, path: Path, *, index: int) -> None:
        fresh = StateDisk()
        fresh.decode(self._files.read(path))
        assert fresh.applied_index == index, "the state is as of the index that was said"
        assert index > self.applied_index, "an older snapshot was installed"
        self._flushing = None
        self._disk.applied_index = index
        self._disk.registers, self._disk.sessions = fresh.registers, fresh.sessions
        copied = fresh.registers.copy()
        self.registers.rows, self.registers.digest = copied.rows, copied.digest
        self.registers.timer_ms = copied.timer_ms
        self._sessions.clear()
        self._sessions.update(fresh.sessions)
        self.applied_index = self.durable_index = index
        self._files.remove(path)

    def close(self) -> None:
        """There is nothing to close."""
