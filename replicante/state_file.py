"""Where the state of a stopped peer lies, and what it is as of. IO; called by `recover`.

Joins rooms that do not know each other: the log knows whose directory it is, the store has rows.
"""

from __future__ import annotations

from pathlib import Path

from replicante.raft.inspecting import state_on_shelf
from replicante.storage.lmdb_copy import DATA_FILE, index_of_state

FOLDER = "state"


def state_index(data_dir: Path) -> int | None:
    """A `StateIndex` for both kinds of machines: tables on disk, or one in memory whose snapshots
    are on a shelf. Raises CorruptData."""
    path = data_dir / FOLDER / DATA_FILE
    return index_of_state(path) if path.is_file() else state_on_shelf(data_dir)
