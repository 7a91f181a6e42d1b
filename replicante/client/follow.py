"""Follows the event log through the loss of any peer, without a gap and without a duplicate.

Called by `events`. Proof: ids are stamps, equal and ordered alike on all peers; the stream is
resumed after the last id that was delivered, an id that is not above it is dropped, and in an
unfiltered stream `seq` counts every event, so a missing one is seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import aiohttp

from replicante import errors, limits
from replicante.client.calls import Calls
from replicante.client.event_lines import EventLines, Line
from replicante.client.notes import Note, NoteKind
from replicante.client.options import EventFilter
from replicante.client.retry import Failure, FailureKind, Verdict, judge, pause_ms
from replicante.client.transport import AnswerLost, failure_of, failure_of_answer, url_of
from replicante.wire import headers as names
from replicante.wire import paths
from replicante.wire.events import Event, Heartbeat, StreamEvent

HEAD = "head"
"""As `after`: only what is to come. The first heartbeat says where that begins."""
GAPS_MAX = 3
"""A gap at the same place again and again is in the log, not in the connection."""
UNREADABLE_MAX = 3
"""And so is a line that cannot be read."""


class _Lost(Exception):
    """This connection is over; the next one resumes. The message is the reason."""


class Follow:
    """One followed stream. Use `events` once; it is not for several tasks."""

    def __init__(
        self,
        calls: Calls,
        *,
        after: str | None,
        wanted: EventFilter,
        give_up_ms: int | None,
        silence_ms: int,
    ) -> None:
        self._calls = calls
        self._after = after
        self._wanted = wanted
        self._give_up_ms = give_up_ms
        self._silence_ms = silence_ms
        self._seq: int | None = None
        self._gaps_count = 0
        self._unreadable_count = 0
        self._alive_ms = calls.clock.monotonic_ms()
        self._tried: set[str] = set()
        self._rounds_count = 0
        self._was_lost = False

    async def events(self) -> AsyncGenerator[Event, None]:
        """Raises `HistoryGone` when the next events are no longer kept, `Unreachable` when nothing
        came for give_up_ms, `BadAnswer` when the log itself has a gap, or a line that nobody can
        read."""
        reason = "nothing was tried"
        while True:
            endpoint = await self._choose(reason)
            try:
                async with aclosing(self._stream(endpoint)) as stream:
                    async for event in stream:
                        yield event
            except _Lost as exc:
                reason = str(exc)
            self._tried.add(endpoint)
            self._was_lost = True
            self._note(NoteKind.STREAM_LOST, endpoint, reason)

    async def _choose(self, reason: str) -> str:
        while True:
            now_ms = self._calls.clock.monotonic_ms()
            if self._give_up_ms is not None and now_ms - self._alive_ms > self._give_up_ms:
                raise errors.Unreachable(
                    f"No endpoint has delivered events for {self._give_up_ms} ms ({reason})."
                )
            endpoint = self._calls.endpoints.next(self._tried, now_ms=now_ms)
            if endpoint is not None:
                return endpoint
            self._tried.clear()
            self._rounds_count += 1
            wait_ms = pause_ms(
                self._rounds_count, retry_after_ms=0, fraction=self._calls.entropy.fraction()
            )
            await asyncio.sleep(wait_ms / 1000)

    async def _stream(self, endpoint: str) -> AsyncGenerator[Event, None]:
        """The events of one connection. Ends with `_Lost`, or with an error that no other peer
        would answer differently."""
        response = await self._connect(endpoint)
        async with response:
            lines = EventLines()
            while True:
                found = lines.feed(await self._chunk(endpoint, response))
                while (line := self._next(endpoint, found)) is not None:
                    event = self._take(endpoint, line)
                    if event is not None:
                        yield event

    async def _connect(self, endpoint: str) -> aiohttp.ClientResponse:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=limits.CLIENT_CONNECT_MS_MAX / 1000
        )
        try:
            async with asyncio.timeout(self._silence_ms / 1000):
                response = await self._calls.transport.session.get(
                    url_of(endpoint, paths.EVENTS, self._query()),
                    headers={"Accept": names.NDJSON},
                    timeout=timeout,
                    allow_redirects=False,
                )
                if response.status == 200:
                    return response
                async with response:
                    body = await response.content.read(limits.CLIENT_ANSWER_BYTES_MAX)
        except (aiohttp.ClientError, AnswerLost, OSError) as exc:
            raise self._lost(
                endpoint, failure_of(exc, endpoint, budget_ms=self._silence_ms)
            ) from exc
        raise self._lost(
            endpoint, failure_of_answer(endpoint, response.status, response.headers, body)
        )

    async def _chunk(self, endpoint: str, response: aiohttp.ClientResponse) -> bytes:
        try:
            async with asyncio.timeout(self._silence_ms / 1000):
                chunk = await response.content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise self._lost(
                endpoint, failure_of(exc, endpoint, budget_ms=self._silence_ms)
            ) from exc
        if not chunk:
            raise _Lost("the stream ended without a word")
        return chunk

    def _next(self, endpoint: str, lines: Iterator[Line]) -> Line | None:
        try:
            return next(lines, None)
        except errors.BadAnswer as exc:
            raise self._unreadable(endpoint, exc) from exc

    def _unreadable(self, endpoint: str, found: errors.BadAnswer) -> _Lost | errors.BadAnswer:
        self._unreadable_count += 1
        if self._unreadable_count < UNREADABLE_MAX:
            return _Lost(found.message)
        place = "at its beginning" if self._after is None else f"after event {self._after}"
        return errors.BadAnswer(f"The event log of {endpoint} goes on {place}: {found.message}")

    def _take(self, endpoint: str, line: Line) -> Event | None:
        """The event to deliver, if the line is one that was not delivered yet."""
        if isinstance(line, Event):
            return self._take_event(endpoint, line)
        if isinstance(line, Heartbeat):
            self._alive(endpoint)
            if line.after > self._bound():
                self._after = line.after
            return None
        if line.type == StreamEvent.GONE.value:
            raise errors.HistoryGone(
                line.detail,
                hints=["Read the state, then follow from the index of that answer."],
                after=self._after,
                floor=line.floor,
            )
        raise _Lost(f"the peer ended the stream: {line.reason}")

    def _take_event(self, endpoint: str, event: Event) -> Event | None:
        # Stamps are texts of one length, so their order is the order of texts.
        if event.id <= self._bound():
            return None
        if self._wanted.lets_all_pass and self._seq is not None and event.seq != self._seq + 1:
            self._gaps_count += 1
            gap = f"after event {self._after} (seq {self._seq}) came {event.id} (seq {event.seq})"
            if self._gaps_count >= GAPS_MAX:
                raise errors.BadAnswer(f"The event log of {endpoint} has a gap: {gap}.")
            raise _Lost(f"a gap: {gap}")
        self._gaps_count = self._unreadable_count = 0
        self._after, self._seq = event.id, event.seq
        self._calls.see(event.index)
        self._alive(endpoint)
        return event

    def _bound(self) -> str:
        """The last id that is known; every event that is wanted is above it."""
        return "" if self._after in (None, HEAD) else self._after

    def _alive(self, endpoint: str) -> None:
        self._alive_ms = self._calls.clock.monotonic_ms()
        self._tried.clear()
        self._rounds_count = 0
        if self._was_lost:
            self._was_lost = False
            self._note(NoteKind.STREAM_RESUMED, endpoint, f"after event {self._after}")

    def _lost(self, endpoint: str, failure: Failure) -> _Lost | errors.ReplicanteError:
        if failure.kind is not FailureKind.PROBLEM:
            self._calls.endpoints.failed(endpoint, now_ms=self._calls.clock.monotonic_ms())
        if judge(failure, is_repeatable=True) is Verdict.RAISE:
            return failure.error
        return _Lost(failure.error.message)

    def _query(self) -> list[tuple[str, str]]:
        place = [] if self._after is None else [(names.Q_AFTER, self._after)]
        return [*place, *filter_query(self._wanted)]

    def _note(self, kind: NoteKind, endpoint: str, detail: str) -> None:
        self._calls.observe(Note(kind=kind, endpoint=endpoint, detail=detail))


def filter_query(wanted: EventFilter) -> list[tuple[str, str]]:
    """The parameters that say which events are wanted."""
    found = {
        names.Q_CODE: wanted.code,
        names.Q_NS: wanted.ns,
        names.Q_CLUSTER: wanted.cluster,
        names.Q_KEY: wanted.key,
    }
    return [(name, value) for name, value in found.items() if value is not None]
