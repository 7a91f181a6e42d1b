"""Data directories of peers that were stopped: a log and the state of some of its entries. Not a
test file."""

from __future__ import annotations

import sys
from pathlib import Path

from raft_builders import commands_record, genesis_record, member, record_after

from replicante.ids import make_stamp
from replicante.limits import MIB
from replicante.raft.host import MachineHost
from replicante.raft.log import HardState, WriteSet
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.membership import Configuration, cluster_id_of, configuration_payload
from replicante.raft.records import CommandItem, OpenItem, encode_record
from replicante.raft.state_machine import EntryKind
from replicante.state.digest import row_hash
from replicante.state.machine import ReplicatedState
from replicante.storage.lmdb_store import LmdbStore, state_identity
from replicante.testing.builders import envelope_bytes, kv_put

PUTS_COUNT = 6


def records_of(*, last: bytes | None = None, names=("p1",), puts_count: int = PUTS_COUNT):
    """Genesis, a session, puts; `last`: the bytes of one more command."""
    records = [genesis_record(names)]
    records.append(commands_record(records[-1], OpenItem("p1", "p1-disk", 1), term=1))
    session = make_stamp(records[-1].index, 0)
    commands = [envelope_bytes(kv_put(f"k{i}", i)) for i in range(puts_count)]
    if last is not None:
        commands.append(last)
    for number, command in enumerate(commands, 1):
        item = CommandItem(session, number, 0, command)
        records.append(commands_record(records[-1], item, term=1))
    return records


def turn_the_last_commit(data: Path) -> None:
    """One bit of its number in LMDB's meta page, so that the one before it is greater."""
    content = bytearray(data.read_bytes())
    places = [page + 144 for page in (0, 4_096)]
    commits = [int.from_bytes(content[at : at + 8], sys.byteorder) for at in places]
    newest = commits.index(max(commits))
    commit = commits[newest] ^ 1 << commits[newest].bit_length() - 1
    content[places[newest] : places[newest] + 8] = commit.to_bytes(8, sys.byteorder)
    data.write_bytes(content)


def more(records, *, term: int, count: int = 1):
    """With as many empty entries after them."""
    longer = list(records)
    for _ in range(count):
        longer.append(record_after(longer[-1], term=term))
    return longer


def with_members(records, names, *, term: int = 1):
    """With a change to these voters after them."""
    payload = configuration_payload(Configuration(tuple(member(name) for name in names)))
    change = record_after(records[-1], term=term, payload=payload, kind=EntryKind.CONFIGURATION)
    return [*records, change]


def write_data_dir(
    path: Path,
    records,
    *,
    applied_count: int,
    cluster_id: str | None = None,
    peer_id: str = "p1",
    hard: HardState | None = None,
    generation: int = 0,
):
    log = LmdbLog(path / "log", map_bytes=64 * MIB)
    header = LogHeader(
        cluster_name="test",
        cluster_id=cluster_id_of(records[0].payload) if cluster_id is None else cluster_id,
        peer_id=peer_id,
        incarnation=f"{peer_id}-disk",
        generation=generation,
        created_wall_ms=0,
        birth_lock=records[0].payload,
    )
    log.write_header(header)
    stored = tuple((record.index, encode_record(record)) for record in records)
    hard = hard or HardState(term=records[-1].term)
    log.write(WriteSet(truncate_from=None, records=stored, hard=hard))
    log.close()
    with_store(path, lambda store: apply_to(store, records[:applied_count]), peer_id=peer_id)
    return path


def with_store(path: Path, work, *, peer_id: str = "p1"):
    identity = state_identity(cluster="test", peer_id=peer_id, incarnation=f"{peer_id}-disk")
    store = LmdbStore.open(path / "state", identity=identity, map_bytes=64 * MIB, row_hash=row_hash)
    try:
        work(store)
        store.flush()
    finally:
        store.close()


def apply_to(store: LmdbStore, records) -> None:
    host = MachineHost(ReplicatedState(store))
    for record in records:
        host.apply(record)


def all_files(path: Path) -> dict[str, bytes]:
    return {str(it): it.read_bytes() for it in sorted(path.rglob("data.mdb"))}
