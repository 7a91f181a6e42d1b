"""What a state store promises: ordered keys, one writer, consistent views, lagging durability.
Pure.

Implemented by `memory.MemoryStore` and `lmdb_store.LmdbStore`; both pass
tests/contract/test_store.py. Used by `state.machine` (writes) and `state.queries` (views);
created by `server`.

Threads: every method is called on the event loop's thread. Only the LMDB store owns a thread,
for flushing.

Failures: when the store cannot keep its promise any more (a failed commit or fsync, a page that
cannot be read), every later call of any method but `close` raises FatalError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

RowHash = Callable[[bytes, bytes], int]
"""(key, value) → a number. Pure, equal on every peer and Python version; called on the flusher's
thread."""

DIGEST_BITS = 128
"""A digest is the sum of the hashes of all rows modulo 2^DIGEST_BITS: it needs no order, so it
is kept up to date row by row."""


class Reader(Protocol):
    """Rows in byte order of their keys. Keys: 1 to ROW_KEY_BYTES_MAX bytes. Values: any bytes,
    never memoryviews."""

    def get(self, key: bytes) -> bytes | None: ...

    def scan(
        self, start: bytes, end: bytes, *, is_reversed: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < end; from the end when reversed.

        The caller may stop early. Rows put or deleted by the caller while it iterates may or
        may not be seen; so callers that write collect first.
        """
        ...


class View(Reader, Protocol):
    """A consistent picture at `applied_index`: taken, read and closed without an await, within
    50 ms.

    Isolation is by refusal: no later write is ever seen, because reading a view or going on
    with its scan raises AssertionError after its close and after a later put or delete, and may
    do so after a later `end_entry` or flush.
    """

    @property
    def applied_index(self) -> int: ...

    def close(self) -> None: ...

    def __enter__(self) -> View: ...

    def __exit__(self, *exc: object) -> None: ...


class Store(Reader, Protocol):
    """Reads here see every put and delete so far, also those of an entry that has not ended
    yet."""

    @property
    def applied_index(self) -> int:
        """Index of the last ended entry; 0 when there is none."""
        ...

    @property
    def durable_index(self) -> int:
        """Everything up to and including this index survives a power cut; ≤ applied_index."""
        ...

    @property
    def is_full(self) -> bool:
        """True while unflushed rows exceed MEMTABLE_BYTES_MAX: the driver asks for a flush and
        applies nothing until it is False. While it is True, a call may wait up to
        FLUSH_GIVE_WAY_MS for the flush in progress."""
        ...

    @property
    def is_disk_full(self) -> bool:
        """True while the last attempt to flush found no room on the disk. The
        same write is repeated every FLUSH_RETRY_MS; nothing is lost, the log holds it."""
        ...

    @property
    def is_map_full(self) -> bool:
        """True while the last attempt to flush found no room within the storage bound, though the
        file was made compact. Repeated as above, with what was deleted since."""
        ...

    @property
    def used_fraction(self) -> float:
        """Share of the storage bound that is in use, flushed or not; admission refuses writes
        above STATE_USED_FRACTION_MAX. Cheap."""
        ...

    @property
    def digests(self) -> tuple[tuple[int, int], ...]:
        """(index, digest of all rows at it), oldest first, at most DIGESTS_KEPT, for indexes at
        multiples of DIGEST_INTERVAL_ENTRIES; each appears when its index is durable, and is
        kept over a restart. Empty when the store was opened without a RowHash."""
        ...

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None:
        """Deleting an absent key does nothing."""
        ...

    def end_entry(self, index: int) -> None:
        """Everything put and deleted since the last end belongs to this index and becomes
        visible to new views. Waits up to FLUSH_GIVE_WAY_MS when a flush falls behind.

        index: greater than applied_index.
        """
        ...

    def view(self) -> View:
        """Never called inside an entry."""
        ...

    def request_flush(self) -> None:
        """Starts making all ended entries durable, in one transaction with their index;
        returns at once.

        Never called inside an entry. A flush in progress absorbs the request. A failed flush
        raises FatalError from the next call of any method; no room (ENOSPC, EDQUOT)
        is repeated and shows as `is_disk_full`.
        """
        ...

    def flush(self) -> None:
        """As request_flush, but returns when all ended entries are durable. Blocks: start,
        stop, tests, tools.

        Raises DiskFull, StorageFull, and does not wait for room: nothing is lost, the log holds it.
        """
        ...

    def export(self, path: Path) -> int:
        """Writes what is durable into the new file `path`, durably; the index that it is as of.
        On a thread of its own while everything else goes on. Raises OSError, DiskFull,
        CorruptData."""
        ...

    def install(self, path: Path, *, index: int) -> None:
        """Replaces all rows by those of the copy in `path`, which `export` of another store wrote
        as of `index`, and takes the file away. Never called inside an entry. After a crash at
        any instruction the old rows are there, or the new ones. Raises CorruptData, having
        changed nothing."""
        ...

    def close(self) -> None:
        """Flushes nothing; a second close does nothing; any other call after it is a bug."""
        ...
