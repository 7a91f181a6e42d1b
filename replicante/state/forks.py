"""Where recoveries cut the history. Pure; written by `generations`, read by queries and
apply_consumers.

Rule: stamps between the two entries of a fork belong to a history that is lost. Whoever has read up
to one of them is told so, never served as if nothing had happened.
"""

from __future__ import annotations

from typing import Final

import msgpack
import msgspec

from replicante.errors import FatalError
from replicante.ids import stamp_index
from replicante.state.tables import FORKS_KEY
from replicante.storage.kv import Reader

_LAYOUT: Final = 1


class Fork(msgspec.Struct, frozen=True, array_like=True):
    """One recovery: everything of the entries between the two is lost."""

    last_index: int
    """The last entry that both histories have."""
    first_index: int
    """The first entry of the generation that began."""
    last_event: int
    """id of the last event that both histories have; 0: none."""
    first_event: int


def forks(reader: Reader) -> tuple[Fork, ...]:
    """All recoveries of this history, oldest first. Raises FatalError when the row is broken."""
    row = reader.get(FORKS_KEY)
    if row is None:
        return ()
    layout, packed = msgpack.unpackb(row)
    if layout != _LAYOUT:
        raise FatalError(f"a row of forks of layout {layout}")
    return tuple(Fork(*fields) for fields in packed)


def fork_of(reader: Reader, stamp: int) -> Fork | None:
    """The recovery that cut the history to which this stamp belongs; None for one of ours."""
    index = stamp_index(stamp)
    return next((it for it in forks(reader) if it.last_index < index < it.first_index), None)


def pack_forks(found: tuple[Fork, ...]) -> bytes:
    fields = [(it.last_index, it.first_index, it.last_event, it.first_event) for it in found]
    row: bytes = msgpack.packb((_LAYOUT, fields))
    return row
