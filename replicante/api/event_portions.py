"""What all readers of one place in the log with one filter are sent: made once for all of them.

Owned by `event_feed`, asked by streams. An event is decoded and encoded once (`EncodedEvent`); here
it is also held against each filter once, and the bytes of a write are joined once, however many
readers there are. Rule: a portion says only what was in the log when it was made, and is forgotten
when there is more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from replicante import limits
from replicante.api.event_lines import EncodedEvent
from replicante.api.negotiate import Media
from replicante.state.eventlog import EventFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """One write. data: about EVENT_CHUNK_BYTES_MAX at most. place: everything up to this id is in
    it, or was left out by the filter."""

    data: bytes
    count: int
    place: int


Key = tuple[int, EventFilter, Media]


class Portions:
    def __init__(self) -> None:
        self._made: dict[Key, Portion] = {}

    def get(self, key: Key) -> Portion | None:
        return self._made.get(key)

    def keep(self, key: Key, portion: Portion) -> None:
        """Beyond the bound it is not kept: each reader then joins its own."""
        if len(self._made) < limits.EVENT_PORTIONS_MAX:
            self._made[key] = portion

    def forget(self) -> None:
        self._made.clear()


def join(
    events: Iterable[EncodedEvent],
    *,
    looked_up_to: int,
    media: Media,
    count_max: int | None = None,
) -> Portion:
    """As many of the events, which all pass, as fit into one write. looked_up_to: where it goes on
    when all of them fit."""
    data = bytearray()
    count, place = 0, looked_up_to
    last = 0
    for event in events:
        if count == count_max or len(data) >= limits.EVENT_CHUNK_BYTES_MAX:
            place = last
            break
        data += event.line(media)
        count, last = count + 1, event.id
    return Portion(data=bytes(data), count=count, place=place)


def passing(events: Iterable[EncodedEvent], where: EventFilter) -> Iterator[EncodedEvent]:
    return (one for one in events if where.passes(one.event))
