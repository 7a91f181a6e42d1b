"""Request and answer of the path that makes a peer back itself up."""

from __future__ import annotations

from replicante.wire.shapes import ObjectName
from replicante.wire.values import Answer, Request


class BackupBody(Request, frozen=True, kw_only=True):
    """name: of a new folder below `backups` in the data directory of the peer that is asked."""

    name: ObjectName


class BackupAnswer(Answer, frozen=True, kw_only=True):
    """folder: on the disk of `peer`. index: everything up to it is in the backup. digest: of the
    state, as in the manifest."""

    peer: str
    folder: str
    index: int
    state_bytes: int
    digest: str
