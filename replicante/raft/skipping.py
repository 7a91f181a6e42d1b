"""Makes an entry that no peer can apply a no-op, in the logs of all of them (ADR 0039). IO;
offline. What may be skipped, and what is written, is decided in `skip_rules`.

Rule: all directories are locked before the first one is read, so no peer runs meanwhile.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from replicante.dir_lock import DirLock
from replicante.errors import Conflict, NotFound
from replicante.limits import LOG_MAP_BYTES_DEFAULT
from replicante.raft.forcing import OpenCopy
from replicante.raft.inspecting import StateIndex
from replicante.raft.log_store import LmdbLog
from replicante.raft.restoring import FOLDER as RESTORE
from replicante.raft.skip_rules import SkipReport, Stopped, first_broken_of, look_at, skip_in


def skip_entry(
    folders: Sequence[Path],
    index: int,
    *,
    reason: str,
    state_index: StateIndex,
    open_copy: OpenCopy,
    scratch: Path | None = None,
) -> SkipReport:
    """In the order of `folders`, which are directories of stopped peers of one cluster.

    reason: the same wherever the entry is skipped, because it becomes part of the history.
    scratch: where a copy of one state is made; None: the system's folder for temporary files.
    Raises Conflict, having changed nothing, when the entry may not be skipped: a peer has
    applied it, or could; NotFound for what is no directory of this cluster, DataDirInUse,
    CorruptData, DiskFull, OSError.
    """
    with contextlib.ExitStack() as stack:
        stopped = [_open(folder, index, state_index, stack) for folder in folders]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch)))

        def first_broken(it: Stopped) -> int | None:
            copy = Path(tempfile.mkdtemp(dir=folder))
            with open_copy(Path(it.folder), it.header, copy) as machine:
                return first_broken_of(it.log.verified(), machine)

        return skip_in(stopped, index, reason=reason, first_broken=first_broken)


def _open(
    folder: Path, index: int, state_index: StateIndex, stack: contextlib.ExitStack
) -> Stopped:
    if not (folder / "log" / "data.mdb").is_file():
        raise NotFound(f"{folder} holds no log of a peer")
    stack.callback(DirLock.acquire(folder).release)
    log = LmdbLog(folder / "log", map_bytes=LOG_MAP_BYTES_DEFAULT)
    stack.callback(log.close)
    header, loaded = log.header(), log.load()
    if header is None or not header.cluster_id or loaded is None:
        raise NotFound(f"the peer of {folder} never was part of a cluster")
    if (folder / RESTORE).exists() or log.marker() is not None:
        raise Conflict(
            f"the peer of {folder} ended while it took a copy of the state",
            hints=("start it once, alone, and stop it: it finishes that", "then skip the entry"),
        )
    state = state_index(folder) or 0
    return look_at(str(folder), header, log, loaded, index=index, state=state)
