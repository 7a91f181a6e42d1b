"""Answers of GET /events: a page, a line of NDJSON, a server-sent event."""

from __future__ import annotations

import enum
from typing import Annotated

from replicante import limits
from replicante.wire.shapes import LONGEST_MS, documented, duration, whole
from replicante.wire.values import Answer, Json, Request


class Event(Answer, frozen=True, kw_only=True):
    """One fact. id: stamp, the cursor of the stream. seq: counts every event without gaps. chain:
    running hash (hex), equal on all peers; `wire.chain` says of what. time: RFC 3339 UTC by the
    leader's wall clock. clock_ms: by the cluster clock."""

    id: str
    seq: int
    chain: str
    index: int
    code: str
    time: str
    clock_ms: int
    ns: str | None
    cluster: str | None
    key: str | None
    payload: Json
    cause: Json


class EventsPage(Answer, frozen=True, kw_only=True):
    """next: what to send as `after`, or as `before` when that was asked, to go on; it advances over
    events that the filter left out. Backwards, next = floor says that this was all that is kept.
    floor: the lowest `after` that is answered: everything later is kept. head: newest event that
    this peer has applied."""

    items: tuple[Event, ...]
    next: str
    floor: str
    head: str


class StreamEvent(enum.Enum):
    """Names of server-sent events, and `type` of NDJSON control lines. Facts have no `event:`
    field in SSE (so `onmessage` sees them) and no `type` in NDJSON."""

    HEARTBEAT = "heartbeat"
    """data: Heartbeat."""
    STALE = "stale"
    """data: StreamEnd. This peer lost touch with the others: resume on another peer."""
    END = "end"
    """data: StreamEnd. The peer stops or the reader is too slow: resume from the last id."""
    GONE = "gone"
    """data: StreamEnd. Events after the last id are no longer kept: read the state, then follow
    from its index."""


class Heartbeat(Answer, frozen=True, kw_only=True):
    """type: `heartbeat`. after: nothing that passes the filter exists up to this id: a cursor."""

    type: str
    index: int
    staleness_ms: int | None
    after: str


class StreamEnd(Answer, frozen=True, kw_only=True):
    """type: `stale`, `end` or `gone`. reason: a word for programs; after: where to resume."""

    type: str
    reason: str
    detail: str
    after: str
    floor: str | None = None


class RetentionBody(Request, frozen=True, kw_only=True):
    """How much of the log is kept: so many events, so many bytes, of such an age (`30d`) by the
    cluster clock. Each bound on its own removes the oldest."""

    count: Annotated[int, documented(whole(limits.EVENTS_KEPT_COUNT_MIN, limits.INTEGER_MAX))]
    bytes: Annotated[int, documented(whole(limits.EVENTS_KEPT_BYTES_MIN, limits.INTEGER_MAX))]
    age: Annotated[str, documented(duration(limits.EVENTS_KEPT_MS_MIN, LONGEST_MS))]


class Retention(Answer, frozen=True, kw_only=True):
    """The bounds, and what is kept now. held_by: the consumer that keeps more than the bounds
    allow from being removed, because it has not read it."""

    count: int
    bytes: int
    age: str
    kept_count: int
    kept_bytes: int
    floor: str
    head: str
    held_by: str | None


class RetentionSet(Answer, frozen=True, kw_only=True):
    """revision: stamp of the write."""

    count: int
    bytes: int
    age: str
    revision: str
