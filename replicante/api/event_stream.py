"""Writes events to one reader for as long as it reads: NDJSON or server-sent events.

Called by `routes_events`. The reader's place in the log is the only state, so nothing is buffered
for a slow one: it is simply further behind, and is cut off when it takes nothing at all. Every end
that we choose is a last event that says why and where to resume.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from replicante import errors
from replicante.api import answers
from replicante.api.call import Call, Reply
from replicante.api.event_lines import end_line, heartbeat_line
from replicante.api.event_portions import Portion
from replicante.api.negotiate import Media
from replicante.ids import format_stamp
from replicante.state import queries
from replicante.state.eventlog import EventFilter
from replicante.telemetry.diagnostics import Diagnostic
from replicante.wire.events import Heartbeat, StreamEnd, StreamEvent
from replicante.wire.headers import Consistency

if TYPE_CHECKING:
    from replicante.api.context import Context

LAST_WORD_MS = 1_000
"""How long a reader that was cut off may take to read the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOrder:
    """after: where to begin. items_max: end after so many events, None never."""

    after: int
    where: EventFilter
    items_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    event: StreamEvent
    reason: str
    detail: str
    floor: int | None = None


_ENOUGH = _End(event=StreamEvent.END, reason="limit", detail="As many events as asked for.")
_STOPPING = _End(
    event=StreamEvent.END, reason="stopping", detail="This peer stops. Resume on another peer."
)
_QUARANTINED = _End(
    event=StreamEvent.STALE,
    reason="quarantined",
    detail="The state of this peer is not to be believed. Resume on another peer.",
)
_SLOW = _End(
    event=StreamEvent.END,
    reason="slow_reader",
    detail="Nothing was read for too long. Resume from the last id.",
)


async def stream(ctx: Context, call: Call, order: StreamOrder) -> web.StreamResponse:
    """Returns when the stream is over. Raises HistoryGone and TooManyStreams before its first
    byte; afterwards ConnectionError and CancelledError when the reader hangs up."""
    with ctx.feed.reader():
        with ctx.state.view() as view:
            queries.events_after(view, order.after, limit=1)
        run = _Stream(ctx, call, order)
        return await run.run()


class _Stream:
    def __init__(self, ctx: Context, call: Call, order: StreamOrder) -> None:
        self._ctx = ctx
        self._call = call
        self._order = order
        self._after = order.after
        self._sent_count = 0
        self._format = "sse" if call.media is Media.EVENT_STREAM else "ndjson"
        now_ms = ctx.clock.monotonic_ms()
        self._started_ms = now_ms
        self._written_ms = now_ms
        self._touched_ms = now_ms
        """When this peer was last provably in touch with the others."""
        self._response = self._new_response()

    async def run(self) -> web.StreamResponse:
        metrics, log = self._ctx.metrics, self._ctx.log
        metrics.streams.labels(self._format).inc()
        log.debug(
            Diagnostic.STREAM_OPENED,
            request_id=self._call.request_id,
            format=self._format,
            after=format_stamp(self._after),
        )
        reason = "hung_up"
        try:
            await self._response.prepare(self._call.request)
            end = await self._until_end()
            reason = end.reason
            await self._say_end(end)
        finally:
            metrics.streams.labels(self._format).dec()
            metrics.streams_ended.labels(self._format, reason).inc()
            log.debug(
                Diagnostic.STREAM_CLOSED,
                request_id=self._call.request_id,
                format=self._format,
                reason=reason,
                sent_count=self._sent_count,
                duration_ms=self._ctx.clock.monotonic_ms() - self._started_ms,
            )
        return self._response

    async def _until_end(self) -> _End:
        # An early first word: proxies and readers learn at once that the stream stands.
        if not await self._beat():
            return _SLOW
        while True:
            if self._ctx.feed.is_stopping:
                return _STOPPING
            stale = self._stale_end()
            if stale is not None:
                return stale
            begun = self._after
            try:
                portion = self._next_portion()
            except errors.HistoryGone as exc:
                return _gone(exc)
            if portion.data and not await self._send(portion):
                return _SLOW
            self._after = max(self._after, portion.place)
            if self._is_enough():
                return _ENOUGH
            if self._silent_ms() >= self._ctx.settings.heartbeat_ms and not await self._beat():
                return _SLOW
            if self._after in (begun, self._ctx.feed.head):
                await self._ctx.feed.wait_beyond(self._after, timeout_ms=self._patience_ms())
            else:
                # A write that fits the socket's buffer does not wait: give the loop to others here.
                await asyncio.sleep(0)

    def _next_portion(self) -> Portion:
        order = self._order
        left = None if order.items_max is None else order.items_max - self._sent_count
        return self._ctx.feed.portion(
            self._after, where=order.where, media=self._call.media, count_max=left
        )

    async def _send(self, portion: Portion) -> bool:
        """False when the reader takes nothing."""
        if not await self._write(portion.data):
            return False
        self._sent_count += portion.count
        self._ctx.metrics.events_sent.labels(self._format).inc(portion.count)
        return True

    def _silent_ms(self) -> int:
        return self._ctx.clock.monotonic_ms() - self._written_ms

    def _patience_ms(self) -> int:
        """Until the next heartbeat, or until the stream may have become stale."""
        settings = self._ctx.settings
        fresh_ms = self._ctx.clock.monotonic_ms() - self._touched_ms
        beat_in_ms = settings.heartbeat_ms - self._silent_ms()
        return max(1, min(beat_in_ms, settings.stale_stream_ms - fresh_ms + 1))

    async def _beat(self) -> bool:
        beat = Heartbeat(
            type=StreamEvent.HEARTBEAT.value,
            index=self._ctx.peer.applied_index,
            staleness_ms=self._ctx.peer.staleness_ms(),
            after=format_stamp(self._after),
        )
        return await self._write(heartbeat_line(self._call.media, beat))

    def _is_enough(self) -> bool:
        return self._order.items_max is not None and self._sent_count >= self._order.items_max

    def _stale_end(self) -> _End | None:
        if self._ctx.presence.status().quarantine is not None:
            return _QUARANTINED
        now_ms = self._ctx.clock.monotonic_ms()
        staleness_ms = self._ctx.peer.staleness_ms()
        if staleness_ms is not None:
            self._touched_ms = max(self._touched_ms, now_ms - staleness_ms)
        if now_ms - self._touched_ms <= self._ctx.settings.stale_stream_ms:
            return None
        return _End(
            event=StreamEvent.STALE,
            reason="out_of_touch",
            detail="This peer lost touch with the others. Resume on another peer.",
        )

    async def _say_end(self, end: _End) -> None:
        body = StreamEnd(
            type=end.event.value,
            reason=end.reason,
            detail=end.detail,
            after=format_stamp(self._after),
            floor=None if end.floor is None else format_stamp(end.floor),
        )
        line = end_line(self._call.media, body)
        if end is not _SLOW:
            await self._write(line)
            return
        # The reader may still find the reason, but nothing waits for it.
        transport = self._call.request.transport
        if transport is not None:
            transport.write(_chunk(line))
            loop = asyncio.get_running_loop()
            loop.call_later(LAST_WORD_MS / 1_000, transport.abort)
            transport.close()
        raise ConnectionResetError("the reader was too slow")

    async def _write(self, data: bytes) -> bool:
        try:
            async with asyncio.timeout(self._ctx.settings.write_ms_max / 1_000):
                await self._response.write(data)
                # Small writes may be kept back until more comes; readers wait for each.
                await self._call.request.writer.drain()
        except TimeoutError:
            return False
        self._written_ms = self._ctx.clock.monotonic_ms()
        return True

    def _new_response(self) -> web.StreamResponse:
        reply = Reply(
            consistency=Consistency.STALE,
            staleness_ms=self._ctx.peer.staleness_ms(),
            headers={"X-Accel-Buffering": "no"},
        )
        found = answers.peer_headers(self._ctx, reply, request_id=self._call.request_id)
        found["Content-Type"] = f"{self._call.media.value}; charset=utf-8"
        response = web.StreamResponse(status=200, headers=found)
        response.enable_chunked_encoding()
        return response


def _gone(exc: errors.HistoryGone) -> _End:
    floor = exc.details.get("floor")
    return _End(
        event=StreamEvent.GONE,
        reason=exc.code,
        detail="Events after the last id are no longer kept: read the state, then follow from the "
        "index of that answer.",
        floor=None if floor is None else int(floor),
    )


def _chunk(data: bytes) -> bytes:
    """One piece of a chunked body, and its end."""
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
