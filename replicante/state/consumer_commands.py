"""What can be done with a named consumer of events, as values, and their fields packed. Pure.

Part of `commands`, which knows the tags.
"""

from __future__ import annotations

from typing import Any

import msgspec

from replicante.limits import NAME_BYTES_MAX
from replicante.state.expect import Expect, pack_expect, unpack_expect


class PutConsumer(msgspec.Struct, frozen=True):
    """Makes a consumer, or says how far it is and that it is alive.

    Rejected history_gone when events after the position are no longer kept, consumer_expired when
    it was silent or behind for too long, too_many_consumers.
    """

    name: str
    position: int | None = None
    """Everything up to this id was handled; beyond the last event it counts as that one. None: as
    before, and for a new consumer the last event."""
    expect: Expect | None = None


class DeleteConsumer(msgspec.Struct, frozen=True):
    """It holds nothing any more; Rejected not_found when there is none."""

    name: str
    expect: Expect | None = None


ConsumerCommand = PutConsumer | DeleteConsumer


def pack_consumer_fields(command: ConsumerCommand) -> list[Any]:
    match command:
        case PutConsumer(name, position, expect):
            return [name, position, pack_expect(expect)]
        case DeleteConsumer(name, expect):
            return [name, pack_expect(expect)]


def unpack_put(packed: list[Any]) -> PutConsumer:
    _, name, position, expect = packed
    if position is not None and (type(position) is not int or position < 0):
        raise ValueError("a position is a stamp or nil")
    return PutConsumer(_name(name), position, unpack_expect(expect))


def unpack_delete(packed: list[Any]) -> DeleteConsumer:
    _, name, expect = packed
    return DeleteConsumer(_name(name), unpack_expect(expect))


def _name(name: Any) -> str:
    if type(name) is not str or not 0 < len(name.encode()) <= NAME_BYTES_MAX:
        raise TypeError("the name of a consumer is text")
    return name
