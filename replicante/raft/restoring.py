"""New data directories for a whole cluster: it goes on in the next generation, from a backup or
from a survivor (ADR 0060, ADR 0038). IO.

`prepare_directories` is called offline; `finish_restoring` by peer_driver at each start.

Rule: every directory of one recovery begins with the same entry and a fresh incarnation. So no
vote is ever counted twice, and nobody who is left of the old generation is let in.
"""

from __future__ import annotations

import enum
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from replicante import limits
from replicante.clock import Clock
from replicante.entropy import Entropy
from replicante.errors import DiskFull, InvalidConfig
from replicante.ids import GENERATION_MAX, generation_of, make_index
from replicante.raft.backup import MANIFEST, Manifest, check_state, end_backup, read_manifest
from replicante.raft.host import MachineHost
from replicante.raft.in_memory import begin_durable
from replicante.raft.lmdb_file import copy_durably, sync_directories
from replicante.raft.log import Base, HardState, WriteSet
from replicante.raft.log_loading import LoadedLog
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.membership import Configuration, Member, recovery_payload
from replicante.raft.records import Record, encode_record, make_record
from replicante.raft.state_machine import DurableStateMachine, EntryKind

FOLDER = "restore"
"""In a data directory: the backup, until the state machine has taken it."""


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


def prepare_directories(
    backup: Path,
    out: Path,
    *,
    members: Mapping[str, str],
    clock: Clock,
    entropy: Entropy,
    recovery: Recovery = Recovery(how=How.RESTORED),
) -> list[Path]:
    """One data directory a member below `out`, which takes its name last: it holds all of them,
    complete, or does not exist. Each is to be moved to its machine before anything starts.

    members: peer id → address, the voters of the new generation. Raises InvalidConfig, CorruptData,
    UnsupportedFormat, DiskFull, OSError.
    """
    manifest = read_manifest(backup)
    state = check_state(backup, manifest)
    if not 1 <= len(members) <= limits.PEERS_MAX:
        raise InvalidConfig(f"a cluster has 1 to {limits.PEERS_MAX} peers, not {len(members)}")
    generation = recovery.generation or manifest.generation + 1
    if not manifest.generation < generation <= GENERATION_MAX:
        raise InvalidConfig(
            f"a recovery from generation {manifest.generation} begins one of"
            f" {manifest.generation + 1} to {GENERATION_MAX}, not {generation}"
        )
    if out.exists():
        raise InvalidConfig(f"{out} exists already", hints=("name another folder",))
    voters = [Member(it, entropy.token(), members[it]) for it in sorted(members)]
    wall_ms = clock.wall_ms()
    configuration = Configuration(tuple(voters))
    recovery = replace(recovery, generation=generation)
    record = _first_entry(manifest, configuration, recovery, wall_ms=wall_ms)
    unfinished = out.parent / f".{out.name}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700, parents=True)
    for voter in voters:
        folder = unfinished / voter.peer_id
        folder.mkdir(mode=0o700)
        _write_log(folder, manifest, record, voter, wall_ms=wall_ms)
        (folder / FOLDER).mkdir()
        copy_durably(state, folder / FOLDER / state.name)
        end_backup(folder / FOLDER, manifest)
    sync_directories(unfinished)
    unfinished.rename(out)
    sync_directories(out.parent)
    return [out / voter.peer_id for voter in voters]


def finish_restoring(data_dir: Path, loaded: LoadedLog, machine: DurableStateMachine) -> None:
    """Gives the machine the state of the backup, then the entry that the log begins with.

    Each step is durable before the next one, and none is done twice: the machine's own index says
    how far an earlier start came. Raises CorruptData, DiskFull.
    """
    folder = data_dir / FOLDER
    if not (folder / MANIFEST).exists():
        return
    manifest, record = read_manifest(folder), loaded.last
    if machine.applied_index < manifest.index:
        # A machine changes the file that it installs: after a crash the backup must still be whole.
        taken = folder / "taken"
        shutil.copyfile(check_state(folder, manifest), taken)
        machine.install(taken, index=manifest.index)
    if machine.applied_index == manifest.index:
        MachineHost(machine).apply(record)
        begin_durable(machine)
        machine.flush()
    if machine.durable_index < loaded.first_index:
        raise DiskFull(f"the restored state cannot be kept in {data_dir}")
    shutil.rmtree(folder)
    sync_directories(data_dir)


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


def _write_log(
    data_dir: Path, manifest: Manifest, record: Record, voter: Member, *, wall_ms: int
) -> None:
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
    store = LmdbLog(data_dir / "log", map_bytes=limits.LOG_MAP_BYTES_DEFAULT)
    try:
        store.write_header(header, records=((record.index, encode_record(record)),))
        store.write(WriteSet(None, (), HardState(term=record.term), base))
    finally:
        store.close()
