"""The note in a data directory that its state must not be served (ADR 0044). Touches a file.

Called by peer: read at each start, written when it is found. Nothing ever removes it: the way out
is a new directory, which joins as a new learner.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from replicante.errors import CorruptData
from replicante.raft.commit_thread import CommitThread
from replicante.raft.status import Quarantine

NAME = "quarantine.json"


def read_quarantine(data_dir: Path) -> Quarantine | None:
    """None when this state was never found wrong. Raises CorruptData for a note that cannot be
    read: it is not passed over."""
    path = data_dir / NAME
    try:
        fields = json.loads(path.read_bytes())
        return Quarantine(
            index=int(fields["index"]),
            own_digest=str(fields["own_digest"]),
            digest=str(fields["digest"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, LookupError, OSError) as error:
        raise CorruptData(
            f"{path} says that the state here differs from the other peers', and cannot be read:"
            f" {error}",
            hints=("move this directory away and let the peer join again, with an empty one",),
        ) from error


class QuarantineNote:
    """Writes the note as soon as there is something to note."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._kept: Quarantine | None = None

    async def keep(self, quarantine: Quarantine | None, committer: CommitThread) -> None:
        """Call after each step, while nothing is in flight."""
        if quarantine is self._kept or quarantine is None:
            return
        try:
            await committer.run(lambda: write_quarantine(self._data_dir, quarantine))
        except OSError:
            return  # no room, most likely: tried again, and this process knows it anyway
        self._kept = quarantine


def write_quarantine(data_dir: Path, quarantine: Quarantine) -> None:
    """Durable when it returns. Raises OSError."""
    draft = data_dir / f"{NAME}.tmp"
    fields = {
        "index": quarantine.index,
        "own_digest": quarantine.own_digest,
        "digest": quarantine.digest,
    }
    with draft.open("w") as stream:
        json.dump(fields, stream, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(data_dir / NAME)
    descriptor = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
