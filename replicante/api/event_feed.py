"""Tells streams and long polls of new events, and keeps the newest ones decoded and encoded.

One task a server looks at what this peer applied; each reader then takes a portion made of the
tail that is kept here, or, when it is further behind, of the tables. So an event is decoded once,
encoded once in each format and held against each filter once, and a thousand readers cost a
thousand writes, not a thousand queries. The task rests while nobody reads.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from replicante import errors, limits
from replicante.api.backend import PeerDoor, StateDoor
from replicante.api.event_lines import EncodedEvent
from replicante.api.event_portions import Portion, Portions, join, passing
from replicante.api.event_wakes import Wakes
from replicante.api.negotiate import Media
from replicante.state import queries
from replicante.state.eventlog import EventFilter
from replicante.storage.kv import View
from replicante.telemetry.diagnostics import Diagnostic

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

IDLE_WAIT_MS = 5_000
"""How long one look waits for an entry; nothing depends on it."""
REST_S = 0.1
DROPPED_AT_ONCE = 4
"""A full tail drops this fraction of its bytes, so that dropping is rare."""


class EventFeed:
    def __init__(
        self, *, peer: PeerDoor, state: StateDoor, log: FilteringBoundLogger, streams_max: int
    ) -> None:
        self._peer = peer
        self._state = state
        self._log = log
        self._streams_max = streams_max
        self._readers_count = 0
        self._events: list[EncodedEvent] = []
        self._ids: list[int] = []
        self._bytes = 0
        self._tail_start = 0
        """The tail holds every event with an id above this, up to `head`."""
        self.head = 0
        self._task: asyncio.Task[None] | None = None
        self._portions = Portions()
        self._wakes = Wakes()
        self.is_stopping = False

    @contextmanager
    def reader(self) -> Iterator[None]:
        """While it lasts, the feed looks for events. Raises TooManyStreams, PeerStopping."""
        if self.is_stopping:
            raise errors.PeerStopping()
        if self._readers_count >= self._streams_max:
            raise errors.TooManyStreams(
                f"{self._streams_max} event streams are open on this peer. Ask another peer."
            )
        self._readers_count += 1
        if self._task is None:
            self._begin()
        try:
            yield
        finally:
            self._readers_count -= 1
            if self._readers_count == 0:
                self._rest()

    def portion(
        self, after: int, *, where: EventFilter, media: Media, count_max: int | None = None
    ) -> Portion:
        """What a reader that has everything up to `after` is sent next; empty when there is nothing
        yet, or when nothing of what was looked at passes. Ask again with its place.

        count_max: at most so many events; such a portion is of use to one reader alone. Raises
        HistoryGone.
        """
        key = (after, where, media)
        made = self._portions.get(key)
        if made is not None and (count_max is None or made.count <= count_max):
            return made
        events, place = self._passing(after, where)
        portion = join(events, looked_up_to=place, media=media, count_max=count_max)
        if count_max is None:
            self._portions.keep(key, portion)
        return portion

    def _passing(self, after: int, where: EventFilter) -> tuple[Iterable[EncodedEvent], int]:
        """Events that pass, and the place up to which all were looked at; a bounded slice."""
        if after >= self._tail_start:
            start = bisect_right(self._ids, after)
            tail = self._events[start : start + limits.EVENT_SCAN_ITEMS_MAX]
            return passing(tail, where), tail[-1].id if tail else after
        with self._state.view() as view:
            page = queries.events_after(
                view,
                after,
                limit=limits.EVENT_SCAN_ITEMS_MAX,
                where=where,
                bytes_max=limits.EVENT_CHUNK_BYTES_MAX,
            )
        return [EncodedEvent(event) for event in page.items], page.next

    async def wait_beyond(self, after: int, *, timeout_ms: int) -> None:
        """Returns when there is an event with an id above `after`, when the feed stops, or when
        the time is over. May return early."""
        if self.head <= after and not self.is_stopping:
            await self._wakes.wait(timeout_ms=timeout_ms)

    def stop(self) -> None:
        """Streams end with a word; new ones are refused."""
        self.is_stopping = True
        self._rest()
        self._wakes.all_at_once()

    def _begin(self) -> None:
        """The tail starts empty at the present head: older events come from the tables."""
        with self._state.view() as view:
            self.head = queries.events_edge(view).head
        self._tail_start = self.head
        self._task = asyncio.get_running_loop().create_task(self._run(), name="event-feed")

    def _rest(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._clear()

    def _clear(self) -> None:
        self._events.clear()
        self._ids.clear()
        self._bytes = 0
        self._portions.forget()

    async def _run(self) -> None:
        """Supervised: a defect here must not end the server; readers wait until it goes on."""
        while True:
            try:
                await self._follow()
            except (errors.FatalError, errors.PeerStopping):
                return  # The peer ends, and says why itself.
            except Exception:  # noqa: BLE001 - see above
                self._log.error(Diagnostic.EVENT_FEED_FAILED, exc_info=True)
                await asyncio.sleep(1)

    async def _follow(self) -> None:
        seen_index = 0
        while True:
            await self._wait_applied(seen_index + 1)
            with self._state.view() as view:
                seen_index = view.applied_index
                page = self._page(view)
            if page is not None and page.items:
                self._append([EncodedEvent(event) for event in page.items])
                self.head = page.next
                # While there is more to take in, a rest would only make the tail fall behind.
                await self._wakes.round(may_rest=not page.is_more)
            if page is None or page.is_more:
                seen_index = 0
                # Others get the loop between two pages.
                await asyncio.sleep(0)

    async def _wait_applied(self, index: int) -> None:
        """A peer that stops says at once that the index does not come: then the feed rests, so
        that it never turns without giving the loop to others."""
        clock = asyncio.get_running_loop().time
        begun_s = clock()
        if await self._peer.wait_applied(index, timeout_ms=IDLE_WAIT_MS):
            return
        if clock() - begun_s < IDLE_WAIT_MS / 2_000:
            await asyncio.sleep(REST_S)

    def _page(self, view: View) -> queries.EventsPage | None:
        """None when events were removed faster than the feed took them: it goes on from the
        head, and readers find out from the tables."""
        try:
            return queries.events_after(view, self.head, limit=limits.EVENT_SCAN_ITEMS_MAX)
        except errors.HistoryGone:
            self._clear()
            self.head = self._tail_start = queries.events_edge(view).head
            self._wakes.all_at_once()
            return None

    def _append(self, events: list[EncodedEvent]) -> None:
        self._portions.forget()
        self._events.extend(events)
        self._ids.extend(event.id for event in events)
        self._bytes += sum(event.bytes_estimate for event in events)
        if self._bytes <= limits.EVENT_TAIL_BYTES_MAX:
            return
        target = limits.EVENT_TAIL_BYTES_MAX * (DROPPED_AT_ONCE - 1) // DROPPED_AT_ONCE
        dropped = 0
        while self._bytes > target:
            self._bytes -= self._events[dropped].bytes_estimate
            dropped += 1
        self._tail_start = self._ids[dropped - 1]
        del self._events[:dropped]
        del self._ids[:dropped]
