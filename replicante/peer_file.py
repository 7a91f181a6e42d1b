"""`peer.json` in the data directory of a peer: who runs here, for people and scripts.

Written by the server once it listens, read by the supervisor of a local cluster. Rule: readers see
a whole file or none. It is a note, not a lock: after a kill it still names the process that was.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

NAME = "peer.json"
FILE_BYTES_MAX = 65_536


class PeerFile(msgspec.Struct, frozen=True, kw_only=True):
    """id: the peer's name. pid: of its process. raft, http: `host:port` on which it listens."""

    id: str
    pid: int
    raft: str
    http: str


def write_peer_file(data_dir: Path, peer: PeerFile) -> None:
    """Replaces the file as a whole. Raises OSError."""
    target = data_dir / NAME
    draft = data_dir / f"{NAME}.{os.getpid()}.tmp"
    body = msgspec.json.format(msgspec.json.encode(peer), indent=2) + b"\n"
    try:
        with draft.open("wb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def read_peer_file(data_dir: Path) -> PeerFile | None:
    """None when there is none, or it cannot be read: nothing depends on it."""
    try:
        with (data_dir / NAME).open("rb") as stream:
            return msgspec.json.decode(stream.read(FILE_BYTES_MAX), type=PeerFile)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def remove_peer_file(data_dir: Path) -> None:
    """At a clean stop: the process id will be somebody else's one day."""
    try:
        (data_dir / NAME).unlink(missing_ok=True)
    except OSError:
        return  # a stale note is harmless, a stop that fails because of it is not
