"""The one thread that makes frozen memtables durable. IO; owned by lmdb_store.

The loop hands over a batch and polls `has_news`; the thread never calls back into the loop. One
batch is one durable transaction: rows in key order, digest, applied index. Without room the
batch is repeated every FLUSH_RETRY_MS, with what was written after it, after the loop has reopened
the environment (only the loop may close it: its read transaction lives there). In a full map the
room may be there in pieces, so first a compact copy takes the place of the file (ADR 0002). Any
other failure is final: after a failed fsync nobody knows what is on disk, so it is never tried
again.

GIL: LMDB's binding releases it around each row, and beside a loop that is always busy the
thread gets it back only after the switch interval: 6,000 rows/s were measured where 1,000,000
are possible. So the thread works in slices, and the writer on the loop waits for as many slices as
its entry adds, and for one when it finds that none was done since its last entry (`give_way`).
It waits 1 µs a row, which the GIL would cost it anyway.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from itertools import islice

from replicante.errors import CorruptData, DiskFull
from replicante.limits import (
    DIGEST_INTERVAL_ENTRIES,
    DIGESTS_KEPT,
    FLUSH_GIVE_WAY_MS,
    FLUSH_RETRY_MS,
    FLUSH_SLICE_ROWS_MAX,
)
from replicante.storage.kv import DIGEST_BITS, RowHash
from replicante.storage.lmdb_copy import export_copy, place_copy
from replicante.storage.lmdb_environment import LmdbEnvironment, NoRoom, RowWriter
from replicante.storage.memtable import TOMBSTONE, Memtable

THREAD_NAME = "storage-flusher"
COMPACT_FILE = "compact.new"


class Stopped(Exception):
    """The store is closing: the transaction is given up."""


class LmdbFlusher:
    """Public attributes are written by the thread and read by the loop; `has_news` is written
    last, and cleared by the loop before it reads the others."""

    def __init__(
        self,
        environment: LmdbEnvironment,
        *,
        durable_index: int,
        row_hash: RowHash | None,
        digest: int | None,
        digests: Sequence[tuple[int, int]],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """digest: of the rows at durable_index; None exactly when row_hash is. digests: by index,
        as they were kept last.
        on_failure: called on the thread, before it ends; sets one attribute and returns."""
        self._environment = environment
        (environment.path / COMPACT_FILE).unlink(missing_ok=True)  # of a process that was killed
        self._on_failure = on_failure
        self._row_hash = row_hash
        self._digest = digest
        self._kept = tuple(digests)
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._batch: Sequence[Memtable] = ()
        self._compacted_index: int | None = None
        """What was durable when the file was made compact last."""
        self._is_stopping = False

        self.durable_index = durable_index
        self.digests = self._kept
        """(index, digest at it), durable, oldest first, at most DIGESTS_KEPT."""
        self.no_room: NoRoom | None = None
        """Why the last attempt found no room; None after a success."""
        self.wants_reopen = False
        self._merged: Memtable | None = None
        """Holds all that memtables up to its index held."""
        self.has_news = False
        self.is_writing = False
        """True from the hand-over until all rows are written, which needs the GIL; false during
        the commit and while it waits to repeat."""
        self.slices_done = 0

    def start(self, batch: Sequence[Memtable]) -> None:
        """Oldest first, all frozen; the batch before is durable. Called on the loop."""
        assert batch
        with self._condition:
            assert not self._batch
            self._batch = tuple(batch)
            self.is_writing = True
            self._condition.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
            self._thread.start()

    @property
    def batch_index(self) -> int:
        """The last entry of the batch; of none, what is durable."""
        return self._batch[-1].index if self._batch else self.durable_index

    def wait_for_news(self) -> None:
        """Blocks the caller until the batch is durable, failed, or wants the environment
        reopened."""
        with self._condition:
            self._condition.wait_for(lambda: self.has_news)

    def give_way(self, *, slices: int) -> None:
        """Lets the thread write so many slices undisturbed. Called on the loop; blocks it for
        at most FLUSH_GIVE_WAY_MS."""
        goal = self.slices_done + slices
        with self._condition:
            self._condition.wait_for(
                lambda: self.slices_done >= goal or not self.is_writing,
                timeout=FLUSH_GIVE_WAY_MS / 1_000,
            )

    def take_merged(self, frozen: Sequence[Memtable]) -> Sequence[Memtable]:
        """`frozen`, newest first, with one in the place of those that were merged. Called on the
        loop."""
        with self._condition:
            merged, self._merged = self._merged, None
        if merged is None:
            return frozen
        return (*(layer for layer in frozen if layer.index > merged.index), merged)

    def confirm_reopened(self, newer: Sequence[Memtable] = ()) -> None:
        """The environment was reopened: the batch may be tried again, with `newer`, oldest first.
        Called on the loop."""
        with self._condition:
            self._batch = (*self._batch, *newer)
            self.wants_reopen = False
            self._condition.notify_all()

    def stop(self) -> None:
        """Returns when the thread has ended. A commit that has begun is waited for."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._wait_for_batch():
                while not self._attempt():
                    self._wait_to_repeat()
        except Stopped:
            pass
        except BaseException as exc:  # noqa: BLE001 - supervisor: from now the store refuses
            self._on_failure(exc)
            self._tell()

    def _wait_for_batch(self) -> bool:
        with self._condition:
            self._condition.wait_for(lambda: self._batch or self._is_stopping)
            return not self._is_stopping

    def _wait_to_repeat(self) -> None:
        with self._condition:
            self._condition.wait_for(lambda: not self.wants_reopen or self._is_stopping)
            self._condition.wait_for(lambda: self._is_stopping, timeout=FLUSH_RETRY_MS / 1_000)
            if self._is_stopping:
                raise Stopped

    def _attempt(self) -> bool:
        """True when the batch is durable, False when there was no room for it."""
        if self.no_room is not None and len(self._batch) > 1:
            self._merge_batch()
        batch = self._batch
        written = _Writing(self._row_hash, self._digest, self._kept)

        def write_rows(writer: RowWriter) -> None:
            self._write_batch(writer, batch, written)
            self._end_writing()

        self.is_writing = True
        try:
            self._environment.write(write_rows, applied_index=batch[-1].index)
        except NoRoom as exc:
            is_compact = exc.is_map_full and self._make_compact()
            self._tell(no_room=None if is_compact else exc, wants_reopen=True)
            return False
        finally:
            self._end_writing()
        self._digest, self._kept = written.digest, written.digests
        self._tell(durable_index=batch[-1].index)
        return True

    def _merge_batch(self) -> None:
        """What was deleted since the batch found no room is not written in it."""
        merged = Memtable.of_all(self._batch)
        with self._condition:
            self._batch = (merged,)
            self._merged = merged

    def _make_compact(self) -> bool:
        """The last commit as a file without holes takes the place of the one that has them; who
        has that one open reads on until the environment is reopened. False when that was done
        already, so that it would gain nothing, or has no room itself."""
        if self._compacted_index == self.durable_index:
            return False
        self._compacted_index = self.durable_index
        fresh = self._environment.path / COMPACT_FILE
        try:
            fresh.unlink(missing_ok=True)
            export_copy(self._environment, fresh)
            place_copy(fresh, self._environment.path)
        except (CorruptData, DiskFull, OSError):
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            return False
        return True

    def _end_writing(self) -> None:
        with self._condition:
            self.is_writing = False
            self._condition.notify_all()

    def _write_batch(self, writer: RowWriter, batch: Sequence[Memtable], written: _Writing) -> None:
        for memtable in batch:
            keys = memtable.sorted_keys()
            while slice_keys := list(islice(keys, FLUSH_SLICE_ROWS_MAX)):
                if self._is_stopping:
                    raise Stopped
                written.write_slice(writer, memtable.rows, slice_keys)
                with self._condition:
                    self.slices_done += 1
                    self._condition.notify_all()
            written.end_memtable(memtable.index)
        writer.set_digest(written.digest)
        if written.digests is not self._kept:
            writer.set_digests(written.digests)

    def _tell(
        self,
        *,
        durable_index: int | None = None,
        no_room: NoRoom | None = None,
        wants_reopen: bool = False,
    ) -> None:
        with self._condition:
            self.no_room = no_room
            self.wants_reopen = wants_reopen
            if durable_index is not None:
                self.digests = self._kept
                self._batch = ()
                self.durable_index = durable_index
            self.has_news = True
            self._condition.notify_all()


class _Writing:
    """One attempt: the digests it reaches are the flusher's only when the commit succeeds."""

    def __init__(
        self,
        row_hash: RowHash | None,
        digest: int | None,
        digests: tuple[tuple[int, int], ...],
    ) -> None:
        self._row_hash = row_hash
        self.digest = digest
        self.digests = digests

    def write_slice(
        self, writer: RowWriter, rows: dict[bytes, bytes], keys: Sequence[bytes]
    ) -> None:
        if self._row_hash is not None and self.digest is not None:
            self.digest = _write_hashed(writer, rows, keys, self._row_hash, self.digest)
            return
        put = [(key, value) for key in keys if (value := rows[key]) is not TOMBSTONE]
        writer.put_many(put)
        if len(put) < len(keys):
            for key in keys:
                if rows[key] is TOMBSTONE:
                    writer.remove(key)

    def end_memtable(self, index: int) -> None:
        if self.digest is not None:
            self.digest %= 1 << DIGEST_BITS
            if index % DIGEST_INTERVAL_ENTRIES == 0:
                self.digests = (*self.digests, (index, self.digest))[-DIGESTS_KEPT:]


def _write_hashed(
    writer: RowWriter,
    rows: dict[bytes, bytes],
    keys: Sequence[bytes],
    row_hash: RowHash,
    digest: int,
) -> int:
    """The digest after the rows of `keys` have replaced what was there."""
    for key in keys:
        value = rows[key]
        if value is TOMBSTONE:
            old = writer.remove(key)
        else:
            old = writer.replace(key, value)
            digest += row_hash(key, value)
        if old is not None:
            digest -= row_hash(key, old)
    return digest
