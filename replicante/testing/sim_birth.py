"""What a simulated group of peers begins with: its first entry, its members, and what lies on the
disk of each of them before it starts.

Called by sim_cluster for the group that a run begins with, by sim_recovery for the one that a
backup or a survivor begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from replicante.raft.backup import Manifest
from replicante.raft.generations import FirstLog
from replicante.raft.log_store import LogHeader
from replicante.raft.membership import (
    Configuration,
    Member,
    cluster_id_of,
    configuration_payload,
    read_configuration,
)
from replicante.raft.records import CHAIN_ZERO, Record, make_record
from replicante.raft.state_machine import EntryKind
from replicante.testing.sim_disk import SimDisk
from replicante.testing.sim_files import SimFiles
from replicante.testing.sim_options import Options

_CLUSTER = "sim"
_TAKEN = Path("taken")


class SimShelf:
    """Fits `generations.Shelf`: a backup that the machine beside it takes at its first start."""

    def __init__(self, taken: tuple[Manifest, bytes] | None = None) -> None:
        self.files = SimFiles()
        """Of the peer, which reads the copy there."""
        self._backup = taken

    def manifest(self) -> Manifest | None:
        return None if self._backup is None else self._backup[0]

    def copy(self, manifest: Manifest) -> Path:
        assert self._backup is not None
        self.files.write(_TAKEN, self._backup[1])
        return _TAKEN

    def drop(self) -> None:
        self._backup = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Newborn:
    """A peer that is about to exist."""

    member: Member
    disk: SimDisk
    shelf: SimShelf = field(default_factory=SimShelf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    genesis: Record
    """Entry 1 of the cluster, whatever the generation."""
    first: Record
    """That the history of this group begins with."""
    peers: tuple[Newborn, ...]
    """The members first, then the spares."""
    digests: tuple[tuple[int, int], ...] = ()
    """(index, digest of the state as of it) that are known already."""
    versions: Mapping[int, int] = field(default_factory=dict)
    """key → newest version that anybody was told of before, and that must be there."""
    number: int = 0
    """Of all that clients ever asked: later operations have greater ones."""

    @property
    def configuration(self) -> Configuration:
        return read_configuration(self.first.payload)


def first_birth(options: Options) -> Birth:
    """As after genesis: every peer has entry 1."""
    members_count = options.voters_count + options.learners_count
    everybody = _named(range(1, members_count + options.spares_count + 1))
    configuration = Configuration(
        voters=tuple(everybody[: options.voters_count]),
        learners=tuple(everybody[options.voters_count : members_count]),
    )
    genesis = make_record(
        index=1,
        term=0,
        kind=EntryKind.GENESIS,
        clock_ms=0,
        wall_ms=0,
        payload=configuration_payload(configuration),
        chain_before=CHAIN_ZERO,
    )
    return Birth(
        genesis=genesis,
        first=genesis,
        peers=tuple(_empty(member, genesis) for member in everybody),
    )


def later_birth(
    genesis: Record,
    logs: Sequence[FirstLog],
    backup: tuple[Manifest, bytes],
    *,
    spares_count: int,
    digests: tuple[tuple[int, int], ...],
    versions: Mapping[int, int],
    number: int,
) -> Birth:
    """Each member has the backup to take; spares have entry 1 and the lineage of their token."""
    first = logs[0]
    peers = []
    for log, member in zip(logs, read_configuration(first.record.payload).voters, strict=True):
        disk = SimDisk(log.record, log.header)
        disk.write(log.writes)
        peers.append(Newborn(member=member, disk=disk, shelf=SimShelf(backup)))
    generation, lineage = first.header.generation, first.header.lineage
    for member in _named(range(11, 11 + spares_count)):
        peers.append(_empty(member, genesis, generation=generation, lineage=lineage))
    return Birth(
        genesis=genesis,
        first=first.record,
        peers=tuple(peers),
        digests=digests,
        versions=versions,
        number=number,
    )


def _named(numbers: range) -> list[Member]:
    return [Member(f"p{number}", f"i{number}", f"sim:{number}") for number in numbers]


def _empty(member: Member, genesis: Record, *, generation: int = 0, lineage: str = "") -> Newborn:
    header = LogHeader(
        cluster_name=_CLUSTER,
        cluster_id=cluster_id_of(genesis.payload),
        peer_id=member.peer_id,
        incarnation=member.incarnation,
        generation=generation,
        created_wall_ms=0,
        birth_lock=genesis.payload,
        lineage=lineage,
    )
    return Newborn(member=member, disk=SimDisk(genesis, header))
