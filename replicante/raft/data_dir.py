"""Opens the log of a data directory and proves that it is this peer's (ADR 0012, ADR 0015). IO;
called by peer."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from replicante.clock import Clock
from replicante.dir_lock import LOCK_NAME
from replicante.entropy import Entropy
from replicante.errors import WrongIdentity
from replicante.ids import make_index
from replicante.raft.lmdb_file import was_cut_off_at_birth
from replicante.raft.log import HardState, LogBackend, WriteSet
from replicante.raft.log_loading import LoadedLog
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.membership import cluster_id_of
from replicante.raft.records import CHAIN_ZERO, encode_record, make_record
from replicante.raft.settings import PeerSettings
from replicante.raft.state_machine import EntryKind

_LOG = "log"
_FIRST_NAMES = frozenset({LOCK_NAME, _LOG, "lost+found"})
"""In a data directory when its log is made; the last one is of the file system."""
_FIRST_LOG_NAMES = frozenset({"data.mdb", "lock.mdb"})


def open_log(
    settings: PeerSettings, *, clock: Clock, entropy: Entropy
) -> tuple[LmdbLog, LogHeader]:
    """Mints the incarnation in a new directory. Raises WrongIdentity, CorruptData,
    UnsupportedFormat, DiskFull, StorageFull."""
    _drop_unbegun(settings.data_dir)
    store = LmdbLog(
        settings.data_dir / _LOG,
        map_bytes=settings.log_map_bytes,
        reserve_bytes=settings.log_reserve_bytes,
    )
    try:
        header = store.header()
        if header is None:
            header = LogHeader(
                cluster_name=settings.cluster_name,
                cluster_id="",
                peer_id=settings.peer_id,
                incarnation=entropy.token(),
                generation=0,
                created_wall_ms=clock.wall_ms(),
            )
            store.write_header(header)
        _check_owner(header, settings)
    except BaseException:
        store.close()
        raise
    return store, header


def _drop_unbegun(data_dir: Path) -> None:
    """A first start that was cut off within LMDB's first write left a file that LMDB refuses; it is
    made anew. Only where nothing else tells that this peer ever began: what is made of a log that
    was cut short by damage would be a new peer that forgot its promises."""
    file = data_dir / _LOG / "data.mdb"
    if not was_cut_off_at_birth(file):
        return
    names = {it.name for it in data_dir.iterdir()}
    log_names = {it.name for it in file.parent.iterdir()}
    if names <= _FIRST_NAMES and log_names <= _FIRST_LOG_NAMES:
        with contextlib.suppress(OSError):  # LMDB refuses it, and its caller says so
            file.unlink()


def _check_owner(header: LogHeader, settings: PeerSettings) -> None:
    if header.peer_id != settings.peer_id:
        raise WrongIdentity(
            f"{settings.data_dir} belongs to peer {header.peer_id}, not to {settings.peer_id}",
            hints=("give each peer its own data directory", "or set [peer] id back"),
        )
    if header.cluster_name != settings.cluster_name:
        raise WrongIdentity(
            f"{settings.data_dir} belongs to cluster {header.cluster_name},"
            f" not to {settings.cluster_name}",
            hints=("give this cluster another data directory", "or set [peer] cluster back"),
        )


def write_lock(store: LmdbLog, header: LogHeader, payload: bytes) -> LogHeader:
    """The first configuration that this directory agreed on is durable when this returns."""
    locked = replace(header, birth_lock=payload)
    store.write_header(locked)
    return locked


def write_genesis(
    store: LmdbLog, header: LogHeader, payload: bytes, *, generation: int, lineage: str
) -> LogHeader:
    """Entry 1 and the cluster id, in one transaction. The same bytes on every peer: term, clock
    and time are 0. generation, lineage: of the cluster as it is now, whose history began so."""
    record = make_record(
        index=make_index(0, 1),
        term=0,
        kind=EntryKind.GENESIS,
        clock_ms=0,
        wall_ms=0,
        payload=payload,
        chain_before=CHAIN_ZERO,
    )
    born = replace(
        header,
        cluster_id=cluster_id_of(payload),
        birth_lock=payload,
        generation=generation,
        lineage=lineage,
    )
    store.write_header(born, records=((record.index, encode_record(record)),))
    return born


def count_boot(store: LogBackend, loaded: LoadedLog) -> HardState:
    """One more start of this directory; durable before this process asks for a session under
    it."""
    hard = replace(loaded.hard, boot=loaded.hard.boot + 1)
    store.write(WriteSet(truncate_from=None, records=(), hard=hard))
    loaded.hard = hard
    return hard
