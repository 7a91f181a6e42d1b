"""Whether a write failed for want of room, which may be waited out, or for another reason.

A leaf with IO; called by raft.log_store and storage.lmdb_environment, and by who starts a peer.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from replicante.errors import DiskFull
from replicante.limits import DISK_ROOM_BYTES_MIN

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_PROBE_BYTES = 1024 * 1024


def no_room_to_start(folder: Path, error: OSError) -> DiskFull:
    return DiskFull(
        f"There is no room to start in {folder}: {error.strerror}.",
        hints=("Make room on this disk, then start this peer again.",),
    )


def is_for_want_of_room(path: Path, code: int) -> bool:
    """code: the errno that LMDB gave for a failed commit in the directory `path`.

    LMDB reports a write that was cut short as EIO, and on a full disk the same write is cut short
    each time. So EIO with hardly any room left counts as a full disk. That cannot hide a failed
    fsync: the aborted transaction is written again in full, onto pages that no committed state
    uses (ADR 0002).
    """
    if code in NO_ROOM:
        return True
    if code != errno.EIO:
        return False
    try:
        room = os.statvfs(path)
        if room.f_bavail * room.f_frsize < DISK_ROOM_BYTES_MIN:
            return True
        # A quota does not show in the numbers of the file system.
        descriptor = os.open(path, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, _PROBE_BYTES)
        finally:
            os.close(descriptor)
    except OSError as exc:
        return exc.errno in NO_ROOM
    return False
