"""Fits a `StateMachine` of three functions into a `DurableStateMachine`: its state is saved every
now and then, and the log replays the rest.

Made by peer. Touches files through its shelf alone. A snapshot is taken between two entries, on
the loop: it costs what `snapshot` of the machine costs. It is packed and written on a thread. One
that arrives is read and checked on a thread; on the loop it costs what `restore` costs.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgpack

from replicante import limits
from replicante.errors import CorruptData, DiskFull, FatalError
from replicante.raft.copying import is_for_want
from replicante.raft.snapshot_digest import DIGEST_BYTES, new_digest
from replicante.raft.state_machine import DurableStateMachine, Entry, EntryHeader, StateMachine

FORMAT = 1
_READ_BYTES = 1 << 20


class Saving(Protocol):
    """One snapshot on its way to the shelf."""

    @property
    def is_over(self) -> bool: ...

    @property
    def failure(self) -> BaseException | None:
        """Why nothing was replaced; only when it is over."""
        ...

    def wait(self) -> None: ...


class Shelf(Protocol):
    """Where the newest snapshot of a machine in memory lies."""

    def load(self) -> bytes | None:
        """None when nothing was ever saved."""
        ...

    def save(self, encode: Callable[[], bytes]) -> Saving:
        """Begins to replace the last one by what `encode` gives, or nothing of it. One at a time.
        encode: called on any thread. Fails with DiskFull for want of room. Raises RuntimeError for
        want of a thread, MemoryError, having begun nothing."""
        ...

    def adopt(self, path: Path) -> None:
        """The file `path` becomes the newest snapshot, durably, and is gone from where it was.
        Raises DiskFull, having changed nothing, OSError."""
        ...

    def read(self, path: Path) -> bytes: ...

    def write(self, path: Path, snapshot: bytes) -> None:
        """Into a new file, durably."""
        ...


@dataclass(frozen=True, slots=True)
class Arrived:
    """A snapshot that was read and found sound."""

    path: Path
    index: int
    sessions: dict[bytes, bytes]
    chunks: list[bytes]


class InMemoryMachine:
    def __init__(
        self,
        machine: StateMachine,
        shelf: Shelf | None = None,
        *,
        every_entries: int = limits.SNAPSHOT_EVERY_ENTRIES,
    ) -> None:
        """shelf: None to replay the whole log at each start, which then is never trimmed.
        Raises CorruptData for a snapshot that is damaged."""
        self._machine = machine
        self._shelf = shelf
        self._every_entries = every_entries
        self._header: EntryHeader | None = None
        self._ordinal = 0
        self._sessions: dict[bytes, bytes] = {}
        self._saving: tuple[int, Saving] | None = None
        """(index, the snapshot as of it)"""
        self._durable_index = 0
        self._lacks_room = False
        self._failed: tuple[int, BaseException] | None = None
        """(index of a save, what it met other than want of room): ends the peer, whoever learns
        of it first."""
        self._is_replaced = False
        self.applied_index = 0
        stored = None if shelf is None else shelf.load()
        if stored is not None:
            self._restore(*decode_snapshot(stored))

    @property
    def sessions(self) -> MutableMapping[bytes, bytes]:
        return self._sessions

    @property
    def durable_index(self) -> int:
        """Never raises: a health check asks for it, too."""
        self._settle()
        return self._durable_index

    @property
    def is_full(self) -> bool:
        """Once a save failed for good: the flush that the peer then asks for raises why."""
        self._settle()
        return self._failed is not None

    @property
    def is_saving(self) -> bool:
        return self._saving is not None and not self._saving[1].is_over

    @property
    def is_disk_full(self) -> bool:
        """The last snapshot found no room; the next flush makes another one."""
        return self._lacks_room

    def begin(self, header: EntryHeader) -> None:
        self._header = header
        self._ordinal = 0

    def apply(self, command: bytes) -> bytes:
        assert self._header is not None
        entry = Entry(
            index=self._header.index,
            ordinal=self._ordinal,
            term=self._header.term,
            clock_ms=self._header.clock_ms,
            wall_ms=self._header.wall_ms,
            data=command,
        )
        self._ordinal += 1
        return self._machine.apply(entry)

    def end(self) -> None:
        assert self._header is not None
        self.applied_index = self._header.index
        self._header = None

    def deadline_ms(self) -> int | None:
        return None

    level_max = 1

    def digests(self) -> Sequence[tuple[int, str]]:
        """Nobody says what a digest of it would be."""
        return ()

    def request_flush(self) -> None:
        """Saves the state when enough was applied since it was saved last. Raises FatalError."""
        self._settle()
        self._refuse_failed()
        if self.applied_index - self.durable_index >= self._every_entries:
            self.save()

    def save(self) -> None:
        """Begins to save the state as it is, unless a save is on its way, one failed for good, or
        the state is being replaced."""
        self._settle()
        if self._failed is not None or self._is_replaced:
            return
        if self._shelf is None or self._saving is not None:
            return
        with contextlib.suppress(MemoryError):  # the next flush tries again
            taken = self._taken()
            try:
                self._saving = (self.applied_index, self._shelf.save(taken))
            except RuntimeError as error:
                if not is_for_want(error):
                    raise

    @contextlib.contextmanager
    def being_replaced(self) -> Iterator[None]:
        """Meanwhile no save begins: `install_checked` would wait for its end, on the loop."""
        self._is_replaced = True
        try:
            yield
        finally:
            self._is_replaced = False

    def flush(self) -> None:
        """The log has it all; what is being saved is waited for. Raises FatalError."""
        self._wait()
        self._settle()
        self._refuse_failed()

    def export(self, path: Path) -> int:
        assert self._shelf is not None
        stored = self._shelf.load()
        if stored is None:
            raise CorruptData("nothing was saved yet")
        self._shelf.write(path, stored)
        return decode_snapshot(stored)[0]

    def install(self, path: Path, *, index: int) -> None:
        self.install_checked(self.check(path, index=index))

    def check(self, path: Path, *, index: int) -> Arrived:
        """Reads what arrived, and changes nothing. Also on a thread of its own, while entries are
        applied. Raises CorruptData, OSError."""
        assert self._shelf is not None
        self._wait()
        found_index, sessions, chunks = decode_snapshot(self._shelf.read(path))
        if found_index != index:
            raise CorruptData(f"the snapshot in {path} is not as of entry {index}")
        return Arrived(path, index, sessions, chunks)

    def install_checked(self, arrived: Arrived) -> None:
        """As `install`. Raises DiskFull, after which it may be tried again, and FatalError."""
        assert self._shelf is not None
        self.flush()
        try:
            self._shelf.adopt(arrived.path)
        except OSError as error:
            raise FatalError(f"the snapshot of entry {arrived.index} failed: {error}") from error
        self._saving = None
        self._lacks_room = False
        self._restore(arrived.index, arrived.sessions, arrived.chunks)

    def close(self) -> None:
        self._wait()

    def _wait(self) -> None:
        """For the save on its way; on any thread."""
        saving = self._saving
        if saving is not None:
            saving[1].wait()

    def _settle(self) -> None:
        """Takes over what became of a save that is over."""
        if self._saving is None or self.is_saving:
            return
        (index, saving), self._saving = self._saving, None
        failure = saving.failure
        self._lacks_room = isinstance(failure, DiskFull)
        if failure is None:
            self._durable_index = index
        elif not (self._lacks_room or isinstance(failure, MemoryError)):
            self._failed = (index, failure)

    def _refuse_failed(self) -> None:
        if self._failed is not None:
            index, failure = self._failed
            raise FatalError(f"the snapshot of entry {index} failed: {failure}") from failure

    def _taken(self) -> Callable[[], bytes]:
        """The state as it is now; what packs it. Chunks are copied, for a machine may go on with
        the memory that it gave."""
        assert self._header is None, "a snapshot inside an entry"
        chunks = [bytes(chunk) for chunk in self._machine.snapshot()]
        index, sessions = self.applied_index, dict(self._sessions)
        return lambda: encode_snapshot(index=index, sessions=sessions, chunks=chunks)

    def _restore(self, index: int, sessions: dict[bytes, bytes], chunks: list[bytes]) -> None:
        self._machine.restore(iter(chunks))
        self._sessions.clear()
        self._sessions.update(sessions)
        self.applied_index = self._durable_index = index


def begin_durable(machine: DurableStateMachine) -> None:
    """Begins to make what was applied durable, however little it is; does not wait. Call again
    until `durable_index` says so."""
    if isinstance(machine, InMemoryMachine):
        machine.save()
    else:
        machine.request_flush()


def encode_snapshot(*, index: int, sessions: dict[bytes, bytes], chunks: list[bytes]) -> bytes:
    """Chunk by chunk, so that other threads get their turn between two."""
    packer = msgpack.Packer(autoreset=False)
    packer.pack_array_header(4)
    for field in (FORMAT, index, sessions):
        packer.pack(field)
    packer.pack_array_header(len(chunks))
    for chunk in chunks:
        packer.pack(chunk)
    body: bytes = packer.bytes()
    return new_digest(body).digest() + body


def decode_snapshot(stored: bytes) -> tuple[int, dict[bytes, bytes], list[bytes]]:
    """(index, sessions, chunks). Chunk by chunk, as `encode_snapshot`. Raises CorruptData."""
    if new_digest(memoryview(stored)[DIGEST_BYTES:]).digest() != stored[:DIGEST_BYTES]:
        raise CorruptData(
            "a snapshot does not match its checksum",
            hints=("move the data directory away and let this peer join again, empty",),
        )
    body = io.BytesIO(stored)  # shares the memory
    body.seek(DIGEST_BYTES)
    size_bytes_max = max(len(stored), _READ_BYTES)
    fields = msgpack.Unpacker(body, read_size=_READ_BYTES, max_buffer_size=size_bytes_max)
    fields.read_array_header()
    if fields.unpack() != FORMAT:
        raise CorruptData("a snapshot of another version")
    index, sessions = fields.unpack(), fields.unpack()
    chunks = [fields.unpack() for _ in range(fields.read_array_header())]
    return index, sessions, chunks
