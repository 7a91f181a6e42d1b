"""Room that is kept for the writes which must not fail on a full disk (ADR 0020). IO; owned by
log_store.

A term and a trim are small, but LMDB writes them onto fresh pages. So a preallocated file lies
beside the log; it is given up when such a write finds no room, and made again when there is much.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

FILE = "reserve"


class DiskReserve:
    def __init__(self, folder: Path, *, size_bytes: int) -> None:
        """size_bytes: 0 for none."""
        self._path = folder / FILE
        self._size_bytes = size_bytes
        self._is_there = self._is_whole()

    def make(self) -> None:
        """Does nothing when it is there, or when it would take more than half of the room that is
        left: a disk that is nearly full has better use for it."""
        if self._is_there or not self._size_bytes:
            return
        room = os.statvfs(self._path.parent)
        if room.f_bavail * room.f_frsize < 2 * self._size_bytes:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size_bytes)
            finally:
                os.close(descriptor)
        except OSError:  # a quota, most likely: nothing may hang on the reserve
            self.release()
        else:
            self._is_there = True

    def release(self) -> None:
        """Its room belongs to whoever writes next."""
        self._is_there = False
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _is_whole(self) -> bool:
        """A file that a crash left half made counts for nothing."""
        with contextlib.suppress(FileNotFoundError):
            return self._path.stat().st_blocks * 512 >= self._size_bytes > 0
        return False
