"""Builders for the tests of the LMDB store."""

from __future__ import annotations

import threading

from replicante.limits import MIB
from replicante.storage.keys import ABOVE_ALL_KEYS
from replicante.storage.lmdb_environment import LmdbEnvironment
from replicante.storage.lmdb_store import LmdbStore

ALL = (b"", ABOVE_ALL_KEYS)


def open_store(path, *, identity=b"p1", map_bytes=256 * MIB, row_hash=None):
    return LmdbStore.open(path, identity=identity, map_bytes=map_bytes, row_hash=row_hash)


class Gate:
    """Holds every commit of an environment until it is let through, or fails it."""

    def __init__(self, store, monkeypatch):
        self.entered, self.passed = threading.Semaphore(0), threading.Semaphore(0)
        self.done = threading.Semaphore(0)
        self.outcomes = []
        write, tell = LmdbEnvironment.write, store._flusher._tell

        def gated_write(environment, change, *, applied_index):
            self.entered.release()
            assert self.passed.acquire(timeout=20)
            if self.outcomes and (error := self.outcomes.pop(0)) is not None:
                raise error
            write(environment, change, applied_index=applied_index)

        def gated_tell(**news):
            tell(**news)
            self.done.release()

        monkeypatch.setattr(LmdbEnvironment, "write", gated_write)
        monkeypatch.setattr(store._flusher, "_tell", gated_tell)

    def wait_until_entered(self):
        assert self.entered.acquire(timeout=20)

    def let_through(self):
        self.passed.release()
        assert self.done.acquire(timeout=20)
