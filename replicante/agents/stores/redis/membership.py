"""Whether this node belongs to the cluster and whom it is to follow, on the disk. Called by
`server` starts and `actions`.

Rule: written before the server is told. A server that starts follows what stands here, or nobody:
it never starts as a primary, so that one that comes back accepts no write before it is told to.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from replicante.agents.stores.redis.facts import NOWHERE, Address
from replicante.durable_file import PRIVATE, write_durably

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
        text = json.dumps({"is_member": True, "follows": follows})
        write_durably(self._path, text, mode=PRIVATE)
        self._prepare(follows)
        self.is_member, self.follows = True, follows


def _read(path: Path) -> tuple[bool, Address]:
    try:
        found = json.loads(path.read_bytes())
        host, port = found["follows"]
        return bool(found["is_member"]), (str(host), int(port))
    except (ValueError, TypeError, KeyError) as exc:
        raise ValueError(f"{path} is not what an agent wrote: {exc!r}") from exc
