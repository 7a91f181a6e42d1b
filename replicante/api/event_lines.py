"""The bytes of an event in each format. Pure apart from what it remembers; called by the feed, the
streams and the pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from replicante.api.negotiate import Media
from replicante.ids import format_stamp
from replicante.state import eventlog
from replicante.wire.chain import LAST_TIME
from replicante.wire.events import Event, Heartbeat, StreamEnd, StreamEvent

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


class EncodedEvent:
    """An event of the log with the lines that were made of it."""

    __slots__ = ("_ndjson", "_sse", "bytes_estimate", "event", "id")

    def __init__(self, event: eventlog.Event) -> None:
        self.event = event
        self.id: int = event.id
        # Decoded, and as a line in up to two formats.
        self.bytes_estimate = 800 + 4 * len(event.payload)
        self._ndjson: bytes | None = None
        self._sse: bytes | None = None

    def line(self, media: Media) -> bytes:
        """For NDJSON or SSE."""
        if self._ndjson is None:
            self._ndjson = _encode(wire_event(self.event)) + b"\n"
        if media is Media.NDJSON:
            return self._ndjson
        if self._sse is None:
            # JSON has no raw line breaks, so the event is one data line.
            self._sse = b"id: %019d\ndata: %b\n" % (self.id, self._ndjson)
        return self._sse


def wire_event(event: eventlog.Event) -> Event:
    return Event(
        id=format_stamp(event.id),
        seq=event.seq,
        chain=event.chain.hex(),
        index=event.index,
        code=event.code,
        time=rfc3339(event.wall_ms),
        clock_ms=event.clock_ms,
        ns=event.ns,
        cluster=event.cluster,
        key=event.key,
        payload=event.payload_value(),
        cause=event.cause,
    )


def heartbeat_line(media: Media, beat: Heartbeat) -> bytes:
    return _control_line(media, beat, StreamEvent.HEARTBEAT, after=beat.after)


def end_line(media: Media, end: StreamEnd) -> bytes:
    return _control_line(media, end, StreamEvent(end.type), after=end.after)


def rfc3339(wall_ms: int) -> str:
    """UTC with milliseconds; a clock beyond the year 9999 is shown as its last moment."""
    try:
        moment = _EPOCH + timedelta(milliseconds=wall_ms)
    except OverflowError:
        return LAST_TIME
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _control_line(
    media: Media, body: Heartbeat | StreamEnd, name: StreamEvent, *, after: str
) -> bytes:
    line = _encode(body) + b"\n"
    if media is Media.NDJSON:
        return line
    return b"event: %b\nid: %b\ndata: %b\n" % (name.value.encode(), after.encode(), line)
