"""One process a directory: an advisory lock that the kernel drops with the process. A
leaf with IO; taken by raft.peer on the data directory and by lmdb_store on its own.

The file stays when the lock goes; who holds it is told by the kernel, never by the file. The pid
in it is for the message.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from replicante.errors import DataDirInUse, StartRefused

LOCK_NAME = "LOCK"


class DirLock:
    """Held from `acquire` to `release` or to the end of the process, however it ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path) -> DirLock:
        """Creates the directory when it is missing.

        Raises DataDirInUse with the pid of the holder, StartRefused when the directory cannot
        be used.
        """
        lock_path = path / LOCK_NAME
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StartRefused(
                f"The data directory {path} cannot be used: {exc.strerror}.",
                hints=("Give a directory that this user may write.",),
                path=str(path),
            ) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise DataDirInUse(
                f"The data directory {path} is used by process {holder or 'unknown'}.",
                hints=("Stop that process, or give this one another data directory.",),
                path=str(path),
                pid=int(holder) if holder.isdigit() else None,
            ) from exc
        with contextlib.suppress(OSError):  # a full disk: the pid is only for the message
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return cls(path, descriptor)

    def release(self) -> None:
        """A second release does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
