"""Files of snapshots in a data directory: one on its way out, one on its way in, and the shelf of a
machine in memory. IO; used by snapshots and in_memory.

What is half written never counts: the incoming file is named by nobody until its digest is right
(its parts: snapshot_parts), the shelf's file takes its name when it is durable.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from replicante import limits
from replicante.disk_room import is_for_want_of_room
from replicante.errors import DiskFull
from replicante.raft.lmdb_file import disk_failures_told, sync_directories, sync_upwards
from replicante.raft.snapshot_digest import new_digest
from replicante.raft.snapshot_parts import IncomingCopy

FOLDER = "snapshots"
_READ_BYTES = 1 << 20


def measure(path: Path) -> tuple[int, bytes]:
    """(size, digest) of a file. Raises OSError."""
    digest, size = new_digest(), 0
    with path.open("rb") as stream:
        while piece := stream.read(_READ_BYTES):
            digest.update(piece)
            size += len(piece)
    return size, digest.digest()


def _folder_in(data_dir: Path) -> Path:
    """It may be that an earlier process made it, and had no time to make its name durable."""
    folder = data_dir / FOLDER
    with disk_failures_told(data_dir):
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_upwards(data_dir)
    return folder


class FolderFiles:
    """Fits `snapshots.SnapshotFiles`."""

    def __init__(self, data_dir: Path, *, wake: Callable[[], None]) -> None:
        """An outgoing file of an earlier process is removed; of an incoming one it is looked for
        what can be used. wake: called on a thread when the incoming file got further."""
        self._folder = _folder_in(data_dir)
        self.outgoing = self._folder / "outgoing"
        self._reader: int | None = None
        self.discard()
        self._incoming = IncomingCopy(self._folder, wake=wake)
        self.begin, self.append = self._incoming.begin, self._incoming.append
        self.drop, self.close = self._incoming.drop, self._incoming.close

    def measure(self) -> tuple[int, bytes]:
        """(size, digest) of the outgoing file. On a thread: reads all of it."""
        return measure(self.outgoing)

    def read(self, offset: int, count: int) -> bytes:
        if self._reader is None:
            self._reader = os.open(self.outgoing, os.O_RDONLY | os.O_CLOEXEC)
        # What is asked for next is on its way into memory when it is: the loop waits for no disk.
        ahead_bytes = limits.SNAPSHOT_WINDOW_BYTES
        os.posix_fadvise(self._reader, offset + count, ahead_bytes, os.POSIX_FADV_WILLNEED)
        data = os.pread(self._reader, count, offset)
        if not data:
            raise OSError(errno.EIO, "the file ends too early", str(self.outgoing))
        return data

    def discard(self) -> None:
        """The outgoing file is not needed any more."""
        reader, self._reader = self._reader, None
        if reader is not None:
            os.close(reader)
        self.outgoing.unlink(missing_ok=True)

    @property
    def is_looking(self) -> bool:
        return self._incoming.is_looking

    @property
    def found_index(self) -> int | None:
        return self._incoming.found_index

    @property
    def unsynced_bytes(self) -> int:
        return self._incoming.unsynced_bytes

    def finish(self) -> Path:
        """The incoming file is complete and durable; where it is."""
        assert self._incoming.unsynced_bytes == 0
        return self._incoming.path


class ThreadedSaving:
    """Fits `in_memory.Saving`."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.failure: BaseException | None = None
        self.is_over = False
        self._work = work
        self._thread = threading.Thread(target=self._run, name="raft-snapshot", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - told to the loop by the machine
            self.failure = error
        self.is_over = True


class FolderShelf:
    """Fits `in_memory.Shelf`."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = _folder_in(data_dir)
        self._path = self._folder / "state"

    def load(self) -> bytes | None:
        with contextlib.suppress(FileNotFoundError):
            return self._path.read_bytes()
        return None

    def save(self, encode: Callable[[], bytes]) -> ThreadedSaving:
        return ThreadedSaving(lambda: self._replace(encode()))

    def _replace(self, snapshot: bytes) -> None:
        fresh = self._path.with_suffix(".new")
        self.write(fresh, snapshot)
        fresh.replace(self._path)
        sync_directories(self._folder)

    def adopt(self, path: Path) -> None:
        with self._saying_no_room(path):
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
            try:
                path.replace(self._path)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._replace(path.read_bytes())
                path.unlink()
        sync_directories(self._folder)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def write(self, path: Path, snapshot: bytes) -> None:
        with self._saying_no_room(path), path.open("wb") as stream:
            stream.write(snapshot)
            stream.flush()
            os.fsync(stream.fileno())

    @contextlib.contextmanager
    def _saying_no_room(self, path: Path) -> Iterator[None]:
        """An error for want of room is a DiskFull, after which it may be tried again."""
        try:
            yield
        except OSError as error:
            if not is_for_want_of_room(self._folder, error.errno or 0):
                raise
            raise DiskFull(
                f"no room for a snapshot in {path.parent}: {error}",
                hints=("make room on this disk; it is made again by itself",),
            ) from error
