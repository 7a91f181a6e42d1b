"""The LMDB store when it cannot write: a broken disk ends it, a full one makes it wait."""

from __future__ import annotations

import contextlib
import errno
import subprocess

import lmdb
import pytest
from storage_builders import ALL, Gate, open_store

from replicante.errors import DiskFull, FatalError, StorageFull
from replicante.limits import MIB
from replicante.state.digest import row_hash
from replicante.storage import lmdb_flusher
from replicante.storage.lmdb_environment import LmdbEnvironment, NoRoom


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


def test_a_failed_write_is_never_repeated_and_every_later_call_is_refused(store, monkeypatch):
    store.put(b"a", b"1")
    store.end_entry(1)
    gate = Gate(store, monkeypatch)
    gate.outcomes = [lmdb.Error("mdb_txn_commit: Input/output error", errno.EIO)]
    store.request_flush()
    gate.wait_until_entered()
    gate.let_through()
    calls = [
        lambda: store.get(b"a"),
        lambda: store.scan(*ALL),
        lambda: store.put(b"a", b"2"),
        lambda: store.delete(b"a"),
        lambda: store.end_entry(2),
        lambda: store.view(),
        lambda: store.request_flush(),
        lambda: store.flush(),
    ]
    for call in calls:
        with pytest.raises(FatalError, match="Input/output"):
            call()
    assert store.durable_index == 0
    assert not gate.entered.acquire(blocking=False)
    store.close()


def test_a_blocking_flush_ends_when_its_write_fails(store, monkeypatch):
    def broken(environment, change, *, applied_index):
        raise lmdb.Error("mdb_txn_commit: Input/output error", errno.EIO)

    monkeypatch.setattr(LmdbEnvironment, "write", broken)
    store.put(b"a", b"1")
    store.end_entry(1)
    with pytest.raises(FatalError):
        store.flush()


def test_a_flush_without_room_is_repeated_until_it_succeeds(store, monkeypatch):
    monkeypatch.setattr(lmdb_flusher, "FLUSH_RETRY_MS", 1)
    store.put(b"a", b"1")
    store.end_entry(1)
    gate = Gate(store, monkeypatch)
    gate.outcomes = [NoRoom(is_map_full=False), NoRoom(is_map_full=False), None]
    store.request_flush()
    gate.wait_until_entered()
    gate.let_through()
    assert store.is_disk_full
    assert not store.is_map_full
    store.put(b"b", b"2")
    store.end_entry(2)  # reads and writes go on, and the environment was reopened
    assert list(store.scan(*ALL)) == [(b"a", b"1"), (b"b", b"2")]
    gate.wait_until_entered()
    gate.let_through()
    assert store.is_disk_full
    store.request_flush()
    gate.wait_until_entered()
    gate.let_through()
    assert not store.is_disk_full
    assert store.durable_index == 2, "what was written meanwhile goes with it"
    assert list(store.scan(*ALL)) == [(b"a", b"1"), (b"b", b"2")]


def test_a_store_without_room_can_be_closed(store, monkeypatch):
    gate = Gate(store, monkeypatch)
    gate.outcomes = [NoRoom(is_map_full=False)]
    store.put(b"a", b"1")
    store.end_entry(1)
    store.request_flush()
    gate.wait_until_entered()
    gate.let_through()
    store.close()


def test_a_full_map_shows_and_is_cured_by_a_higher_bound(tmp_path):
    store = open_store(tmp_path, map_bytes=MIB)
    for number in range(12):
        store.put(b"k%02d" % number, bytes(100_000))
    store.end_entry(1)
    assert store.used_fraction > 1
    with pytest.raises(StorageFull):
        store.flush()
    assert not store.is_disk_full
    assert store.is_map_full
    assert store.get(b"k00") == bytes(100_000)
    store.close()
    store = open_store(tmp_path, map_bytes=64 * MIB)
    assert store.applied_index == 0
    assert list(store.scan(*ALL)) == []
    store.put(b"a", b"1")
    store.end_entry(1)
    store.flush()
    store.close()


def test_used_bytes_fall_when_rows_are_deleted(store):
    for number in range(20):
        store.put(b"k%02d" % number, bytes(MIB))
    store.end_entry(1)
    store.flush()
    full = store.bytes_used
    assert full >= 20 * MIB
    for number in range(20):
        store.delete(b"k%02d" % number)
    store.end_entry(2)
    store.flush()
    store.end_entry(3)
    assert store.bytes_used < MIB
    assert store.used_fraction == store.bytes_used / store.bytes_bound


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MiB of its own; needs the right to mount."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not permitted here")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_a_full_disk_loses_nothing_and_heals_when_there_is_room(small_disk, monkeypatch):
    monkeypatch.setattr(lmdb_flusher, "FLUSH_RETRY_MS", 10)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(4 * MIB))
    store = open_store(small_disk / "state", map_bytes=64 * MIB)
    store.put(b"small", b"1")
    store.end_entry(1)
    store.flush()
    for number in range(5):
        store.put(b"big%d" % number, bytes(MIB))
    store.end_entry(2)
    with pytest.raises(DiskFull):
        store.flush()
    assert store.is_disk_full
    assert not store.is_map_full
    assert store.durable_index == 1
    store.put(b"late", b"3")
    store.end_entry(3)
    assert store.get(b"small") == b"1"
    assert len(list(store.scan(b"big", b"bih"))) == 5
    filler.unlink()
    for _ in range(100):
        try:
            store.flush()
            break
        except DiskFull:  # an attempt from before there was room
            continue
    assert store.durable_index == 3
    assert not store.is_disk_full
    store.close()
    store = open_store(small_disk / "state", map_bytes=64 * MIB)
    assert store.get(b"big4") == bytes(MIB)
    assert store.get(b"late") == b"3"
    store.close()


def fragmented(tmp_path, monkeypatch):
    """Half of the map is free, in holes that a large value does not fit into."""
    monkeypatch.setattr(lmdb_flusher, "FLUSH_RETRY_MS", 1)
    store = open_store(tmp_path, map_bytes=16 * MIB, row_hash=row_hash)
    index = 0
    while store.used_fraction < 0.85:
        index += 1
        for number in range(20):
            store.put(b"s%04d-%02d" % (index, number), bytes([index % 250]) * 9_000)
        store.end_entry(index)
        store.flush()
    for place in range(1, index + 1):
        for number in range(0, 20, 2):
            store.delete(b"s%04d-%02d" % (place, number))
        store.end_entry(index + place)
        store.flush()
    assert store.used_fraction < 0.5
    return store, 2 * index


def test_a_large_value_finds_room_where_only_small_holes_are_free(tmp_path, monkeypatch):
    store, index = fragmented(tmp_path, monkeypatch)
    before = dict(store.scan(*ALL))
    for number in range(4):
        index += 1
        store.put(b"large%d" % number, bytes([number]) * 900_000)
        store.end_entry(index)
        store.flush()
    assert (store.durable_index, store.is_map_full) == (index, False)
    assert dict(store.scan(b"s", b"t")) == before
    digest = store.digest_on_disk()
    store.close()
    store = open_store(tmp_path, map_bytes=16 * MIB, row_hash=row_hash)
    assert store.get(b"large3") == b"\x03" * 900_000
    assert dict(store.scan(b"s", b"t")) == before
    total = sum(row_hash(key, value) for key, value in store.scan(*ALL))
    assert store.digest_on_disk() == digest == total % (1 << 128)
    store.close()


def test_a_state_that_was_too_large_is_written_when_enough_of_it_was_deleted(tmp_path, monkeypatch):
    """What is deleted later counts for a write that found no room: else it never would."""
    monkeypatch.setattr(lmdb_flusher, "FLUSH_RETRY_MS", 1)
    store = open_store(tmp_path, map_bytes=MIB, row_hash=row_hash)
    for number in range(12):
        store.put(b"k%02d" % number, bytes(100_000))
    store.end_entry(1)
    with pytest.raises(StorageFull):
        store.flush()
    for number in range(11):
        store.delete(b"k%02d" % number)
        store.end_entry(2 + number)
        assert store.get(b"k11") == bytes(100_000)
        assert store.get(b"k%02d" % number) is None
    for _ in range(1_000):
        with contextlib.suppress(StorageFull):  # an attempt from before
            store.flush()
            break
    assert (store.durable_index, store.is_map_full) == (12, False)
    assert [key for key, _ in store.scan(*ALL)] == [b"k11"]
    store.close()
    store = open_store(tmp_path, map_bytes=MIB, row_hash=row_hash)
    assert [key for key, _ in store.scan(*ALL)] == [b"k11"]
    assert store.digest_on_disk() == row_hash(b"k11", bytes(100_000))
    store.close()
