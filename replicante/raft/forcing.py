"""A survivor's data directory as the beginning of the next generation (ADR 0038). IO; offline.

Its state lies behind its log, so a copy of the state is brought to the log's end first. That copy
is a backup like any other, and `restoring` makes directories of it.

Rules: the survivor's directory is only read, so whatever happens it is there as it was; what is
made takes its name last. Entries of its log that were never committed become history: nobody
who could say otherwise is left.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from replicante.clock import Clock
from replicante.dir_lock import DirLock
from replicante.entropy import Entropy
from replicante.errors import CorruptData, InvalidConfig
from replicante.limits import LOG_MAP_BYTES_DEFAULT
from replicante.raft.backup import begin_backup, describe, end_backup
from replicante.raft.generations import How, Recovery, end_of, replay
from replicante.raft.in_memory import InMemoryMachine
from replicante.raft.log_loading import LoadedLog
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.restoring import FOLDER as RESTORE
from replicante.raft.restoring import prepare_directories
from replicante.raft.snapshot_files import FOLDER as SHELF
from replicante.raft.snapshot_files import FolderShelf, measure
from replicante.raft.state_machine import DurableStateMachine, StateMachine

OpenCopy = Callable[[Path, LogHeader, Path], AbstractContextManager[DurableStateMachine]]
"""(data directory, whose it is, an empty folder) → a machine on a copy of the state, made in the
folder. What it raises is told: CorruptData, DiskFull, OSError."""


def force_directories(
    survivor: Path,
    out: Path,
    *,
    members: Mapping[str, str],
    reason: str,
    open_copy: OpenCopy,
    clock: Clock,
    entropy: Entropy,
) -> list[Path]:
    """As `prepare_directories`, from the data directory of a stopped peer instead of a backup.

    members: peer id → address, the survivor's own among them. reason: told by an event.
    Raises InvalidConfig, DataDirInUse, CorruptData, FatalError with the entry that cannot be
    applied, UnsupportedFormat, DiskFull, OSError.
    """
    if not (survivor / "log" / "data.mdb").is_file():
        raise InvalidConfig(f"{survivor} holds no log of a peer")
    scratch = out.parent / f".{out.name}.state"
    with contextlib.ExitStack() as stack:
        stack.callback(DirLock.acquire(survivor).release)
        log = LmdbLog(survivor / "log", map_bytes=LOG_MAP_BYTES_DEFAULT)
        stack.callback(log.close)
        header, loaded = _read(survivor, log)
        if header.peer_id not in members:
            raise InvalidConfig(
                f"{survivor} is the directory of {header.peer_id}, which is no member of the new"
                " cluster",
                hints=(f"name it too: {header.peer_id}=HOST:PORT",),
            )
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700, parents=True)
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        backup = scratch / "backup"
        state = begin_backup(backup)
        (scratch / "copy").mkdir()
        with open_copy(survivor, header, scratch / "copy") as machine:
            replay(log.verified(), loaded, machine, whose=str(survivor))
            machine.export(state)
        manifest = describe(header, end_of(loaded), measure(state), wall_ms=clock.wall_ms())
        end_backup(backup, manifest)
        return prepare_directories(
            backup,
            out,
            members=members,
            clock=clock,
            entropy=entropy,
            recovery=Recovery(how=How.FORCED, reason=reason),
        )


def copy_in_memory(make: Callable[[], StateMachine]) -> OpenCopy:
    """For machines in memory: a new one takes the last snapshot and then the log."""

    @contextlib.contextmanager
    def opened(data_dir: Path, header: LogHeader, folder: Path) -> Iterator[DurableStateMachine]:
        del header
        if (data_dir / SHELF / "state").is_file():
            (folder / SHELF).mkdir()
            shutil.copyfile(data_dir / SHELF / "state", folder / SHELF / "state")
        copy = InMemoryMachine(make(), FolderShelf(folder))
        try:
            yield copy
        finally:
            copy.close()

    return opened


def _read(survivor: Path, log: LmdbLog) -> tuple[LogHeader, LoadedLog]:
    header = log.header()
    if header is None or not header.cluster_id:
        raise InvalidConfig(f"the peer of {survivor} never was part of a cluster")
    if (survivor / RESTORE).exists() or log.marker() is not None:
        raise InvalidConfig(
            f"the peer of {survivor} ended while it took a copy of the state",
            hints=("start it once, alone, and stop it: it finishes that", "then force it"),
        )
    loaded = log.load()
    if loaded is None:
        raise CorruptData(f"the log in {survivor} has no entry")
    return header, loaded
