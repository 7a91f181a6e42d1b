"""A state as one file: copied from one store, put into the place of another's."""

from __future__ import annotations

import errno
import os
import threading
from itertools import pairwise

import lmdb
import pytest
from storage_builders import ALL, open_store

from replicante.errors import CorruptData, DiskFull
from replicante.state.digest import row_hash
from replicante.state.machine import ReplicatedState
from replicante.state.tables import COUNTERS_KEY, Counters
from replicante.storage import lmdb_copy
from replicante.storage.lmdb_copy import prepare_copy
from replicante.storage.lmdb_store import LmdbStore
from replicante.storage.memory import MemoryStore


def filled(store, *, count: int, index: int):
    for number in range(count):
        store.put(b"k%05d" % number, b"%d" % index)
    store.end_entry(index)
    return store


@pytest.fixture
def stores(tmp_path):
    one, two = open_store(tmp_path / "one"), open_store(tmp_path / "two", identity=b"p2")
    yield one, two
    one.close()
    two.close()


def test_a_copy_is_as_of_what_is_durable_and_carries_every_row(stores, tmp_path):
    one, two = stores
    filled(one, count=2_000, index=7)
    one.flush()
    filled(one, count=10, index=8)
    copy = tmp_path / "copy"
    assert one.export(copy) == 7
    filled(two, count=3, index=2)
    two.put(b"gone", b"1")
    two.end_entry(3)
    two.install(copy, index=7)
    assert (two.applied_index, two.durable_index) == (7, 7)
    assert list(two.scan(*ALL)) == [(b"k%05d" % n, b"7") for n in range(2_000)]
    assert not copy.exists()
    filled(two, count=1, index=9)
    two.flush()
    assert two.get(b"k00000") == b"9"


def test_an_installed_state_is_this_peers_own_after_a_restart(stores, tmp_path):
    one, two = stores
    filled(one, count=5, index=7).flush()
    one.export(tmp_path / "copy")
    two.install(tmp_path / "copy", index=7)
    two.close()
    again = open_store(tmp_path / "two", identity=b"p2")
    assert again.applied_index == 7
    again.close()


def test_what_waited_for_a_flush_does_not_come_back(stores, tmp_path):
    one, two = stores
    filled(one, count=5, index=7).flush()
    one.export(tmp_path / "copy")
    filled(two, count=500, index=3)
    two.request_flush()
    filled(two, count=500, index=4)
    two.install(tmp_path / "copy", index=7)
    assert len(list(two.scan(*ALL))) == 5
    two.flush()
    assert two.durable_index == 7


def test_writing_goes_on_while_a_copy_is_made(stores, tmp_path):
    one, two = stores
    filled(one, count=20_000, index=1).flush()
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(one.export(tmp_path / "copy")))
    thread.start()
    for index in range(2, 40):
        filled(one, count=50, index=index)
        one.request_flush()
    thread.join()
    two.install(tmp_path / "copy", index=done[0])
    rows = dict(two.scan(*ALL))
    assert len(rows) == 20_000
    assert set(rows.values()) <= {b"1", b"%d" % done[0]}, "one index, not a mixture"


def test_a_copy_is_durable_in_slices(stores, tmp_path, monkeypatch):
    """A commit of the log on the same disk waits for one of them, not for all."""
    one, _ = stores
    for number in range(100):
        one.put(b"large-%05d" % number, bytes(100_000))
    one.end_entry(7)
    one.flush()
    sizes = []
    real = os.fdatasync
    monkeypatch.setattr(lmdb_copy, "_SLICE_BYTES", 1 << 20)
    monkeypatch.setattr(
        lmdb_copy.os,
        "fdatasync",
        lambda descriptor: (sizes.append(os.fstat(descriptor).st_size), real(descriptor)),
    )
    one.export(tmp_path / "copy")
    ends = [0, *sizes, (tmp_path / "copy").stat().st_size]
    assert len(sizes) >= 8
    assert max(after - before for before, after in pairwise(ends)) < 2 << 20


def test_a_copy_without_room_is_refused_and_the_state_stays_usable(stores, tmp_path, monkeypatch):
    one, _ = stores
    filled(one, count=20_000, index=7).flush()

    def refuse(descriptor, data):
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patched:
        patched.setattr(lmdb_copy.os, "write", refuse)
        with pytest.raises(DiskFull):
            one.export(tmp_path / "copy")
    (tmp_path / "copy").unlink()
    assert one.export(tmp_path / "copy") == 7
    filled(one, count=1, index=8).flush()


class NoRoom:
    """LMDB on a disk that takes no page more."""

    def __init__(self, environment) -> None:
        self._environment = environment

    def __getattr__(self, name):
        return getattr(self._environment, name)

    def sync(self, force):
        error = lmdb.Error("mdb_env_sync: No space left on device")
        error.code = errno.ENOSPC
        raise error


def test_a_copy_that_finds_no_room_to_become_the_state_is_taken_later(
    stores, tmp_path, monkeypatch
):
    one, other = stores
    filled(one, count=10, index=7).flush()
    one.export(tmp_path / "copy")
    opened = lmdb.open

    def open_full(path, **given):
        environment = opened(path, **given)
        return environment if given["readonly"] else NoRoom(environment)

    with monkeypatch.context() as patched:
        patched.setattr(lmdb_copy.lmdb, "open", open_full)
        with pytest.raises(DiskFull, match="no room to take over the state"):
            other.install(tmp_path / "copy", index=7)
    assert other.applied_index == 0
    other.install(tmp_path / "copy", index=7)
    assert other.applied_index == 7


@pytest.mark.parametrize("content", [b"", b"no state at all" * 1_000])
def test_what_is_no_state_changes_nothing(stores, tmp_path, content):
    _, two = stores
    filled(two, count=5, index=3).flush()
    (tmp_path / "copy").write_bytes(content)
    with pytest.raises(CorruptData):
        two.install(tmp_path / "copy", index=7)
    assert len(list(two.scan(*ALL))) == 5
    filled(two, count=1, index=4).flush()


def test_a_state_of_another_index_changes_nothing(stores, tmp_path):
    one, two = stores
    filled(one, count=5, index=7).flush()
    one.export(tmp_path / "copy")
    with pytest.raises(CorruptData, match="as of 7, not of 8"):
        two.install(tmp_path / "copy", index=8)
    assert two.applied_index == 0


def test_a_crash_before_the_rename_leaves_the_old_state(stores, tmp_path):
    one, two = stores
    filled(one, count=5, index=7).flush()
    one.export(tmp_path / "copy")
    filled(two, count=3, index=3).flush()
    prepare_copy(tmp_path / "copy", identity=b"p2", index=7)
    two.close()
    again = open_store(tmp_path / "two", identity=b"p2")
    assert (again.applied_index, len(list(again.scan(*ALL)))) == (3, 3)
    again.close()


def state_at(store, index: int) -> ReplicatedState:
    """A state whose rows say that they are as of `index`."""
    store.put(COUNTERS_KEY, Counters(index=index, clock_ms=5_000, kv_count=0).to_row())
    store.end_entry(index)
    store.flush()
    return ReplicatedState(store)


def open_hashed(path) -> LmdbStore:
    return LmdbStore.open(path, identity=b"p", map_bytes=64 << 20, row_hash=row_hash)


@pytest.mark.parametrize("kind", ["lmdb", "memory"])
def test_a_state_machine_goes_on_from_the_installed_state(tmp_path, kind):
    def make(name: str):
        return open_hashed(tmp_path / name) if kind == "lmdb" else MemoryStore(row_hash=row_hash)

    one, two = state_at(make("one"), 9), ReplicatedState(make("two"))
    assert one.export(tmp_path / "copy") == 9
    two.install(tmp_path / "copy", index=9)
    assert (two.applied_index, two.clock_ms) == (9, 5_000)
    assert two.digest_at_applied() == one.digest_at_applied()
    one.close()
    two.close()
