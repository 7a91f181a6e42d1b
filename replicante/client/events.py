"""The event log. Reached as `client.events`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from pathlib import Path

from replicante import limits
from replicante.client.calls import Calls
from replicante.client.encoding import encode_body, read_call, write_call
from replicante.client.event_export import Export, Exported
from replicante.client.event_file import EventFile, EventSink
from replicante.client.event_pages import page_after, page_before, stamp_text
from replicante.client.event_verify import LogReport, verify_logs
from replicante.client.follow import Follow
from replicante.client.options import (
    ALL_EVENTS,
    DEFAULT_WRITE,
    LINEARIZABLE,
    STALE,
    EventFilter,
    Read,
    Write,
)
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
        return await page_after(
            self._calls, after=after, limit=limit, wait_ms=wait_ms, wanted=wanted, read=read
        )

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
        return await page_before(self._calls, before=before, limit=limit, wanted=wanted, read=read)

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

    async def export(
        self,
        path: Path,
        *,
        after: str | None = None,
        wanted: EventFilter = ALL_EVENTS,
        is_followed: bool = False,
        read: Read = STALE,
    ) -> Exported:
        """Writes the log to a file, an event a line, and goes on where the file ends, also after a
        crash in the middle of a line. Ends at the head as it is when it begins; is_followed: never.

        after: where a new file begins, None for the oldest event that is kept. wanted: the same for
        all runs on one file. Every event is proved to follow the one before (seq and chain, unless
        filtered) before it is written, and is durable before `last` counts it. Raises `BadAnswer`
        when it does not follow, `HistoryGone` when the next events are no longer kept, `Conflict`
        while another export has the file, `Invalid` for a file that holds something else, OSError,
        and as `page`.
        """
        is_whole = wanted.lets_all_pass
        sink = await asyncio.to_thread(EventFile, path, is_whole=is_whole)
        try:
            return await self.export_to(
                sink, after=after, wanted=wanted, is_followed=is_followed, read=read
            )
        finally:
            await asyncio.to_thread(sink.close)

    async def export_to(
        self,
        sink: EventSink,
        *,
        after: str | None = None,
        wanted: EventFilter = ALL_EVENTS,
        is_followed: bool = False,
        read: Read = STALE,
    ) -> Exported:
        """As `export`, into anything that keeps events."""

        def ask(place: str | None) -> Awaitable[EventsPage]:
            return self.page(after=place, limit=limits.PAGE_ITEMS_MAX, wanted=wanted, read=read)

        run = Export(sink, is_whole=wanted.lets_all_pass)
        place = await run.catch_up(ask, after=after)
        if is_followed:
            async with aclosing(self.follow(after=place, wanted=wanted)) as events:
                await run.go_on(events)
        return run.exported

    async def verify(
        self, *, count_max: int | None = None, timeout_ms: int = limits.REQUEST_DEADLINE_MS_DEFAULT
    ) -> LogReport:
        """Asks every peer for its log, and says whether all have the same: the chains at a common
        event, and every event of each peer against its chain, back from there.

        count_max: how many events of each peer are read for that, None for all that are kept.
        timeout_ms: of each question. Each answer is a peer's own log, as itself sees it. A peer
        that does not answer is part of the report; raises `Unreachable` when none does.
        """
        return await verify_logs(self._calls, count_max=count_max, timeout_ms=timeout_ms)

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
        an id that is none. Consistency as `page`. Close it (`contextlib.aclosing`) when you stop
        before its end.
        """
        follow = Follow(
            self._calls,
            after=None if after is None else stamp_text(after),
            wanted=wanted,
            give_up_ms=give_up_ms,
            silence_ms=silence_ms,
        )
        return follow.events()
