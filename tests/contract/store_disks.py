"""Where the stores of the contract tests live, over power cuts too."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from replicante.limits import MIB
from replicante.storage.keys import ABOVE_ALL_KEYS
from replicante.storage.lmdb_store import LmdbStore
from replicante.storage.memory import MemoryStore

ALL = (b"", ABOVE_ALL_KEYS)


def toy_hash(key: bytes, value: bytes) -> int:
    return int.from_bytes(key + b"=" + value, "big")


class MemoryDisk:
    """Where a store lives over power cuts."""

    def open(self) -> MemoryStore:
        return MemoryStore(row_hash=toy_hash)

    def power_cut(self, store: MemoryStore) -> MemoryStore:
        copy = store.crashed_copy()
        store.close()
        return copy

    def remove(self) -> None:
        pass


class LmdbDisk:
    row_hash = staticmethod(toy_hash)

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="replicante-store-"))

    def open(self) -> LmdbStore:
        return LmdbStore.open(
            self.path / "state", identity=b"p1", map_bytes=1024 * MIB, row_hash=self.row_hash
        )

    def power_cut(self, store: LmdbStore) -> LmdbStore:
        store.close()
        return self.open()

    def remove(self) -> None:
        shutil.rmtree(self.path)


class PlainLmdbDisk(LmdbDisk):
    """Without digests, rows are written another way."""

    row_hash = None


EVERY_DISK = [
    pytest.param(MemoryDisk, id="memory"),
    pytest.param(LmdbDisk, id="lmdb"),
    pytest.param(PlainLmdbDisk, id="plain-lmdb"),
]
DISKS_WITH_DIGESTS = EVERY_DISK[:2]


def write(store, index, rows):
    for key, value in rows.items():
        if value is None:
            store.delete(key)
        else:
            store.put(key, value)
    store.end_entry(index)


def rows_of(reader, start=b"", end=ABOVE_ALL_KEYS, *, is_reversed=False):
    return list(reader.scan(start, end, is_reversed=is_reversed))


def numbered(count):
    return {b"k%04d" % number: b"v%d" % number for number in range(count)}
