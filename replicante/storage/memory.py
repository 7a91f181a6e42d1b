"""The store without a disk, and the model that the LMDB store is compared with. Pure; used by
tests, by the simulator, and by peers that are told to keep nothing.

A flush is done when it is requested. What a power cut would leave is known at any time, because
the first old value of every row that changed since the last flush is kept (`crashed_copy`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgpack
from sortedcontainers import SortedDict

from replicante.errors import CorruptData
from replicante.limits import (
    DIGEST_INTERVAL_ENTRIES,
    DIGESTS_KEPT,
    MEMTABLE_BYTES_MAX,
    MEMTABLE_ROW_OVERHEAD_BYTES,
    ROW_KEY_BYTES_MAX,
)
from replicante.storage.kv import DIGEST_BITS, RowHash

SCAN_KEYS = 64
"""Keys that a scan takes at a time, so that a write between two rows does no harm."""


class MemoryStore:
    def __init__(self, *, row_hash: RowHash | None = None) -> None:
        self._rows: SortedDict = SortedDict()
        self._row_hash = row_hash
        self._applied_index = 0
        self._durable_index = 0
        self._version = 0
        self._ended_version = 0
        self._unflushed_bytes = 0
        self._undurable: dict[bytes, bytes | None] = {}
        """First old value of each row that changed since the last flush; None: it was absent."""
        self._undigested: dict[bytes, bytes | None] = {}
        """The same since the last digest."""
        self._digest = 0
        self._new_digests: list[tuple[int, int]] = []
        self._digests: deque[tuple[int, int]] = deque(maxlen=DIGESTS_KEPT)
        self._is_closed = False

    def crashed_copy(self) -> MemoryStore:
        """What a restart after a power cut would find: the rows at durable_index. The store
        itself goes on; for tests and the simulator."""
        rows = SortedDict(self._rows)
        for key, old in self._undurable.items():
            _set(rows, key, old)
        copy = MemoryStore(row_hash=self._row_hash)
        copy._rows = rows
        copy._applied_index = copy._durable_index = self._durable_index
        if self._row_hash is not None:
            # The digest of a copy continues from its last digest, as if all had just been put.
            copy._undigested = dict.fromkeys(rows)
            copy._digests.extend(self._digests)
        return copy

    @property
    def applied_index(self) -> int:
        return self._applied_index

    @property
    def durable_index(self) -> int:
        return self._durable_index

    @property
    def is_full(self) -> bool:
        return self._unflushed_bytes > MEMTABLE_BYTES_MAX

    @property
    def is_disk_full(self) -> bool:
        return False

    @property
    def is_map_full(self) -> bool:
        return False

    @property
    def used_fraction(self) -> float:
        return 0.0

    @property
    def digests(self) -> tuple[tuple[int, int], ...]:
        return tuple(self._digests)

    def get(self, key: bytes) -> bytes | None:
        assert not self._is_closed, "the store is closed"
        value: bytes | None = self._rows.get(key)
        return value

    def scan(
        self, start: bytes, end: bytes, *, is_reversed: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        includes_start, includes_end = True, False
        while start <= end:
            assert not self._is_closed, "the store is closed"
            keys = list(
                islice(
                    self._rows.irange(start, end, (includes_start, includes_end), is_reversed),
                    SCAN_KEYS,
                )
            )
            for key in keys:
                value = self._rows.get(key)
                if value is not None:
                    yield key, value
            if len(keys) < SCAN_KEYS:
                return
            if is_reversed:
                end = keys[-1]
            else:
                start, includes_start = keys[-1], False

    def put(self, key: bytes, value: bytes) -> None:
        assert 0 < len(key) <= ROW_KEY_BYTES_MAX, f"row key of {len(key)} bytes"
        self._change(key, value)

    def delete(self, key: bytes) -> None:
        self._change(key, None)

    def end_entry(self, index: int) -> None:
        assert not self._is_closed, "the store is closed"
        assert index > self._applied_index, f"entry {index} after {self._applied_index}"
        self._applied_index = index
        self._ended_version = self._version
        if self._row_hash is not None and index % DIGEST_INTERVAL_ENTRIES == 0:
            self._take_digest(self._row_hash)

    def view(self) -> MemoryView:
        assert not self._is_closed, "the store is closed"
        assert self._version == self._ended_version, "a view inside an entry"
        return MemoryView(self)

    def request_flush(self) -> None:
        assert not self._is_closed, "the store is closed"
        assert self._version == self._ended_version, "a flush inside an entry"
        self._undurable.clear()
        self._unflushed_bytes = 0
        self._durable_index = self._applied_index
        self._digests.extend(self._new_digests)
        self._new_digests.clear()

    def flush(self) -> None:
        self.request_flush()

    def export(self, path: Path) -> int:
        copy = self.crashed_copy()
        digests = [(at, f"{value:x}") for at, value in copy._digests]
        path.write_bytes(msgpack.packb((copy._applied_index, list(copy._rows.items()), digests)))
        return copy._applied_index

    def install(self, path: Path, *, index: int) -> None:
        found, rows, digests = msgpack.unpackb(path.read_bytes())
        if found != index:
            raise CorruptData(f"{path} is a state as of {found}, not of {index}")
        fresh = MemoryStore(row_hash=self._row_hash)
        fresh._rows.update((key, value) for key, value in rows)
        fresh._applied_index = fresh._durable_index = index
        if self._row_hash is not None:
            fresh._undigested = dict.fromkeys(fresh._rows)
            fresh._digests.extend((at, int(value, 16)) for at, value in digests)
        fresh._version = fresh._ended_version = self._version + 1
        self.__dict__ = fresh.__dict__
        path.unlink()

    def close(self) -> None:
        self._is_closed = True
        self._version += 1

    def _change(self, key: bytes, value: bytes | None) -> None:
        assert not self._is_closed, "the store is closed"
        old = self._rows.get(key)
        self._undurable.setdefault(key, old)
        if self._row_hash is not None:
            self._undigested.setdefault(key, old)
        _set(self._rows, key, value)
        self._version += 1
        self._unflushed_bytes += MEMTABLE_ROW_OVERHEAD_BYTES + len(key) + len(value or b"")

    def _take_digest(self, row_hash: RowHash) -> None:
        for key, old in self._undigested.items():
            new = self._rows.get(key)
            if old is not None:
                self._digest -= row_hash(key, old)
            if new is not None:
                self._digest += row_hash(key, new)
        self._undigested.clear()
        self._digest %= 1 << DIGEST_BITS
        self._new_digests.append((self._applied_index, self._digest))


class MemoryView:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._version = store._version
        self._applied_index = store.applied_index

    @property
    def applied_index(self) -> int:
        return self._applied_index

    def get(self, key: bytes) -> bytes | None:
        self._check()
        return self._store.get(key)

    def scan(
        self, start: bytes, end: bytes, *, is_reversed: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        self._check()
        for row in self._store.scan(start, end, is_reversed=is_reversed):
            yield row
            self._check()

    def close(self) -> None:
        self._version = -1

    def __enter__(self) -> MemoryView:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check(self) -> None:
        assert self._version == self._store._version, "a view was read after a write or its close"


def _set(rows: SortedDict, key: bytes, value: bytes | None) -> None:
    if value is None:
        rows.pop(key, None)
    else:
        rows[key] = value
