"""The event log. Reached as `client.events`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

from replicante import limits
from replicante.client.calls import Calls
from replicante.client.encoding import encode_body, read_call, write_call
from replicante.client.follow import HEAD, Follow, filter_query
from replicante.client.options import (
    ALL_EVENTS,
    DEFAULT_WRITE,
    LINEARIZABLE,
    STALE,
    EventFilter,
    Read,
    Write,
)
from replicante.errors import Invalid
from replicante.ids import format_stamp, parse_stamp
from replicante.wire import headers as names
from replicante.wire import paths
from replicante.wire.durations import format_duration_ms
from replicante.wire.events import Event, EventsPage, Retention, RetentionBody, RetentionSet


class Events:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def page(
        self,
        *,
        after: str | None = None,
        limit: int = limits.PAGE_ITEMS_DEFAULT,
        wait_ms: int = 0,
        wanted: EventFilter = ALL_EVENTS,
        read: Read = STALE,
    ) -> EventsPage:
        """Events after an id, oldest first; go on with `next`.

        after: None for the oldest that is kept. wait_ms: how long the peer waits for the first
        event when there is none yet. Consistency: the log of one peer, never older than what this
        client has seen; events are the same on every peer. Raises `HistoryGone` when the events
        after that id are no longer kept (`details["floor"]`), and as `kv.get`.
        """
        query = [(names.Q_LIMIT, str(limit)), *filter_query(wanted)]
        if wait_ms:
            query.append((names.Q_WAIT, format_duration_ms(wait_ms)))
        if after is not None:
            query.append((names.Q_AFTER, _stamp_text(after)))
        call = replace(read_call(paths.EVENTS, read, query=query), wait_ms=wait_ms)
        return await self._calls.run_as(EventsPage, call)

    async def page_back(
        self,
        *,
        before: str | None = None,
        limit: int = limits.PAGE_ITEMS_DEFAULT,
        wanted: EventFilter = ALL_EVENTS,
        read: Read = STALE,
    ) -> EventsPage:
        """Events before an id, newest first; go on with `next` until it is the floor.

        before: None begins with the newest. Consistency as `page`. Raises `HistoryGone` when what
        came before that id is no longer kept, and as `kv.get`.
        """
        place = names.BEFORE_END if before is None else _stamp_text(before)
        query = [(names.Q_LIMIT, str(limit)), (names.Q_BEFORE, place), *filter_query(wanted)]
        return await self._calls.run_as(EventsPage, read_call(paths.EVENTS, read, query=query))

    async def newest_first(
        self, *, before: str | None = None, wanted: EventFilter = ALL_EVENTS, read: Read = STALE
    ) -> AsyncGenerator[Event, None]:
        """All events that are kept, from the newest (or the one before an id) back to the oldest;
        stop whenever you have seen enough. Raises as `page_back`."""
        while True:
            page = await self.page_back(
                before=before, limit=limits.PAGE_ITEMS_MAX, wanted=wanted, read=read
            )
            for event in page.items:
                yield event
            if page.next <= page.floor:
                return
            before = page.next

    async def head(self, *, read: Read = STALE) -> str:
        """Id of the newest event that the answering peer has. Raises as `kv.get`."""
        return (await self.page(limit=1, read=read)).head

    async def retention(self, *, read: Read = LINEARIZABLE) -> Retention:
        """How much of the log is kept, how much there is, and which consumer holds more of it than
        the bounds allow. Raises as `kv.get`."""
        return await self._calls.run_as(Retention, read_call(paths.RETENTION, read))

    async def set_retention(
        self, *, count: int, bytes: int, age_ms: int, write: Write = DEFAULT_WRITE
    ) -> RetentionSet:
        """How much of the log all peers keep from now on; each bound on its own removes the oldest
        events, some with every entry. age_ms: by the cluster clock. Durable on a majority when it
        returns. Raises `Invalid` for bounds that are too small to read by, and as `kv.put`."""
        wanted = RetentionBody(count=count, bytes=bytes, age=format_duration_ms(age_ms))
        body = encode_body(wanted, path="age")
        call = write_call("PUT", paths.RETENTION, body, headers={}, write=write)
        return await self._calls.write_as(RetentionSet, call)

    def follow(
        self,
        *,
        after: str | None = None,
        wanted: EventFilter = ALL_EVENTS,
        give_up_ms: int | None = None,
        silence_ms: int = limits.CLIENT_STREAM_SILENCE_MS_MAX,
    ) -> AsyncGenerator[Event, None]:
        """All events after an id, and those to come, each once and in order, for ever.

        after: None for the oldest that is kept, `"head"` for only what is to come. When the peer is
        lost, is out of touch with the others, or is silent for silence_ms, the stream goes on at
        another one. give_up_ms: raise `Unreachable` when none delivered anything for so long; None
        tries for ever. Raises `HistoryGone` when the next events are no longer kept, `Invalid` for
        an id that is none. Close it (`contextlib.aclosing`) when you stop before its end.
        """
        follow = Follow(
            self._calls,
            after=None if after is None else _stamp_text(after),
            wanted=wanted,
            give_up_ms=give_up_ms,
            silence_ms=silence_ms,
        )
        return follow.events()


def _stamp_text(place: str) -> str:
    """The id with all its digits, so that text order is stream order."""
    if place == HEAD:
        return place
    stamp = parse_stamp(place)
    if stamp is None:
        raise Invalid(f"{place!r} is no event id: it has up to 19 digits.", path="after")
    return format_stamp(stamp)
