"""What may be skipped, and what each log holds afterwards (ADR 0039). Pure; called by skipping.

The entry keeps its place, term and times, and becomes one of kind SKIPPED that says why and which
entry it was; the chain of everything after it changes with it. So treated logs are equal to each
other, and a peer that was not treated meets another chain with the next entry, and stops.

Rule: first every log is judged, then each is changed in one transaction. What the same call did
before a crash it finds done.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from replicante.errors import Conflict, FatalError, NotFound
from replicante.raft.host import MachineHost
from replicante.raft.log import LogBackend, WriteSet
from replicante.raft.log_loading import LoadedLog
from replicante.raft.log_store import LogHeader
from replicante.raft.membership import read_configuration
from replicante.raft.records import Record, encode_detail, encode_record, make_record
from replicante.raft.state_machine import DurableStateMachine, EntryKind


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


class StoppedLog(LogBackend, Protocol):
    """A log that no process writes."""

    def verified(self) -> Iterable[Record]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """One peer, as `look_at` found it."""

    folder: str
    log: StoppedLog
    header: LogHeader
    last: Record
    found: Record | None
    """The entry to be skipped; None: its log ends before."""
    members: tuple[str, ...]


FirstBroken = Callable[[Stopped], int | None]
"""Of the entries that its state lacks, the first that cannot be applied, tried on a copy."""


def look_at(
    folder: str, header: LogHeader, log: StoppedLog, loaded: LoadedLog, *, index: int, state: int
) -> Stopped:
    """state: the entry that the state is as of. Raises Conflict when it has the entry."""
    if max(state, loaded.first_index) >= index:
        raise Conflict(
            f"{header.peer_id} has applied entry {index}: it is part of the state that others"
            " will have",
            hints=("find out why the others cannot apply it; the state of this peer is good",),
        )
    members = read_configuration(loaded.configurations[-1][1]).members
    return Stopped(
        folder=folder,
        log=log,
        header=header,
        last=loaded.last,
        found=log.read(index, index + 1)[0] if index <= loaded.last.index else None,
        members=tuple(it.peer_id for it in members),
    )


def skip_in(
    stopped: Sequence[Stopped], index: int, *, reason: str, first_broken: FirstBroken
) -> SkipReport:
    """In the order of `stopped`. Raises Conflict and NotFound, having changed nothing."""
    _check_one_cluster(stopped)
    fresh = _judge(stopped, index, reason)
    if fresh:
        _prove_broken(first_broken(fresh[0]), index)
    skipped = [_treat(it, index, reason, is_fresh=it in fresh) for it in stopped]
    next_broken = first_broken(next(it for it in stopped if it.found is not None))
    members = {name for it in stopped for name in it.members}
    return SkipReport(
        directories=tuple(skipped),
        next_broken=next_broken,
        untreated=tuple(sorted(members - {it.peer_id for it in skipped})),
    )


def first_broken_of(records: Iterable[Record], machine: DurableStateMachine) -> int | None:
    """records: a whole log. The machine is a copy, which is good for nothing afterwards."""
    host = MachineHost(machine)
    for record in records:
        if record.index <= machine.applied_index:
            continue
        try:
            host.apply(record)
        except FatalError:
            return record.index
        if machine.is_full:
            machine.flush()
    return None


def _check_one_cluster(opened: Sequence[Stopped]) -> None:
    first = opened[0].header
    for it in opened:
        if (it.header.cluster_id, it.header.lineage) != (first.cluster_id, first.lineage):
            raise NotFound(f"{opened[0].folder} and {it.folder} are of different histories")


def _judge(opened: Sequence[Stopped], index: int, reason: str) -> list[Stopped]:
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


def _prove_broken(broken: int | None, index: int) -> None:
    """What can be applied is never skipped. Raises Conflict."""
    if broken == index:
        return
    if broken is not None and broken < index:
        raise Conflict(f"entry {broken} breaks before it: skip that one first")
    raise Conflict(
        f"entry {index} can be applied here, so it is not skipped",
        hints=("replicante check DATA_DIR names the entry that breaks, if one does",),
    )


def _treat(it: Stopped, index: int, reason: str, *, is_fresh: bool) -> Skipped:
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
        folder=it.folder,
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
