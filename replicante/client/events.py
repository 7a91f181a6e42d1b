"""The event log. Reached as `client.events`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

from replicante import limits
from replicante.client.calls import Calls
from replicante.client.encoding import read_call
from replicante.client.follow import HEAD, Follow
from replicante.client.options import ALL_EVENTS, STALE, EventFilter, Read
from replicante.errors import Invalid
from replicante.ids import format_stamp, parse_stamp
from replicante.wire import headers as names
from replicante.wire import paths
from replicante.wire.durations import format_duration_ms
from replicante.wire.events import Event, EventsPage


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
        query = [(names.Q_LIMIT, str(limit))]
        if wait_ms:
            query.append((names.Q_WAIT, format_duration_ms(wait_ms)))
        given = {
            names.Q_AFTER: _stamp_text(after),
            names.Q_CODE: wanted.code,
            names.Q_NS: wanted.ns,
            names.Q_CLUSTER: wanted.cluster,
            names.Q_KEY: wanted.key,
        }
        query += [(name, value) for name, value in given.items() if value is not None]
        call = replace(read_call(paths.EVENTS, read, query=query), wait_ms=wait_ms)
        return await self._calls.run_as(EventsPage, call)

    async def head(self, *, read: Read = STALE) -> str:
        """Id of the newest event that the answering peer has. Raises as `kv.get`."""
        return (await self.page(limit=1, read=read)).head

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
            after=_stamp_text(after),
            wanted=wanted,
            give_up_ms=give_up_ms,
            silence_ms=silence_ms,
        )
        return follow.events()


def _stamp_text(after: str | None) -> str | None:
    """The id with all its digits, so that text order is stream order."""
    if after is None or after == HEAD:
        return after
    stamp = parse_stamp(after)
    if stamp is None:
        raise Invalid(f"{after!r} is no event id: it has up to 19 digits.", path="after")
    return format_stamp(stamp)
