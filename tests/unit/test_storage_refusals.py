"""Data directories that the LMDB store refuses, each with its path and what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zlib

import lmdb
import pytest
from storage_builders import open_store

from replicante.dir_lock import LOCK_NAME, DirLock
from replicante.errors import (
    CorruptData,
    DataDirInUse,
    StartRefused,
    UnsupportedFormat,
    WrongIdentity,
)
from replicante.limits import MIB


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


@pytest.mark.parametrize("version", [0, 2])
def test_a_file_of_another_version_of_lmdb_is_not_called_damaged(tmp_path, version):
    filled(tmp_path)
    (data,) = tmp_path.rglob("data.mdb")
    content = bytearray(data.read_bytes())
    for page in (0, 4096):
        content[page + 20] = version  # in both of LMDB's meta pages
    data.write_bytes(content)
    refused(tmp_path, UnsupportedFormat)


def test_a_bound_beyond_the_address_space_is_refused(tmp_path):
    refused(tmp_path, StartRefused, map_bytes=1 << 50)


def test_a_path_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "state"
    path.write_text("a file")
    refused(path, StartRefused)


# --- the lock ---------------------------------------------------------------------------------

HOLDER = """
import sys, pathlib
from replicante.dir_lock import DirLock
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
