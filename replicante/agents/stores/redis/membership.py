"""Whether this node belongs to the cluster and whom it is to follow, on the disk. Called by
`server` starts and `actions`.

Rule: written before the server is told. A server that starts follows what stands here, or nobody:
it never starts as a primary, so that one that comes back accepts no write before it is told to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from replicante.agents.stores.redis.facts import NOWHERE, Address

_FILE = "membership.json"


class Membership:
    """Raises OSError, ValueError for a file that cannot be read or written."""

    def __init__(self, folder: Path, *, prepare: Callable[[Address], None]) -> None:
        """prepare: called with whom the server is to follow after its next start, whoever starts
        it."""
        self._path = folder / _FILE
        self._prepare = prepare
        folder.mkdir(parents=True, exist_ok=True)
        self.is_member, self.follows = False, NOWHERE
        if self._path.exists():
            self.is_member, self.follows = _read(self._path)
        prepare(self.follows)

    def save(self, *, follows: Address) -> None:
        """From now on a member that follows this one after a start; NOWHERE for a primary."""
        write_durably(self._path, json.dumps({"is_member": True, "follows": follows}))
        self._prepare(follows)
        self.is_member, self.follows = True, follows


def write_durably(path: Path, text: str) -> None:
    """The whole text or what was there before, whenever the power is cut.  Raises OSError."""
    temporary = path.with_suffix(".new")
    # Nobody else reads it: there are passwords among what is written.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> tuple[bool, Address]:
    try:
        found = json.loads(path.read_bytes())
        host, port = found["follows"]
        return bool(found["is_member"]), (str(host), int(port))
    except (ValueError, TypeError, KeyError) as exc:
        raise ValueError(f"{path} is not what an agent wrote: {exc!r}") from exc
