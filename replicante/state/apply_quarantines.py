"""What the log remembers of peers whose state was wrong. Pure; called by machine.apply and by who
asks whether it was told.

Rules: one event for each incarnation, whoever finds it wrong and however often. What stands here
is what the leader found (ADR 0044); it decides nothing, and a peer whose state is wrong applies it
as every other.

Row of QUARANTINES_KEY: (layout, [(peer, incarnation, revision), …]), oldest first, at most
QUARANTINES_KEPT_MAX.
"""

from __future__ import annotations

from typing import Final

import msgpack
import msgspec

from replicante.errors import FatalError
from replicante.ids import Stamp, format_stamp
from replicante.limits import QUARANTINES_KEPT_MAX
from replicante.state.eventlog import EventCode, pack_payload
from replicante.state.outcome import Applied
from replicante.state.quarantine_commands import NoteQuarantine
from replicante.state.tables import QUARANTINES_KEY
from replicante.state.writer import Writer
from replicante.storage.kv import Reader

_LAYOUT: Final = 1


class Noted(msgspec.Struct, frozen=True, array_like=True):
    """One peer of which the log has told."""

    peer: str
    incarnation: str
    revision: int


def note(writer: Writer, command: NoteQuarantine) -> Applied:
    before = noted(writer)
    for one in before:
        if one.incarnation == command.incarnation and one.peer == command.peer:
            return Applied(Stamp(one.revision), is_changed=False)
    revision = writer.stamp()
    after = (*before, Noted(command.peer, command.incarnation, revision))
    writer.put(QUARANTINES_KEY, _pack(after[-QUARANTINES_KEPT_MAX:]))
    payload = {
        "digests": dict(command.digests),
        "incarnation": command.incarnation,
        "index": command.index,
        "revision": format_stamp(revision),
    }
    writer.emit(EventCode.RAFT_PEER_QUARANTINED, pack_payload(payload), key=command.peer)
    return Applied(Stamp(revision), is_created=True)


def noted(reader: Reader) -> tuple[Noted, ...]:
    """Oldest first. Raises FatalError when the row is broken."""
    row = reader.get(QUARANTINES_KEY)
    if row is None:
        return ()
    layout, packed = msgpack.unpackb(row)
    if layout != _LAYOUT:
        raise FatalError(f"a row of quarantines of layout {layout}")
    return tuple(Noted(*fields) for fields in packed)


def _pack(found: tuple[Noted, ...]) -> bytes:
    fields = [(it.peer, it.incarnation, it.revision) for it in found]
    row: bytes = msgpack.packb((_LAYOUT, fields))
    return row
