"""New data directories for a whole cluster: it goes on in the next generation, from a backup or
from a survivor (ADR 0060, ADR 0038). IO; what they hold is decided in `generations`.

`prepare_directories` is called offline; `finish_restoring` by peer_driver at each start.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from replicante import limits
from replicante.clock import Clock
from replicante.entropy import Entropy
from replicante.errors import InvalidConfig
from replicante.raft.backup import MANIFEST, Manifest, check_state, end_backup, read_manifest
from replicante.raft.generations import RESTORED, FirstLog, Recovery, begin_logs, take_step
from replicante.raft.lmdb_file import copy_durably, sync_directories
from replicante.raft.log_loading import LoadedLog
from replicante.raft.log_store import LmdbLog
from replicante.raft.records import encode_record
from replicante.raft.state_machine import DurableStateMachine

FOLDER = "restore"
"""In a data directory: the backup, until the state machine has taken it."""


def prepare_directories(
    backup: Path,
    out: Path,
    *,
    members: Mapping[str, str],
    clock: Clock,
    entropy: Entropy,
    recovery: Recovery = RESTORED,
) -> list[Path]:
    """One data directory a member below `out`, which takes its name last: it holds all of them,
    complete, or does not exist. Each is to be moved to its machine before anything starts.

    members: peer id → address, the voters of the new generation. Raises InvalidConfig, CorruptData,
    UnsupportedFormat, DiskFull, OSError.
    """
    manifest = read_manifest(backup)
    state = check_state(backup, manifest)
    logs = begin_logs(
        manifest, members, recovery=recovery, entropy=entropy, wall_ms=clock.wall_ms()
    )
    if out.exists():
        raise InvalidConfig(f"{out} exists already", hints=("name another folder",))
    unfinished = out.parent / f".{out.name}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700, parents=True)
    for first in logs:
        folder = unfinished / first.header.peer_id
        folder.mkdir(mode=0o700)
        _write_log(folder, first)
        (folder / FOLDER).mkdir()
        copy_durably(state, folder / FOLDER / state.name)
        end_backup(folder / FOLDER, manifest)
    sync_directories(unfinished)
    unfinished.rename(out)
    sync_directories(out.parent)
    return [out / first.header.peer_id for first in logs]


def finish_restoring(data_dir: Path, loaded: LoadedLog, machine: DurableStateMachine) -> None:
    """All that is left of a first start. Raises CorruptData, DiskFull."""
    shelf = FolderBackup(data_dir)
    while take_step(shelf, loaded, machine):
        pass


class FolderBackup:
    """Fits `generations.Shelf`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._folder = data_dir / FOLDER

    def manifest(self) -> Manifest | None:
        return read_manifest(self._folder) if (self._folder / MANIFEST).exists() else None

    def copy(self, manifest: Manifest) -> Path:
        taken = self._folder / "taken"
        shutil.copyfile(check_state(self._folder, manifest), taken)
        return taken

    def drop(self) -> None:
        shutil.rmtree(self._folder)
        sync_directories(self._data_dir)


def _write_log(data_dir: Path, first: FirstLog) -> None:
    store = LmdbLog(data_dir / "log", map_bytes=limits.LOG_MAP_BYTES_DEFAULT)
    try:
        record = first.record
        store.write_header(first.header, records=((record.index, encode_record(record)),))
        store.write(first.writes)
    finally:
        store.close()
