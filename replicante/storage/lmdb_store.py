"""The state on disk: memtables over LMDB, flushed by a thread of their own. IO; created by
server, written by state.machine, read by state.queries.

Reads look into the active memtable, then into frozen ones (newest first), then into LMDB
through one read transaction of the loop's thread. A flush freezes the active memtable. When it
is durable, the next end of an entry drops the frozen one and renews the read transaction in one
step, so a reader never misses a row nor meets an old one. Views share that transaction: they
live no longer than one synchronous stretch of the loop, and refuse to be read after it. ADR
0002.

Crash safety: rows and applied index are one LMDB transaction, so what is found after a crash at
any instruction is the state at some flushed index; the log replays the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import lmdb

from replicante.dir_lock import DirLock
from replicante.errors import DiskFull, FatalError, StartRefused, StorageFull
from replicante.limits import (
    DIGEST_INTERVAL_ENTRIES,
    FLUSH_SLICE_ROWS_MAX,
    FROZEN_LAYERS_MAX,
    MEMTABLE_BYTES_MAX,
    MEMTABLE_RUN_KEYS_MAX,
    STATE_MAP_BYTES_DEFAULT,
)
from replicante.storage.keys import ABOVE_ALL_KEYS
from replicante.storage.kv import DIGEST_BITS, RowHash
from replicante.storage.lmdb_copy import export_copy, place_copy, prepare_copy
from replicante.storage.lmdb_environment import LmdbEnvironment
from replicante.storage.lmdb_flusher import LmdbFlusher
from replicante.storage.lmdb_view import LmdbView
from replicante.storage.memtable import TOMBSTONE, Memtable, scan_layers

RESTART_HINT = "Check the disk and the kernel's log, then start this peer again."


def state_identity(*, cluster: str, peer_id: str, incarnation: str) -> bytes:
    """Whom the state of one peer belongs to."""
    return f"{cluster}/{peer_id}/{incarnation}".encode()


class LmdbStore:
    """Use `LmdbStore.open`."""

    def __init__(
        self, environment: LmdbEnvironment, lock: DirLock, *, row_hash: RowHash | None
    ) -> None:
        self._lock = lock
        self._row_hash = row_hash
        self._epoch = 0
        """Raised when the read transaction is replaced: what was opened before is over."""
        self._failure: FatalError | None = None
        self._is_closed = False
        self._copying = threading.Lock()
        """Held while a copy is written on another thread: the environment stays open."""
        self._begin(environment)

    def _begin(self, environment: LmdbEnvironment) -> None:
        """From what is on disk."""
        self._environment = environment
        self._applied_index = environment.header.applied_index
        self._active = Memtable(index=self._applied_index)
        self._ended_bytes = 0
        """written_bytes of the active memtable when the last entry ended."""
        self._ended_rows = 0
        self._layers: tuple[Memtable, ...] = (self._active,)
        """Newest first: the active memtable, then frozen ones."""
        self._txn = environment.begin_read()
        self._is_flushing = False
        """From the hand-over of frozen memtables until `_settle` sees them durable."""
        self._seen_slices_done = 0
        self._digests = () if self._row_hash is None else environment.read_digests()
        self._flusher = LmdbFlusher(
            environment,
            durable_index=self._applied_index,
            row_hash=self._row_hash,
            digest=None if self._row_hash is None else self._stored_digest(self._row_hash),
            digests=self._digests,
            on_failure=self._note_failure,
        )

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        identity: bytes,
        map_bytes: int = STATE_MAP_BYTES_DEFAULT,
        row_hash: RowHash | None = None,
    ) -> LmdbStore:
        """Opens the environment in the directory `path`, or makes it.

        identity: whom the data belongs to; recorded at birth and compared ever after.
        map_bytes: the bound of the file, reserved as address space only.
        Raises DataDirInUse, WrongIdentity, CorruptData, UnsupportedFormat or StartRefused, each
        with the path and what to do. Blocks for a few fsyncs when the directory is new, and for
        a scan of all rows when the digest has to be made anew.
        """
        lock = DirLock.acquire(path)
        try:
            environment = LmdbEnvironment(path, map_bytes=map_bytes, identity=identity)
            try:
                return cls(environment, lock, row_hash=row_hash)
            except FatalError:
                environment.close()
                raise
        except (StartRefused, FatalError):
            lock.release()
            raise

    @property
    def applied_index(self) -> int:
        return self._applied_index

    @property
    def durable_index(self) -> int:
        return self._flusher.durable_index

    @property
    def is_full(self) -> bool:
        if self.unflushed_bytes <= MEMTABLE_BYTES_MAX:
            return False
        self._give_way(MEMTABLE_RUN_KEYS_MAX)
        return self.unflushed_bytes > MEMTABLE_BYTES_MAX

    @property
    def unflushed_bytes(self) -> int:
        """Upper bound of the memory that rows wait in; a row put twice counts twice."""
        durable = self._flusher.durable_index
        return sum(
            layer.written_bytes
            for layer in self._layers
            if layer is self._active or layer.index > durable
        )

    @property
    def is_disk_full(self) -> bool:
        no_room = self._flusher.no_room
        return no_room is not None and not no_room.is_map_full

    @property
    def is_map_full(self) -> bool:
        """The bound of the store is reached, not that of the disk."""
        no_room = self._flusher.no_room
        return no_room is not None and no_room.is_map_full

    @property
    def bytes_used(self) -> int:
        """Pages of the rows on disk, and the rows that wait for them."""
        return self._environment.bytes_used + self.unflushed_bytes

    @property
    def bytes_bound(self) -> int:
        return self._environment.map_bytes

    @property
    def used_fraction(self) -> float:
        return self.bytes_used / self.bytes_bound

    @property
    def digests(self) -> tuple[tuple[int, int], ...]:
        return self._digests

    def digest_on_disk(self) -> int | None:
        """As the last flush kept it; None when none was kept. Raises StartRefused."""
        return self._environment.read_digest()

    def get(self, key: bytes) -> bytes | None:
        if self._failure is not None or self._is_closed:
            self._refuse()
        return self._read(self._layers, key)

    def scan(
        self, start: bytes, end: bytes, *, is_reversed: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        if self._failure is not None or self._is_closed:
            self._refuse()
        return self._scan(self._layers, start, end, is_reversed=is_reversed, epoch=self._epoch)

    def put(self, key: bytes, value: bytes) -> None:
        if self._failure is not None or self._is_closed:
            self._refuse()
        self._active.put(key, value)

    def delete(self, key: bytes) -> None:
        if self._failure is not None or self._is_closed:
            self._refuse()
        self._active.put(key, TOMBSTONE)

    def end_entry(self, index: int) -> None:
        if self._failure is not None or self._is_closed:
            self._refuse()
        assert index > self._applied_index, f"entry {index} after {self._applied_index}"
        active = self._active
        self._applied_index = active.index = index
        self._ended_bytes = active.written_bytes
        active.sort_some()
        if self._flusher.is_writing:
            self._give_way(len(active.rows) - self._ended_rows)
        self._ended_rows = len(active.rows)
        if self._flusher.has_news:
            self._settle()
        if self._row_hash is not None and index % DIGEST_INTERVAL_ENTRIES == 0:
            # A digest is of exactly this index, so these rows must not mix with later ones.
            self._freeze()

    def view(self) -> LmdbView:
        if self._failure is not None or self._is_closed:
            self._refuse()
        assert self._active.written_bytes == self._ended_bytes, "a view inside an entry"
        return LmdbView(self)

    def request_flush(self) -> None:
        if self._failure is not None or self._is_closed:
            self._refuse()
        assert self._active.written_bytes == self._ended_bytes, "a flush inside an entry"
        if self._flusher.has_news:
            self._settle()
        if self._is_flushing or self._applied_index == self._flusher.durable_index:
            return
        if len(self._layers) == 1 or self._layers[1].index < self._applied_index:
            self._freeze()
        self._is_flushing = True
        self._flusher.start(tuple(reversed(self._layers[1:])))

    def flush(self) -> None:
        self.request_flush()
        while self._flusher.durable_index < self._applied_index:
            self._flusher.wait_for_news()
            if self._failure is not None:
                self._refuse()
            self._settle()
            no_room = self._flusher.no_room
            if no_room is not None:
                kind = StorageFull if no_room.is_map_full else DiskFull
                raise kind(path=str(self._environment.path))
            self.request_flush()
        if self._flusher.has_news:
            self._settle()

    def export(self, path: Path) -> int:
        with self._copying:
            if self._is_closed:
                raise DiskFull(f"the state in {self._environment.path} is being closed")
            return export_copy(self._environment, path)

    def install(self, path: Path, *, index: int) -> None:
        if self._failure is not None or self._is_closed:
            self._refuse()
        assert self._active.written_bytes == self._ended_bytes, "an installation inside an entry"
        environment = self._environment
        prepare_copy(path, identity=environment.identity, index=index)
        self._end_environment()
        place_copy(path, environment.path)
        try:
            self._begin(environment.successor())
        except StartRefused as exc:
            raise self._fail(FatalError(str(exc), hints=exc.hints, **exc.details)) from exc

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._end_environment()
        self._lock.release()

    def _end_environment(self) -> None:
        self._epoch += 1
        self._flusher.stop()
        with self._copying:
            self._txn.abort()
            self._environment.close()

    def _give_way(self, new_rows: int) -> None:
        """Lets the flusher write as many rows as wait anew, and some in any case: so it is
        never far behind, and no entry pays for all of them."""
        slices = new_rows // FLUSH_SLICE_ROWS_MAX
        if self._flusher.slices_done == self._seen_slices_done:
            slices += 1
        if slices:
            self._flusher.give_way(slices=slices)
        self._seen_slices_done = self._flusher.slices_done

    def _freeze(self) -> None:
        """The active memtable becomes the newest frozen one."""
        self._active.sort()
        self._active = Memtable(index=self._applied_index)
        self._ended_bytes = self._ended_rows = 0
        self._layers = (self._active, *self._layers)

    def _freeze_newer(self, index: int) -> list[Memtable]:
        """What was written after entry `index`, oldest first, within a bound of layers."""
        if self._active.rows and len(self._layers) <= FROZEN_LAYERS_MAX:
            self._freeze()
        return [layer for layer in reversed(self._layers[1:]) if layer.index > index]

    def _settle(self) -> None:
        """Takes over what the flusher has done. Views and scans opened before are over, which
        they may be: this is called by the writer only."""
        flusher = self._flusher
        flusher.has_news = False
        self._epoch += 1
        self._txn.abort()
        self._layers = (self._active, *flusher.take_merged(self._layers[1:]))
        if flusher.wants_reopen:
            self._reopen()
            flusher.confirm_reopened(self._freeze_newer(flusher.batch_index))
        self._txn = self._environment.begin_read()
        kept = tuple(it for it in self._layers[1:] if it.index > flusher.durable_index)
        if len(kept) + 1 < len(self._layers):
            self._layers = (self._active, *kept)
            self._is_flushing = False
        self._digests = flusher.digests

    def _reopen(self) -> None:
        """After a write that found no room: what was durable before must still be all there is."""
        try:
            with self._copying:
                self._environment.reopen()
        except StartRefused as exc:
            raise self._fail(FatalError(str(exc), hints=exc.hints, **exc.details)) from exc
        found = self._environment.header.applied_index
        if found != self._flusher.durable_index:
            raise self._fail(
                FatalError(
                    f"The state in {self._environment.path} is at index {found} after a write "
                    f"that failed, and index {self._flusher.durable_index} was expected.",
                    hints=(RESTART_HINT,),
                    path=str(self._environment.path),
                )
            )

    def _scan(
        self,
        layers: tuple[Memtable, ...],
        start: bytes,
        end: bytes,
        *,
        is_reversed: bool,
        epoch: int,
    ) -> Iterator[tuple[bytes, bytes]]:
        assert epoch == self._epoch, "a scan began after its entry or its view"
        disk = self._environment.scan(self._txn, start, end, is_reversed=is_reversed)
        rows = scan_layers(layers, disk, start=start, end=end, is_reversed=is_reversed)
        try:
            for row in rows:
                yield row
                assert epoch == self._epoch, "a scan went on after its entry or its view"
        except FatalError as exc:
            self._fail(exc)
            raise

    def _read(self, layers: tuple[Memtable, ...], key: bytes) -> bytes | None:
        # `newest`, written out: every write reads what it replaces.
        for layer in layers:
            value = layer.rows.get(key)
            if value is not None:
                return None if value is TOMBSTONE else value
        try:
            return self._txn.get(key)
        except lmdb.Error as exc:
            raise self._fail(self._environment.unreadable(exc)) from exc

    def _stored_digest(self, row_hash: RowHash) -> int:
        """The digest at the applied index: as stored, or of all rows."""
        digest = self._environment.read_digest()
        if digest is None:
            rows = self._environment.scan(self._txn, b"", ABOVE_ALL_KEYS, is_reversed=False)
            digest = sum(row_hash(key, value) for key, value in rows)
        return digest % (1 << DIGEST_BITS)

    def _fail(self, failure: FatalError) -> FatalError:
        self._failure = failure
        return failure

    def _note_failure(self, cause: BaseException) -> None:
        """Called on the flusher's thread, once."""
        failure = FatalError(
            f"A write to the state in {self._environment.path} failed: {cause}. What is on disk "
            "is not known any more.",
            hints=(RESTART_HINT,),
            path=str(self._environment.path),
        )
        failure.__cause__ = cause
        self._failure = failure

    def _refuse(self) -> NoReturn:
        """Each caller gets an error with a traceback of its own."""
        failure = self._failure
        assert failure is not None, "the store is closed"
        cause = failure.__cause__
        raise FatalError(failure.message, hints=failure.hints, **failure.details) from cause
