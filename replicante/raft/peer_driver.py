"""Puts a peer's machine and driver together from what its data directory holds. Touches the log.

Called by peer, once in a process. Rule: state and log must fit each other; what lies between them
must be in the log, or nothing is started.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from replicante.entropy import Entropy
from replicante.errors import CorruptData, PeerRemoved, StartRefused
from replicante.raft.data_dir import count_boot
from replicante.raft.driver import Driver
from replicante.raft.host import MachineHost
from replicante.raft.in_memory import InMemoryMachine
from replicante.raft.inputs import Identity
from replicante.raft.installations import finish_installation
from replicante.raft.log import Log
from replicante.raft.log_loading import LoadedLog
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.patience import REMOVED_HINTS
from replicante.raft.quarantine_file import read_quarantine
from replicante.raft.restoring import finish_restoring
from replicante.raft.settings import PeerSettings
from replicante.raft.snapshot_files import FolderShelf
from replicante.raft.state_machine import DurableStateMachine, StateMachine

MachineFactory = Callable[[str], DurableStateMachine]
"""incarnation → machine: a machine on disk checks that its files belong to this data directory."""
Machine = StateMachine | DurableStateMachine | MachineFactory
"""What a peer may be given."""
_DURABLE = sorted(name for name in vars(DurableStateMachine) if not name.startswith("_"))


def open_machine(given: Machine, incarnation: str, *, data_dir: Path) -> DurableStateMachine:
    """Raises StartRefused for what is none of them: apply would fail on every peer, at the first
    command that was committed."""
    # A class has all that its instances have; as a factory it is called.
    if not isinstance(given, type):
        if isinstance(given, DurableStateMachine):
            return given
        if isinstance(given, StateMachine):
            return InMemoryMachine(given, FolderShelf(data_dir))
    if callable(given):
        return given(incarnation)
    raise StartRefused(
        f"{type(given).__name__} is no state machine",
        hints=(
            "one in memory has apply, snapshot and restore",
            f"one on disk has what this one lacks: {', '.join(_lacking(given))}",
        ),
    )


def _lacking(given: object) -> list[str]:
    return [name for name in _DURABLE if not hasattr(given, name)]


def open_driver(
    settings: PeerSettings,
    header: LogHeader,
    store: LmdbLog,
    machine: DurableStateMachine,
    *,
    entropy: Entropy,
    now_ms: int,
) -> Driver:
    """Counts this start of the directory, durably. Raises CorruptData, DiskFull."""
    finish_installation(store, machine)
    loaded = store.load()
    if loaded is None:
        raise CorruptData(f"{settings.data_dir}/log names a cluster and has no entries")
    finish_restoring(settings.data_dir, loaded, machine)
    _check_fit(settings, loaded, machine)
    hard = count_boot(store, loaded)
    log = Log(store, loaded)
    return Driver(
        identity=Identity(
            peer_id=header.peer_id,
            key=f"{header.peer_id}/{header.incarnation}",
            incarnation=header.incarnation,
            boot=hard.boot,
        ),
        log=log,
        host=MachineHost(machine),
        entropy=entropy,
        now_ms=now_ms,
        heartbeat_ms=settings.heartbeat_ms,
        election_ms_min=settings.election_ms_min,
        election_ms_max=settings.election_ms_max,
        log_kept_bytes=settings.log_kept_bytes,
        quarantine=read_quarantine(settings.data_dir),
    )


def check_membership(driver: Driver) -> None:
    """After each step. Raises PeerRemoved once a committed entry has removed this peer: nobody
    counts it, so it ends before somebody relies on it."""
    engine = driver.engine
    if engine.is_removed:
        raise PeerRemoved(
            f"{driver.identity.peer_id} was removed from this cluster by entry"
            f" {engine.configuration_index}",
            hints=REMOVED_HINTS,
            index=engine.configuration_index,
        )


def _check_fit(settings: PeerSettings, loaded: LoadedLog, machine: DurableStateMachine) -> None:
    applied_index, last_index = machine.applied_index, loaded.last.index
    if applied_index > last_index:
        raise CorruptData(
            f"the state in {settings.data_dir} is at entry {applied_index}, its log ends at"
            f" {last_index}: the log was replaced or cut",
            hints=("put the log back, or let this peer join again with an empty directory",),
        )
    if applied_index < loaded.first_index - 1:
        raise CorruptData(
            f"the state in {settings.data_dir} is at entry {applied_index}, its log begins at"
            f" {loaded.first_index}: the state was replaced or removed",
            hints=("put the state back, or let this peer join again with an empty directory",),
        )
