"""Makes an entry that no peer can apply a no-op, in the logs of all of them (ADR 0039). IO;
offline.

The entry keeps its place, term and times, and becomes one of kind SKIPPED that says why and which
entry it was; the chain of everything after it changes with it. So treated logs are equal to each
other, and a peer that was not treated meets another chain with the next entry, and stops.

Rule: first every directory is judged, then each is changed in one transaction. What the same call
did before a crash it finds done.
"""

from __future__ import annotations

import contextlib
import enum
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from replicante.dir_lock import DirLock
from replicante.errors import Conflict, FatalError, NotFound
from replicante.limits import LOG_MAP_BYTES_DEFAULT
from replicante.raft.forcing import OpenCopy
from replicante.raft.host import MachineHost
from replicante.raft.inspecting import StateIndex
from replicante.raft.log import WriteSet
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.membership import read_configuration
from replicante.raft.records import Record, encode_detail, encode_record, make_record
from replicante.raft.restoring import FOLDER as RESTORE
from replicante.raft.state_machine import EntryKind


class Fate(enum.StrEnum):
    """Of the entry in one directory."""

    SKIPPED = "skipped"
    ALREADY = "already skipped"
    ABSENT = "not there"
    """Its log ends before: it gets the skipped entry from the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """What became of one directory."""

    folder: str
    peer_id: str
    fate: Fate
    last_index: int
    chain: str
    """Of its last entry: directories with equal `last_index` have the same, wherever they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipReport:
    directories: tuple[Skipped, ...]
    next_broken: int | None
    """An entry that breaks as well: a command is in the log once more when its proposer sent it to
    the next leader, and that one stopped too."""
    untreated: tuple[str, ...]
    """Members whose directory was not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    folder: Path
    log: LmdbLog
    header: LogHeader
    last: Record
    found: Record | None
    members: tuple[str, ...]


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
        opened = [_open(folder, index, state_index, stack) for folder in folders]
        _check_one_cluster(opened)
        fresh = _judge(opened, index, reason)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch)))
        if fresh:
            _prove_broken(fresh[0], index, open_copy, folder / "before")
        skipped = [_treat(it, index, reason, is_fresh=it in fresh) for it in opened]
        treated = next(it for it in opened if it.found is not None)
        next_broken = _first_broken(treated, open_copy, folder / "after")
    members = {name for it in opened for name in it.members}
    return SkipReport(
        directories=tuple(skipped),
        next_broken=next_broken,
        untreated=tuple(sorted(members - {it.peer_id for it in skipped})),
    )


def _open(
    folder: Path, index: int, state_index: StateIndex, stack: contextlib.ExitStack
) -> _Opened:
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
    if max(state_index(folder) or 0, loaded.first_index) >= index:
        raise Conflict(
            f"{header.peer_id} has applied entry {index}: it is part of the state that others"
            " will have",
            hints=("find out why the others cannot apply it; the state of this peer is good",),
        )
    members = read_configuration(loaded.configurations[-1][1]).members
    return _Opened(
        folder=folder,
        log=log,
        header=header,
        last=loaded.last,
        found=log.read(index, index + 1)[0] if index <= loaded.last.index else None,
        members=tuple(it.peer_id for it in members),
    )


def _check_one_cluster(opened: Sequence[_Opened]) -> None:
    first = opened[0].header
    for it in opened:
        if (it.header.cluster_id, it.header.lineage) != (first.cluster_id, first.lineage):
            raise NotFound(f"{opened[0].folder} and {it.folder} are of different histories")


def _judge(opened: Sequence[_Opened], index: int, reason: str) -> list[_Opened]:
    """Where it is still to be skipped. Raises Conflict."""
    there = [(it, it.found) for it in opened if it.found is not None]
    if not there:
        raise Conflict(f"no directory has an entry {index}")
    fresh, skipped = [], set()
    for it, found in there:
        if found.kind is EntryKind.SKIPPED:
            skipped.add(found.payload)
        elif found.kind is EntryKind.COMMANDS:
            fresh.append(it)
            skipped.add(_payload(found, reason))
        else:
            raise Conflict(
                f"entry {index} in {it.folder} is {found.kind.name}: only commands are skipped"
            )
    if len(skipped) > 1:
        raise Conflict(
            f"the directories do not have the same entry {index}, or it was skipped for another"
            " reason",
            hints=(
                "replicante check tells in which of them the entry breaks",
                "leave out a peer whose entry was never committed: it gets the right one later",
                "give the reason that the first directories were treated with",
            ),
        )
    return fresh


def _prove_broken(it: _Opened, index: int, open_copy: OpenCopy, folder: Path) -> None:
    """What can be applied is never skipped. Raises Conflict."""
    broken = _first_broken(it, open_copy, folder)
    if broken == index:
        return
    if broken is not None and broken < index:
        raise Conflict(f"entry {broken} breaks before it: skip that one first")
    raise Conflict(
        f"entry {index} can be applied here, so it is not skipped",
        hints=("replicante check DATA_DIR names the entry that breaks, if one does",),
    )


def _first_broken(it: _Opened, open_copy: OpenCopy, folder: Path) -> int | None:
    """Of the entries that its state lacks."""
    folder.mkdir()
    with open_copy(it.folder, it.header, folder) as machine:
        host = MachineHost(machine)
        for record in it.log.verified():
            if record.index <= machine.applied_index:
                continue
            try:
                host.apply(record)
            except FatalError:
                return record.index
            if machine.is_full:
                machine.flush()
    return None


def _treat(it: _Opened, index: int, reason: str, *, is_fresh: bool) -> Skipped:
    fate = Fate.ABSENT if it.found is None else Fate.ALREADY
    last = it.last
    if is_fresh:
        fate = Fate.SKIPPED
        (before,) = it.log.read(index - 1, index)
        records = _rewritten(it.log.read(index, it.last.index + 1), before.chain, reason)
        stored = tuple((record.index, encode_record(record)) for record in records)
        it.log.write(WriteSet(truncate_from=index, records=stored, hard=None))
        last = records[-1]
    return Skipped(
        folder=str(it.folder),
        peer_id=it.header.peer_id,
        fate=fate,
        last_index=last.index,
        chain=last.chain.hex(),
    )


def _rewritten(records: Sequence[Record], chain: bytes, reason: str) -> list[Record]:
    """The first one skipped, and all with the chain that follows from it."""
    made: list[Record] = []
    for record in records:
        is_first = not made
        made.append(
            make_record(
                index=record.index,
                term=record.term,
                kind=EntryKind.SKIPPED if is_first else record.kind,
                clock_ms=record.clock_ms,
                wall_ms=record.wall_ms,
                payload=_payload(record, reason) if is_first else record.payload,
                chain_before=made[-1].chain if made else chain,
            )
        )
    return made


def _payload(record: Record, reason: str) -> bytes:
    return encode_detail({"chain": record.chain.hex(), "reason": reason})
