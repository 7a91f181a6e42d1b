"""The state of a stopped peer: what it is as of, and a copy of it to work on. IO; called by
`recover`.

Joins rooms that do not know each other: the log knows whose directory it is, the store has rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replicante.raft.inspecting import state_on_shelf
from replicante.raft.log_store import LogHeader
from replicante.raft.state_machine import DurableStateMachine
from replicante.state.digest import row_hash
from replicante.state.machine import ReplicatedState
from replicante.storage.lmdb_copy import DATA_FILE, index_of_state
from replicante.storage.lmdb_store import LmdbStore, state_identity

FOLDER = "state"


def state_index(data_dir: Path) -> int | None:
    """A `StateIndex` for both kinds of machines: tables on disk, or one in memory whose snapshots
    are on a shelf. Raises CorruptData."""
    path = data_dir / FOLDER / DATA_FILE
    return index_of_state(path) if path.is_file() else state_on_shelf(data_dir)


@contextmanager
def open_copy(data_dir: Path, header: LogHeader, folder: Path) -> Iterator[DurableStateMachine]:
    """An `OpenCopy`. The directory of the state is not changed. Raises CorruptData, WrongIdentity,
    DiskFull, OSError."""
    identity = state_identity(
        cluster=header.cluster_name, peer_id=header.peer_id, incarnation=header.incarnation
    )
    if (data_dir / FOLDER / DATA_FILE).is_file():
        with _opened(data_dir / FOLDER, identity) as store:
            store.export(folder / DATA_FILE)
    with _opened(folder, identity) as store:
        yield ReplicatedState(store)


@contextmanager
def _opened(path: Path, identity: bytes) -> Iterator[LmdbStore]:
    store = LmdbStore.open(path, identity=identity, row_hash=row_hash)
    try:
        yield store
    finally:
        store.close()
