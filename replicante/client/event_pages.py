"""One page of the event log, either way. Called by `events` and `event_verify`."""

from __future__ import annotations

from dataclasses import replace

from replicante.client.calls import Calls
from replicante.client.encoding import read_call
from replicante.client.follow import HEAD, filter_query
from replicante.client.options import EventFilter, Read
from replicante.errors import Invalid
from replicante.ids import format_stamp, parse_stamp
from replicante.wire import headers as names
from replicante.wire import paths
from replicante.wire.durations import format_duration_ms
from replicante.wire.events import EventsPage


async def page_after(
    calls: Calls,
    *,
    after: str | None,
    limit: int,
    wait_ms: int,
    wanted: EventFilter,
    read: Read,
) -> EventsPage:
    """Oldest first. after: None for the floor."""
    query = [(names.Q_LIMIT, str(limit)), *filter_query(wanted)]
    if wait_ms:
        query.append((names.Q_WAIT, format_duration_ms(wait_ms)))
    if after is not None:
        query.append((names.Q_AFTER, stamp_text(after)))
    call = replace(read_call(paths.EVENTS, read, query=query), wait_ms=wait_ms)
    return await calls.run_as(EventsPage, call)


async def page_before(
    calls: Calls, *, before: str | None, limit: int, wanted: EventFilter, read: Read
) -> EventsPage:
    """Newest first. before: None for the end."""
    place = names.BEFORE_END if before is None else stamp_text(before)
    query = [(names.Q_LIMIT, str(limit)), (names.Q_BEFORE, place), *filter_query(wanted)]
    return await calls.run_as(EventsPage, read_call(paths.EVENTS, read, query=query))


def stamp_text(place: str) -> str:
    """The id with all its digits, so that text order is stream order."""
    if place == HEAD:
        return place
    stamp = parse_stamp(place)
    if stamp is None:
        raise Invalid(f"{place!r} is no event id: it has up to 19 digits.", path="after")
    return format_stamp(stamp)
