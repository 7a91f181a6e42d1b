"""Cuts an NDJSON event stream into events and control lines. Pure; called by `follow`.

Rule: only a whole line counts. What stands after the last line break when a stream is cut may be
half an event; it is forgotten, and asked for again from the last id.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from replicante import limits
from replicante.errors import BadAnswer
from replicante.wire.events import Event, Heartbeat, StreamEnd, StreamEvent

Line = Event | Heartbeat | StreamEnd


class _Kind(msgspec.Struct):
    type: str


class EventLines:
    """Feed it chunks as they come; it gives the lines that became whole."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Raises `BadAnswer` for a line that is no event, and for one that is too long, after the
        lines before it."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for raw in whole:
            line = _parse(raw)
            if line is not None:
                yield line
        if len(self._rest) > limits.CLIENT_EVENT_BYTES_MAX:
            raise BadAnswer("An event is larger than any that a peer sends.")


_decode_event = msgspec.json.Decoder(Event).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_heartbeat = msgspec.json.Decoder(Heartbeat).decode
_decode_end = msgspec.json.Decoder(StreamEnd).decode
_ENDS = (StreamEvent.STALE.value, StreamEvent.END.value, StreamEvent.GONE.value)


def _parse(raw: bytes) -> Line | None:
    """None for an empty line and for a control line of a newer version."""
    if not raw.strip():
        return None
    try:
        return _decode_event(raw)
    except msgspec.ValidationError:
        return _parse_control(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadAnswer(f"A line of the event stream cannot be read: {exc}.") from exc


def _parse_control(raw: bytes) -> Line | None:
    try:
        kind = _decode_kind(raw).type
        if kind == StreamEvent.HEARTBEAT.value:
            return _decode_heartbeat(raw)
        return _decode_end(raw) if kind in _ENDS else None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadAnswer(f"A line of the event stream cannot be read: {exc}.") from exc
