"""A state as one file: written by the peer that has it, put into the place of another's (ADR 0019).
IO; called by lmdb_store.

The copy is compact: pages that were freed do not travel. It is trusted by its digest, which whoever
brought it has checked; here it is only asked whose format and index it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from replicante.disk_room import is_for_want_of_room
from replicante.errors import CorruptData, DiskFull, FatalError
from replicante.limits import MIB
from replicante.lmdb_commits import find_commit_damage
from replicante.storage.lmdb_environment import (
    FORMAT,
    HEADER_KEY,
    Header,
    LmdbEnvironment,
    decode_header,
)

DATA_FILE = "data.mdb"
_SPARE_BYTES = 16 * MIB
"""Of address space, for the pages that a new header takes."""
_SLICE_BYTES = 8 * MIB
_PIPE_BYTES = 1 * MIB
"""What a pipe may have anywhere. With its usual 64 KiB the loop's thread is interrupted for each
of them, which made a copy take half as long again."""


def export_copy(environment: LmdbEnvironment, path: Path) -> int:
    """Writes what is durable into the new file `path`; the index that it is as of. On any thread.

    LMDB writes into a pipe, and what comes out is made durable in slices: a commit of the log on
    the same disk waits for one slice, where it would wait for the whole copy else.
    Raises DiskFull, CorruptData, OSError.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # all pipes of this user together have a bound
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    copying = _Copying(environment, writing)
    try:
        with path.open("xb") as stream:
            _write_slices(reading, stream.fileno())
    except OSError as error:
        if is_for_want_of_room(path.parent, error.errno or 0):
            raise DiskFull(f"no room for a copy of the state in {path.parent}") from error
        raise
    finally:
        os.close(reading)  # a copy that is still under way ends by it
        copying.join()
    cause = copying.failure
    if not copying.is_whole:
        raise CorruptData(f"the state in {environment.path} cannot be copied: {cause}") from cause
    return _header_of(path).applied_index


class _Copying(threading.Thread):
    """LMDB writing a copy into a pipe, whose end it closes."""

    def __init__(self, environment: LmdbEnvironment, descriptor: int) -> None:
        super().__init__(name="state-copy", daemon=True)
        self.failure: lmdb.Error | None = None
        self.is_whole = False
        self._environment = environment
        self._descriptor = descriptor
        self.start()

    def run(self) -> None:
        try:
            self._environment.copy_to(self._descriptor)
            self.is_whole = True
        except lmdb.Error as error:  # told to the one who reads
            self.failure = error
        finally:
            os.close(self._descriptor)


def _write_slices(source: int, target: int) -> None:
    """Until the pipe ends."""
    unsynced_bytes = 0
    while data := os.read(source, _PIPE_BYTES):
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]
        unsynced_bytes += len(data)
        if unsynced_bytes >= _SLICE_BYTES:
            os.fdatasync(target)
            unsynced_bytes = 0
    os.fsync(target)


def prepare_copy(path: Path, *, identity: bytes, index: int) -> None:
    """Makes the copy this peer's own, durably; it is nobody's state yet.

    Raises CorruptData; DiskFull, after which it may be tried again; FatalError."""
    header = _header_of(path)
    if header.applied_index != index:
        raise CorruptData(f"{path} is a state as of {header.applied_index}, not of {index}")
    own = Header(identity=identity, applied_index=index)
    with _opened(path, is_readonly=False) as (environment, meta):
        try:
            with environment.begin(write=True) as txn:
                txn.put(HEADER_KEY, own.encode(), db=meta)
            environment.sync(True)
        except lmdb.Error as error:
            if is_for_want_of_room(path.parent, error.code):
                raise DiskFull(f"no room to take over the state in {path}: {error}") from error
            raise FatalError(f"{path} cannot be written: {error}") from error
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place_copy(path: Path, directory: Path) -> None:
    """Renames the prepared copy over the state in `directory`, which nobody has open. Before the
    rename the old state is there, after it the new one."""
    path.replace(directory / DATA_FILE)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def index_of_state(path: Path) -> int:
    """What the state in this file is as of; no process has it open. Raises CorruptData."""
    return _header_of(path).applied_index


def _header_of(path: Path) -> Header:
    with _opened(path, is_readonly=True) as (environment, meta), environment.begin() as txn:
        header, version = decode_header(txn.get(HEADER_KEY, db=meta))
    if header is None:
        raise CorruptData(f"{path} is no state of format {FORMAT} (found {version})")
    return header


@contextmanager
def _opened(path: Path, *, is_readonly: bool) -> Iterator[tuple[lmdb.Environment, lmdb._Database]]:
    """Raises CorruptData for whatever LMDB does not take, or would take for an older commit."""
    damage = find_commit_damage(path)
    if damage is not None:
        raise CorruptData(f"{path} is damaged: {damage}")
    try:
        environment = lmdb.open(
            str(path),
            map_size=path.stat().st_size + _SPARE_BYTES,
            max_dbs=2,
            subdir=False,
            readonly=is_readonly,
            lock=False,
            readahead=False,
        )
        try:
            yield environment, environment.open_db(b"meta", create=False)
        finally:
            environment.close()
    except lmdb.Error as error:
        raise CorruptData(f"{path} is no state: {error}") from error
