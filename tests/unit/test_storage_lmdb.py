"""The LMDB store: stages of a flush, failures, refusals to open."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import zlib

import lmdb
import pytest

from replicante.errors import (
    CorruptData,
    DataDirInUse,
    DiskFull,
    FatalError,
    StartRefused,
    UnsupportedFormat,
    WrongIdentity,
)
from replicante.limits import MEMTABLE_RUN_KEYS_MAX, MIB
from replicante.storage import lmdb_flusher
from replicante.storage.dir_lock import LOCK_NAME, DirLock
from replicante.storage.keys import ABOVE_ALL_KEYS
from replicante.storage.lmdb_environment import LmdbEnvironment, NoRoom
from replicante.storage.lmdb_store import LmdbStore

ALL = (b"", ABOVE_ALL_KEYS)


def open_store(path, *, identity=b"p1", map_bytes=256 * MIB):
    return LmdbStore.open(path, identity=identity, map_bytes=map_bytes)


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


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


# --- stages of a flush ------------------------------------------------------------------------


def test_rows_read_the_same_at_every_stage_of_a_flush(store, monkeypatch):
    gate = Gate(store, monkeypatch)
    model = {b"k%d" % number: b"1" for number in range(20)}
    for key, value in model.items():
        store.put(key, value)
    store.end_entry(1)

    def check():
        expected = sorted(model.items())
        assert list(store.scan(*ALL)) == expected
        assert list(store.scan(*ALL, is_reversed=True)) == expected[::-1]
        assert [store.get(key) for key in (b"k0", b"k1", b"new")] == [
            model.get(key) for key in (b"k0", b"k1", b"new")
        ]
        with store.view() as view:
            assert list(view.scan(*ALL)) == expected

    store.request_flush()
    gate.wait_until_entered()
    check()  # handed over, nothing written
    del model[b"k0"]
    model |= {b"k1": b"2", b"new": b"2"}
    store.delete(b"k0")
    store.put(b"k1", b"2")
    store.put(b"new", b"2")
    store.end_entry(2)
    store.request_flush()  # absorbed
    check()
    gate.let_through()
    assert store.durable_index == 1
    check()  # durable, not taken over yet
    store.end_entry(3)
    check()  # taken over
    store.request_flush()
    gate.wait_until_entered()
    gate.let_through()
    assert store.durable_index == 3
    store.end_entry(4)
    check()


def test_a_view_and_a_scan_are_over_once_a_flush_is_taken_over(store, monkeypatch):
    gate = Gate(store, monkeypatch)
    for number in range(10):
        store.put(b"k%d" % number, b"1")
    store.end_entry(1)
    view, rows = store.view(), store.scan(*ALL)
    next(rows)
    store.request_flush()
    gate.wait_until_entered()
    assert view.get(b"k1") == b"1"  # a freeze alone changes nothing
    gate.let_through()
    assert view.get(b"k1") == b"1"
    store.end_entry(2)
    for read in (lambda: view.get(b"k1"), lambda: next(rows)):
        with pytest.raises(AssertionError):
            read()


def test_many_keys_are_sorted_in_runs_and_come_out_in_order(store):
    count = 5 * MEMTABLE_RUN_KEYS_MAX
    # Multiplying by an odd number permutes: no key twice, no order in which they come.
    places = [number * 40_503 % (1 << 16) for number in range(count)]
    expected = sorted(b"%c%05d" % (b"ab"[place % 2], place) for place in places)
    for index, place in enumerate(places, start=1):
        store.put(b"%c%05d" % (b"ab"[place % 2], place), b"")
        store.end_entry(index)
        if index == count // 2:
            store.request_flush()
    assert [key for key, _ in store.scan(*ALL)] == expected
    assert [key for key, _ in store.scan(*ALL, is_reversed=True)] == expected[::-1]
    store.flush()
    assert [key for key, _ in store.scan(*ALL)] == expected
    assert [key for key, _ in store.scan(b"b", b"c")] == [k for k in expected if k[:1] == b"b"]


def test_the_thread_is_made_for_the_first_flush_and_ends_with_the_store(tmp_path):
    def names():
        return [thread.name for thread in threading.enumerate()]

    store = open_store(tmp_path)
    store.put(b"a", b"1")
    store.end_entry(1)
    assert lmdb_flusher.THREAD_NAME not in names()
    store.flush()
    assert names().count(lmdb_flusher.THREAD_NAME) == 1
    store.close()
    assert lmdb_flusher.THREAD_NAME not in names()


def test_closing_in_the_middle_of_a_flush_leaves_one_index_or_the_other(tmp_path, monkeypatch):
    store = open_store(tmp_path)
    for index in (1, 2):
        for number in range(10_000):
            store.put(b"k%d" % number, b"%d" % index)
        store.end_entry(index)
        if index == 1:
            store.flush()
    store.request_flush()
    store.close()
    store = open_store(tmp_path)
    assert {value for _, value in store.scan(*ALL)} == {b"%d" % store.applied_index}
    store.close()


def test_a_digest_is_made_anew_after_a_flush_that_kept_none(tmp_path):
    def row_hash(key, value):
        return zlib.crc32(value, zlib.crc32(key))

    def open_hashed():
        return LmdbStore.open(tmp_path, identity=b"p1", map_bytes=MIB, row_hash=row_hash)

    def digest_at(store, index):
        store.end_entry(index)
        store.flush()
        return store.digests[-1]

    store = open_hashed()
    store.put(b"a", b"1")
    store.put(b"b", b"1")
    digest_at(store, 1024)
    store.close()
    store = open_store(tmp_path)  # a tool
    store.put(b"a", b"2")
    store.delete(b"b")
    store.end_entry(1025)
    store.flush()
    store.close()
    store = open_hashed()
    assert digest_at(store, 2048) == (2048, row_hash(b"a", b"2"))
    store.close()


# --- failures ---------------------------------------------------------------------------------


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
    assert store.durable_index == 1
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
    with pytest.raises(DiskFull):
        store.flush()
    assert store.is_disk_full
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


# --- refusals to open -------------------------------------------------------------------------


def filled(path, **options):
    store = open_store(path, **options)
    for number in range(2_000):
        store.put(b"k%04d" % number, bytes(100))
    store.end_entry(5)
    store.flush()
    store.close()
    return path / "data.mdb"


def refused(path, error, **options):
    with pytest.raises(error) as caught:
        open_store(path, **options)
    assert str(path) in caught.value.message
    assert caught.value.hints
    # Nothing is left open: the same refusal comes again, not "in use".
    with pytest.raises(error):
        open_store(path, **options)
    return caught.value


def test_another_identity_is_refused_with_both_names(tmp_path):
    filled(tmp_path, identity=b"prod/p1")
    error = refused(tmp_path, WrongIdentity, identity=b"prod/p2")
    assert (error.details["found"], error.details["expected"]) == ("prod/p1", "prod/p2")
    open_store(tmp_path, identity=b"prod/p1").close()


@pytest.mark.parametrize("damage", ["garbage", "cut short", "cut to one page", "other program"])
def test_a_damaged_file_is_refused_with_its_path_and_what_to_do(tmp_path, damage):
    file = filled(tmp_path)
    whole = file.read_bytes()
    if damage == "garbage":
        file.write_bytes(b"not a database " * 1000)
    elif damage == "cut short":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "cut to one page":
        file.write_bytes(whole[:4096])
    else:
        file.unlink()
        with lmdb.open(str(tmp_path)) as environment, environment.begin(write=True) as txn:
            txn.put(b"mine", b"1")
    refused(tmp_path, CorruptData)


def change_header(path, change):
    with lmdb.open(str(path), max_dbs=2, map_size=64 * MIB) as environment:
        meta = environment.open_db(b"meta")
        with environment.begin(write=True) as txn:
            row = change(txn.get(b"header", db=meta))
            if row is None:
                txn.delete(b"header", db=meta)
            else:
                txn.put(b"header", row, db=meta)


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row[:15] + bytes((row[15] ^ 1,)) + row[16:],
        lambda row: row[:-1],
        lambda row: row[:5],
        lambda row: None,
    ],
)
def test_a_damaged_header_is_refused(tmp_path, change):
    filled(tmp_path)
    change_header(tmp_path, change)
    refused(tmp_path, CorruptData)


def test_a_newer_format_is_refused_with_both_numbers(tmp_path):
    def newer(row):
        body = row[:8] + (2).to_bytes(2, "big") + b"a layout that nobody knows yet"
        return body + zlib.crc32(body).to_bytes(4, "big")

    filled(tmp_path)
    change_header(tmp_path, newer)
    error = refused(tmp_path, UnsupportedFormat)
    assert (error.details["found"], error.details["supported"]) == (2, 1)


def test_a_bound_beyond_the_address_space_is_refused(tmp_path):
    refused(tmp_path, StartRefused, map_bytes=1 << 50)


def test_a_path_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "state"
    path.write_text("a file")
    refused(path, StartRefused)


# --- the lock ---------------------------------------------------------------------------------

HOLDER = """
import sys, pathlib
from replicante.storage.dir_lock import DirLock
lock = DirLock.acquire(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_two_processes_cannot_share_a_directory_and_the_holder_is_named(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        error = refused(tmp_path, DataDirInUse)
        assert error.details["pid"] == holder.pid
        assert str(holder.pid) in error.message
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=20)
    open_store(tmp_path).close()


def test_one_process_cannot_open_a_directory_twice(tmp_path):
    store = open_store(tmp_path)
    assert refused(tmp_path, DataDirInUse).details["pid"] == os.getpid()
    store.close()
    open_store(tmp_path).close()


def test_a_released_lock_can_be_taken_and_its_file_stays(tmp_path):
    lock = DirLock.acquire(tmp_path / "new" / "deep")
    lock.release()
    lock.release()
    assert (tmp_path / "new" / "deep" / LOCK_NAME).exists()
    DirLock.acquire(tmp_path / "new" / "deep").release()
