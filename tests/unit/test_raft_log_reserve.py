"""A full disk or a full map stops entries, never a term, a trim or an installation."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from raft_harness import HardState, history, record_after

from replicante import limits
from replicante.errors import DiskFull, StorageFull
from replicante.raft.log import Log, WriteSet
from replicante.raft.log_reserve import DiskReserve
from replicante.raft.log_store import LmdbLog
from replicante.raft.records import encode_record

RESERVE_BYTES = 4 * limits.MIB
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True, timeout=10)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(limits.KIB * 4))
        except OSError:
            return filler


def rows(records):
    return tuple((record.index, encode_record(record)) for record in records)


def written(path, *, map_bytes=64 * limits.MIB, reserve_bytes=RESERVE_BYTES):
    """A log with genesis, that many entries of 64 KiB, and a large one that is to follow."""
    store = LmdbLog(path / "log", map_bytes=map_bytes, reserve_bytes=reserve_bytes)
    records = history("abc", [])
    for _ in range(4):
        records.append(record_after(records[-1], term=1, payload=bytes(64 * limits.KIB)))
    store.write(WriteSet(None, rows(records), HardState(term=1)))
    large = record_after(records[-1], term=1, payload=bytes(2 * limits.MIB))
    return store, WriteSet(None, rows([large]), None)


def base_of(store, index):
    return Log(store, store.load()).base_at(index)


@needs_root
def test_on_a_full_disk_entries_wait_and_terms_and_trims_do_not(small_disk):
    store, large = written(small_disk)
    assert (small_disk / "log" / "reserve").stat().st_size == RESERVE_BYTES
    filler = fill(small_disk)
    for _ in range(2):
        with pytest.raises(DiskFull):
            store.write(large)
        assert (small_disk / "log" / "reserve").exists(), "entries do not take the reserve"
    for term in range(2, 40):
        store.write(WriteSet(None, (), HardState(term=term, voted_for="b")))
    store.write(WriteSet(None, (), None, base=base_of(store, 4)))
    store.close()
    store = LmdbLog(small_disk / "log", map_bytes=64 * limits.MIB, reserve_bytes=RESERVE_BYTES)
    loaded = store.load()
    assert (loaded.first_index, loaded.hard) == (4, HardState(term=39, voted_for="b"))
    assert not (small_disk / "log" / "reserve").exists()
    filler.unlink()
    store.write(large)
    assert (small_disk / "log" / "reserve").stat().st_size == RESERVE_BYTES, "made again"
    store.close()


@needs_root
def test_without_a_reserve_a_term_finds_no_room(small_disk):
    store, large = written(small_disk, reserve_bytes=0)
    fill(small_disk)
    with pytest.raises(DiskFull):
        store.write(large)
    with pytest.raises(DiskFull):
        for term in range(2, 40):
            store.write(WriteSet(None, (), HardState(term=term)))
    store.close()


def test_a_full_map_is_no_full_disk_and_leaves_room_for_terms_and_trims(tmp_path):
    store, large = written(tmp_path, map_bytes=2 * limits.MIB, reserve_bytes=limits.MIB)
    with pytest.raises(StorageFull, match="has reached its bound of 2097152 bytes") as caught:
        store.write(large)
    assert "storage.log_map_bytes" in caught.value.hints[0]
    last = store.load().last
    with pytest.raises(StorageFull):
        while True:  # small entries, until not even one page is left of what they may have
            last = record_after(last, term=1, payload=bytes(1_000))
            store.write(WriteSet(None, rows([last]), None))
    store.write(WriteSet(None, (), HardState(term=2)))
    assert store.load().hard == HardState(term=2)
    last = record_after(store.load().last, term=1, payload=bytes(64 * limits.KIB))
    with pytest.raises(StorageFull):
        store.write(WriteSet(None, rows([last]), None))
    store.write(WriteSet(None, rows([last]), None, base=base_of(store, 4)))  # the trim makes room
    assert (store.load().first_index, store.load().last) == (4, last)
    store.close()


def test_a_reserve_is_not_made_where_it_would_take_most_of_the_room(tmp_path):
    room = os.statvfs(tmp_path)
    reserve = DiskReserve(tmp_path, size_bytes=room.f_bavail * room.f_frsize)
    reserve.make()
    assert list(tmp_path.iterdir()) == []


def test_a_reserve_that_was_half_made_is_made_whole(tmp_path):
    (tmp_path / "reserve").write_bytes(bytes(1_000))
    DiskReserve(tmp_path, size_bytes=limits.MIB).make()
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= limits.MIB
