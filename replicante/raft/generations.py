"""How a generation begins: the end of the history before it, the first entry, what the log of each
member holds, and the steps of a first start (ADR 0038, ADR 0060). Pure; called by restoring and
forcing.

Rule: every member begins with the same entry and a fresh incarnation. So no vote is ever counted
twice, and nobody who is left of the old generation is let in.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from replicante import limits
from replicante.entropy import Entropy
from replicante.errors import CorruptData, DiskFull, InvalidConfig
from replicante.ids import GENERATION_MAX, generation_of, make_index
from replicante.raft.backup import Manifest
from replicante.raft.host import MachineHost
from replicante.raft.in_memory import begin_durable
from replicante.raft.log import Base, HardState, WriteSet
from replicante.raft.log_loading import LoadedLog
from replicante.raft.log_store import LogHeader
from replicante.raft.membership import Configuration, Member, recovery_payload
from replicante.raft.records import Record, make_record
from replicante.raft.state_machine import DurableStateMachine, EntryKind


class How(enum.StrEnum):
    """Stored in the log and told by an event."""

    RESTORED = "restored"
    FORCED = "forced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What the event of the new generation tells."""

    how: How
    reason: str = ""
    generation: int | None = None
    """That begins; None: the next one of the backup."""


RESTORED = Recovery(how=How.RESTORED)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLog:
    """What the log of one member begins with."""

    header: LogHeader
    record: Record
    base: Base

    @property
    def writes(self) -> WriteSet:
        """What is durable beside the header and the entry."""
        return WriteSet(None, (), HardState(term=self.record.term), self.base)


class Shelf(Protocol):
    """Where a data directory keeps the backup that its machine has not taken yet."""

    def manifest(self) -> Manifest | None:
        """None when there is nothing to take. Raises CorruptData."""
        ...

    def copy(self, manifest: Manifest) -> Path:
        """A machine changes the file that it installs: after a crash the backup must still be
        whole. Raises CorruptData."""
        ...

    def drop(self) -> None: ...


def begin_logs(
    manifest: Manifest,
    members: Mapping[str, str],
    *,
    recovery: Recovery,
    entropy: Entropy,
    wall_ms: int,
) -> list[FirstLog]:
    """One a member, in the order of their names.

    members: peer id → address, the voters of the new generation. Raises InvalidConfig.
    """
    if not 1 <= len(members) <= limits.PEERS_MAX:
        raise InvalidConfig(f"a cluster has 1 to {limits.PEERS_MAX} peers, not {len(members)}")
    generation = recovery.generation or manifest.generation + 1
    if not manifest.generation < generation <= GENERATION_MAX:
        raise InvalidConfig(
            f"a recovery from generation {manifest.generation} begins one of"
            f" {manifest.generation + 1} to {GENERATION_MAX}, not {generation}"
        )
    voters = [Member(it, entropy.token(), members[it]) for it in sorted(members)]
    recovery = replace(recovery, generation=generation)
    record = _first_entry(manifest, Configuration(tuple(voters)), recovery, wall_ms=wall_ms)
    return [_first_log(manifest, record, voter, wall_ms=wall_ms) for voter in voters]


def _first_entry(
    manifest: Manifest, configuration: Configuration, recovery: Recovery, *, wall_ms: int
) -> Record:
    """Follows the backup's last entry; its chain is like no other recovery's, because the
    incarnations in it are new."""
    assert recovery.generation is not None
    told = {
        "how": recovery.how.value,
        "from": manifest.made_by,
        "generation": recovery.generation,
        "last_index": manifest.index,
        "last_term": manifest.term,
        "reason": recovery.reason,
    }
    return make_record(
        index=make_index(recovery.generation, 1),
        term=manifest.term,
        kind=EntryKind.RECOVERED,
        clock_ms=manifest.clock_ms,
        wall_ms=wall_ms,
        payload=recovery_payload(configuration, told),
        chain_before=bytes.fromhex(manifest.chain),
    )


def _first_log(manifest: Manifest, record: Record, voter: Member, *, wall_ms: int) -> FirstLog:
    header = LogHeader(
        cluster_name=manifest.cluster_name,
        cluster_id=manifest.cluster_id,
        peer_id=voter.peer_id,
        incarnation=voter.incarnation,
        generation=generation_of(record.index),
        created_wall_ms=wall_ms,
        birth_lock=bytes.fromhex(manifest.genesis),
        lineage=record.chain.hex(),
    )
    base = Base(
        index=record.index,
        term=record.term,
        clock_ms=record.clock_ms,
        chain=record.chain,
        configuration_index=record.index,
        configuration=record.payload,
    )
    return FirstLog(header=header, record=record, base=base)


def take_step(shelf: Shelf, loaded: LoadedLog, machine: DurableStateMachine) -> bool:
    """One step of a first start: the machine gets the state of the backup, then the entry that the
    log begins with. False when there is nothing left to do.

    Each step is durable before the next one, and none is done twice: the machine's own index says
    how far an earlier start came. Raises CorruptData, DiskFull.
    """
    manifest = shelf.manifest()
    if manifest is None:
        return False
    if machine.applied_index < manifest.index:
        machine.install(shelf.copy(manifest), index=manifest.index)
        return True
    if machine.applied_index == manifest.index:
        MachineHost(machine).apply(loaded.last)
        begin_durable(machine)
        machine.flush()
        return True
    if machine.durable_index < loaded.first_index:
        raise DiskFull("the restored state cannot be kept")
    shelf.drop()
    return False


def replay(
    records: Iterable[Record], loaded: LoadedLog, machine: DurableStateMachine, *, whose: str
) -> None:
    """Afterwards the machine holds, durably, what the whole log did.

    records: all of the log, which is `loaded`. whose: a directory, for people. Raises CorruptData,
    FatalError with the entry that cannot be applied.
    """
    if not loaded.first_index - 1 <= machine.applied_index <= loaded.last.index:
        raise CorruptData(
            f"the state in {whose} is as of entry {machine.applied_index}, its log holds the"
            f" entries {loaded.first_index} to {loaded.last.index}",
            hints=("use another survivor, or a backup",),
        )
    host = MachineHost(machine)
    for record in records:
        if record.index > machine.applied_index:
            host.apply(record)
            if machine.is_full:
                machine.flush()
    begin_durable(machine)
    machine.flush()
    if machine.durable_index != loaded.last.index:
        raise CorruptData(f"the copy of the state in {whose} cannot be kept")


def end_of(loaded: LoadedLog) -> Base:
    """Of the whole log. The term is that of the newest promise: an entry of the new generation is
    of no term in which the old one may have had a leader."""
    last, (configuration_index, configuration) = loaded.last, loaded.configurations[-1]
    return Base(
        index=last.index,
        term=max(last.term, loaded.hard.term),
        clock_ms=last.clock_ms,
        chain=last.chain,
        configuration_index=configuration_index,
        configuration=configuration,
    )
