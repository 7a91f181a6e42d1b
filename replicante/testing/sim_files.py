"""Files of a simulated peer: snapshots on their way out and in, and what a machine in memory saves.

Called by sim_peer and sim_machine. What takes a name is durable at once; of what is arriving, the
whole parts are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from replicante.raft.snapshot_digest import new_digest
from replicante.raft.snapshots import CopyName, Kept

OUTGOING = Path("outgoing")
_INCOMING = Path("incoming")
_STATE = Path("state")
_PART_BYTES = 512
"""Small, so that a process that dies half way has received some."""


class SimFiles:
    """Fits `snapshots.SnapshotFiles` and `in_memory.Shelf`."""

    is_looking = False
    unsynced_bytes = 0

    def __init__(self) -> None:
        self.held: dict[Path, bytes] = {}
        self._arriving = b""
        self._name: CopyName | None = None
        self._found: CopyName | None = None

    def restart(self) -> None:
        self.held.pop(OUTGOING, None)
        self._arriving = self._arriving[: len(self._arriving) // _PART_BYTES * _PART_BYTES]
        self._found = self._name if self._arriving else None

    @property
    def found_index(self) -> int | None:
        return None if self._found is None else self._found.index

    def measure(self) -> tuple[int, bytes]:
        data = self.held[OUTGOING]
        return len(data), new_digest(data).digest()

    # --- SnapshotFiles -----------------------------------------------------------------------

    def read(self, offset: int | Path, count: int = 0) -> bytes:
        if isinstance(offset, Path):
            return self.held[offset]
        return self.held[OUTGOING][offset : offset + count]

    def discard(self) -> None:
        self.held.pop(OUTGOING, None)

    def begin(self, name: CopyName) -> Kept:
        found, self._found, self._name = self._found, None, name
        if found != name:
            self._arriving = b""
        return Kept(offset=len(self._arriving), digest=new_digest(self._arriving))

    def append(self, data: bytes) -> None:
        self._arriving += data

    def finish(self) -> Path:
        self.held[_INCOMING] = self._arriving
        return _INCOMING

    def drop(self) -> None:
        self._arriving = b""
        self._found = self._name = None
        self.held.pop(_INCOMING, None)

    # --- Shelf -------------------------------------------------------------------------------

    def load(self) -> bytes | None:
        return self.held.get(_STATE)

    def save(self, encode: Callable[[], bytes]) -> SavedAtOnce:
        self.held[_STATE] = encode()
        return SavedAtOnce()

    def adopt(self, path: Path) -> None:
        self.held[_STATE] = self.held.pop(path)

    def write(self, path: Path, snapshot: bytes) -> None:
        self.held[path] = snapshot

    def remove(self, path: Path) -> None:
        self.held.pop(path, None)


class SavedAtOnce:
    """Fits `in_memory.Saving`."""

    is_over = True
    failure: BaseException | None = None

    def wait(self) -> None:
        """There is nothing to wait for."""
