"""Reads what a data directory holds, while its peer does not run. IO; called by `recover`.

Rules: nothing in the directory is changed; its lock is taken, so a running peer refuses. What is
broken is told, and everything that can still be read with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from replicante.dir_lock import DirLock
from replicante.errors import CorruptData, NotFound
from replicante.limits import LOG_MAP_BYTES_DEFAULT
from replicante.raft.backup import MANIFEST, read_manifest
from replicante.raft.in_memory import decode_snapshot
from replicante.raft.log import Base, HardState
from replicante.raft.log_loading import LoadedLog, load_records
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.membership import Configuration, Member, read_configuration
from replicante.raft.records import Record
from replicante.raft.restoring import FOLDER as RESTORE
from replicante.raft.snapshot_files import FolderShelf
from replicante.raft.survivors import Standing, Survivor

StateIndex = Callable[[Path], int | None]
"""Data directory → the entry that the state in it is as of; None: it has none. Raises
CorruptData."""


class StoppedLog(Protocol):
    """A log that no process writes. All but the last two raise CorruptData."""

    def hard_state(self) -> HardState: ...

    def base(self) -> Base | None: ...

    def load(self) -> LoadedLog | None: ...

    def verified(self) -> Iterator[Record]:
        """Its entries in order; ends with CorruptData where they break."""
        ...

    def marker(self) -> Base | None: ...

    def holds(self, base: Base) -> bool: ...


@dataclass(frozen=True, slots=True)
class FoundState:
    """What lies beside a log. The fields are those of `Survivor`."""

    index: int | None
    unfinished: str = ""
    fault: str = ""


def inspect_directories(folders: Iterable[Path], state_index: StateIndex) -> list[Survivor]:
    """In the order of `folders`, all of one cluster.

    Raises NotFound for what is no directory of a peer, or of none that was ever part of a cluster,
    DataDirInUse, CorruptData when not even its header can be read, UnsupportedFormat.
    """
    found = [_inspect(folder, state_index) for folder in folders]
    foreign = next((it for it in found if it.cluster_id != found[0].cluster_id), None)
    if foreign is not None:
        raise NotFound(
            f"{found[0].folder} and {foreign.folder} are of different clusters: {_named(found[0])}"
            f" and {_named(foreign)}",
            hints=("inspect the directories of one cluster together",),
        )
    return found


def state_on_shelf(data_dir: Path) -> int | None:
    """A `StateIndex` for machines in memory."""
    if not (data_dir / "snapshots").is_dir():
        return None
    stored = FolderShelf(data_dir).load()
    return None if stored is None else decode_snapshot(stored)[0]


def _named(survivor: Survivor) -> str:
    return f"{survivor.cluster_name} ({survivor.cluster_id})"


def _inspect(folder: Path, state_index: StateIndex) -> Survivor:
    if not (folder / "log" / "data.mdb").is_file():
        raise NotFound(f"{folder} holds no log of a peer")
    with ExitStack() as stack:
        stack.callback(DirLock.acquire(folder).release)
        log = LmdbLog(folder / "log", map_bytes=LOG_MAP_BYTES_DEFAULT)
        stack.callback(log.close)
        header = log.header()
        if header is None or not header.cluster_id:
            raise NotFound(f"the peer of {folder} never was part of a cluster")
        return survivor_of(str(folder), header, log, _read_state(folder, log, state_index))


def survivor_of(folder: str, header: LogHeader, log: StoppedLog, found: FoundState) -> Survivor:
    """What one data directory holds. Pure: `folder` is a name."""
    hard, base, loaded, log_fault = _read_log(log)
    state = found.index
    if not log_fault:
        loaded = _as_started(log, hard, loaded, state)
    committed_index = max(state or 0, 0 if base is None else base.index)
    configurations = [] if loaded is None else loaded.configurations
    possible = _possible(configurations, committed_index)
    newest = possible[-1] if possible else Configuration(())
    last = None if loaded is None else loaded.last
    electors, term_index = ((), 0) if loaded is None else _newest_term(loaded)
    return Survivor(
        folder=folder,
        cluster_name=header.cluster_name,
        cluster_id=header.cluster_id,
        peer_id=header.peer_id,
        incarnation=header.incarnation,
        generation=header.generation,
        term=hard.term,
        voted_for=hard.voted_for,
        boot=hard.boot,
        standing=_standing(newest, f"{header.peer_id}/{header.incarnation}"),
        configuration_index=configurations[-1][0] if configurations else 0,
        voters=newest.voters,
        learners=newest.learners,
        first_index=0 if loaded is None else loaded.first_index,
        last_index=0 if last is None else last.index,
        last_term=0 if last is None else last.term,
        chain="" if last is None else last.chain.hex(),
        committed_index=committed_index,
        state_index=state,
        unfinished=found.unfinished,
        log_fault=log_fault,
        state_fault=found.fault or _misfit(loaded, state, found.unfinished),
        configurations=possible,
        electors=electors,
        term_index=term_index,
        term_runs=() if loaded is None else tuple(loaded.term_runs),
    )


def _read_log(log: StoppedLog) -> tuple[HardState, Base | None, LoadedLog | None, str]:
    """The last one: what is broken; then the entries are those before it."""
    hard, base = HardState(), None
    try:
        hard, base = log.hard_state(), log.base()
        loaded = log.load()
        return hard, base, loaded, "" if loaded is not None else "it has no entry"
    except CorruptData as error:
        sound = load_records(_until_broken(log), hard=hard, base=base)
        return hard, base, sound, error.message


def _until_broken(log: StoppedLog) -> Iterator[Record]:
    try:
        yield from log.verified()
    except CorruptData:
        return


def _read_state(folder: Path, log: LmdbLog, state_index: StateIndex) -> FoundState:
    try:
        if (folder / RESTORE / MANIFEST).exists():
            index = read_manifest(folder / RESTORE).index
            return FoundState(index, unfinished="it has not taken its backup yet")
        unfinished = "" if log.marker() is None else "a snapshot was being installed"
        return FoundState(state_index(folder), unfinished=unfinished)
    except CorruptData as error:
        return FoundState(None, fault=error.message)


def _as_started(
    log: StoppedLog, hard: HardState, loaded: LoadedLog | None, state: int | None
) -> LoadedLog | None:
    """Where the state jumped and the log did not yet, the next start has the log begin anew."""
    marker = log.marker()
    if marker is None or marker.index != state or log.holds(marker):
        return loaded
    return load_records([marker.record()], hard=hard, base=marker)


def _misfit(loaded: LoadedLog | None, state: int | None, unfinished: str) -> str:
    """As `peer_driver` refuses at a start."""
    if loaded is None or unfinished:
        return ""
    index = state or 0
    if index > loaded.last.index:
        return f"it is at entry {index}, the log ends at {loaded.last.index}: the log was cut"
    if index < loaded.first_index - 1:
        return f"it is at entry {index}, the log begins at {loaded.first_index}: it was replaced"
    return ""


def _newest_term(loaded: LoadedLog) -> tuple[tuple[Member, ...], int]:
    """`electors` and `term_index`, as `Survivor` says."""
    if len(loaded.term_runs) == 1:
        return (), 0
    first_index, _ = loaded.term_runs[-1]
    before = [payload for index, payload in loaded.configurations if index < first_index]
    return read_configuration(before[-1]).voters, first_index


def _possible(
    configurations: list[tuple[int, bytes]], committed_index: int
) -> tuple[Configuration, ...]:
    later = [it for it in configurations if it[0] > committed_index]
    committed = configurations[: len(configurations) - len(later)][-1:]
    return tuple(read_configuration(payload) for _, payload in (*committed, *later))


def _standing(configuration: Configuration, key: str) -> Standing:
    if configuration.is_voter(key):
        return Standing.VOTER
    return Standing.NO_MEMBER if configuration.find(key) is None else Standing.LEARNER
