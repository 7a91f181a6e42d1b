"""What can be read from the replicated state. Pure functions over a View; nothing is changed.

Called by `api` and workers between two awaits: take a view, ask, close it. Every function reads a
bounded number of rows. Values come as canonical bytes: `model.codec.load_value` makes them values.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from replicante.errors import HistoryForked, HistoryGone
from replicante.ids import Stamp, format_stamp
from replicante.limits import (
    EVENT_SCAN_ITEMS_MAX,
    KV_KEY_BYTES_MAX,
    PAGE_BYTES_MAX,
    PAGE_ITEMS_DEFAULT,
    PAGE_ITEMS_MAX,
)
from replicante.model.labels import Selector, holds
from replicante.model.objects import SCOPE_NAMES, ObjectKind, StoredObject
from replicante.state import leases, tables
from replicante.state.eventlog import Event, EventFilter, read_event
from replicante.state.forks import fork_of
from replicante.state.tables import Counters, RequestRecord, Retention
from replicante.storage.keys import decode_key, encode_prefix, encoded_key_bytes, prefix_range
from replicante.storage.kv import Reader


class KvRecord(msgspec.Struct, frozen=True, kw_only=True):
    key: bytes
    value: bytes
    """Canonical bytes."""
    revision: Stamp
    lease: Stamp | None = None
    """Token of the grant that the record is bound to."""


class KvPage(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[KvRecord, ...]
    """In byte order of their keys."""
    next: bytes | None
    """`after` of the next page; None when this was the last."""


class ObjectPage(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[StoredObject, ...]
    next: tuple[str, ...] | None
    """`after` of the next page; None when this was the last."""


class EventsEdge(msgspec.Struct, frozen=True, kw_only=True):
    """Where the event log begins and ends."""

    floor: Stamp
    """Everything after this id is kept: the lowest `after` that is answered; 0: nothing was ever
    removed."""
    head: Stamp
    """id of the last event; 0 when there is none."""
    seq: int
    chain: bytes
    """Of the last event."""
    count: int
    bytes: int


class EventsPage(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[Event, ...]
    next: Stamp
    """`after` (or `before`) of the next page; it passes over events that the filter left out."""
    is_more: bool
    """True: the page ended at one of its bounds, ask again at once. False: that was all."""
    floor: Stamp
    head: Stamp


class StateSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The state in numbers, for status answers and metrics."""

    applied_index: int
    feature_level: int
    clock_ms: int
    events: EventsEdge
    retention: Retention
    kv_count: int
    kv_bytes: int
    objects_count: int
    requests_count: int
    requests_horizon_ms: int
    """Outcomes recorded up to this cluster time may be forgotten; −1: none is."""


def kv_get(reader: Reader, key: bytes) -> KvRecord | None:
    """key: any bytes; one that admission would refuse is simply not there."""
    if not 0 < len(key) <= KV_KEY_BYTES_MAX:
        return None
    row = reader.get(tables.kv_key(key))
    if row is not None and tables.kv_lease(row) is not None:
        row = leases.present_row(reader, row, clock_ms=counters(reader).clock_ms)
    return None if row is None else _kv_record(key, row)


def kv_range(
    reader: Reader,
    *,
    prefix: bytes = b"",
    within: tuple[bytes, bytes | None] = (b"", None),
    after: bytes | None = None,
    limit: int = PAGE_ITEMS_DEFAULT,
    bytes_max: int = PAGE_BYTES_MAX,
) -> KvPage:
    """Records whose key begins with `prefix`, is not below the first of `within` and below the
    second (None: no bound), and is greater than `after`.

    limit: 1 to PAGE_ITEMS_MAX.  A page ends before the record that would take its rows beyond
    bytes_max, but always holds one record when there is one.
    """
    assert 1 <= limit <= PAGE_ITEMS_MAX
    if len(prefix) > KV_KEY_BYTES_MAX:
        return KvPage(items=(), next=None)
    start, end = prefix_range(tables.kv_key(prefix))
    # A key is at most KV_KEY_BYTES_MAX long, so it differs from an overlong bound within these.
    low, high = (None if it is None else it[: KV_KEY_BYTES_MAX + 1] for it in within)
    start = max(start, tables.kv_key(low or b""))
    if high is not None:
        end = min(end, tables.kv_key(high))
    if after is not None:
        # No key is longer than the bound, so one that is greater than `after` is also greater
        # than what the bound leaves of it; and no store is asked for an overlong row key.
        start = max(start, tables.kv_key(after[:KV_KEY_BYTES_MAX]) + b"\x00")
    items: list[KvRecord] = []
    size = 0
    clock_ms = counters(reader).clock_ms
    place = b""
    if start < end:
        for count, (key, row) in enumerate(reader.scan(start, end)):
            size += len(key) + len(row)
            # Records whose lease is over count for the bounds: a page reads so many rows.
            if count == limit or (count and size > bytes_max):
                return KvPage(items=tuple(items), next=place)
            place = key[1:]
            if leases.present_row(reader, row, clock_ms=clock_ms) is not None:
                items.append(_kv_record(place, row))
    return KvPage(items=tuple(items), next=None)


def object_get(reader: Reader, kind: ObjectKind, scope: tuple[str, ...]) -> StoredObject | None:
    """scope: names; ones that admission would refuse name nothing."""
    if not fits(*scope):
        return None
    row = reader.get(tables.object_key(kind, scope))
    return None if row is None else tables.stored_object(kind, scope, row)


def object_list(
    reader: Reader,
    kind: ObjectKind,
    *,
    within: tuple[str, ...] = (),
    after: tuple[str, ...] | None = None,
    limit: int = PAGE_ITEMS_DEFAULT,
    bytes_max: int = PAGE_BYTES_MAX,
    selector: Selector = (),
) -> ObjectPage:
    """Objects of one kind in the order of their scopes, those whose scope begins with the names
    `within` and is greater than `after`, and that the selector chooses. Bounds as kv_range; what
    the selector left out counts, so a page may hold fewer, and still have a next one."""
    assert 1 <= limit <= PAGE_ITEMS_MAX
    if not fits(*within) or not fits(*(after or ())):
        return ObjectPage(items=(), next=None)
    shape = (str,) * len(SCOPE_NAMES[kind])
    start, end = prefix_range(encode_prefix(tables.OBJECT_TABLES[kind], *within))
    if after is not None:
        start = max(start, tables.object_key(kind, after) + b"\x00")
    items: list[StoredObject] = []
    size = 0
    scope: tuple[str, ...] = ()
    if start < end:
        for count, (key, row) in enumerate(reader.scan(start, end)):
            size += len(key) + len(row)
            if count == limit or (count and size > bytes_max):
                return ObjectPage(items=tuple(items), next=scope)
            scope = tuple(str(name) for name in decode_key(key, *shape))
            stored = tables.stored_object(kind, scope, row)
            if holds(selector, stored.labels):
                items.append(stored)
    return ObjectPage(items=tuple(items), next=None)


def events_after(
    reader: Reader,
    after: int,
    *,
    limit: int = PAGE_ITEMS_DEFAULT,
    where: EventFilter | None = None,
    scan_max: int = EVENT_SCAN_ITEMS_MAX,
    bytes_max: int = PAGE_BYTES_MAX,
) -> EventsPage:
    """Events with an id greater than `after`, oldest first, that pass the filter.

    after: any stamp; 0 begins at the first event ever; beyond the head: an empty page whose `next`
    is `after`.  At most scan_max events are looked at.
    Raises HistoryGone, with the floor, when events after `after` were removed, HistoryForked when
    it is of a history that a recovery cut: never silence.
    """
    assert 1 <= limit <= PAGE_ITEMS_MAX and scan_max > 0
    edge = events_edge(reader)
    check_history(reader, after)
    if after < edge.floor:
        raise HistoryGone(floor=format_stamp(edge.floor), head=format_stamp(edge.head))
    start, end = tables.event_key(after + 1), prefix_range(tables.EVENTS)[1]
    rows = reader.scan(start, end)
    found = _read_events(rows, limit=limit, where=where, scan_max=scan_max, bytes_max=bytes_max)
    place = after if found.last is None else found.last
    return EventsPage(
        items=found.items,
        next=Stamp(place),
        is_more=found.is_more,
        floor=edge.floor,
        head=edge.head,
    )


def events_before(
    reader: Reader,
    before: int,
    *,
    limit: int = PAGE_ITEMS_DEFAULT,
    where: EventFilter | None = None,
    scan_max: int = EVENT_SCAN_ITEMS_MAX,
    bytes_max: int = PAGE_BYTES_MAX,
) -> EventsPage:
    """Events with an id lower than `before`, newest first, that pass the filter.

    before: any stamp; beyond the head begins with the newest.  `next` is the `before` of the page
    that follows; it is the floor when that was all that is kept.  At most scan_max events are
    looked at.  Raises HistoryGone for a place below the floor: what came before it was removed,
    perhaps since it was given.
    """
    assert 1 <= limit <= PAGE_ITEMS_MAX and scan_max > 0
    edge = events_edge(reader)
    if before < edge.floor:
        raise HistoryGone(floor=format_stamp(edge.floor), head=format_stamp(edge.head))
    rows = reader.scan(tables.EVENTS, tables.event_key(before), is_reversed=True)
    found = _read_events(rows, limit=limit, where=where, scan_max=scan_max, bytes_max=bytes_max)
    place = found.last if found.is_more and found.last is not None else edge.floor
    return EventsPage(
        items=found.items,
        next=Stamp(place),
        is_more=found.is_more,
        floor=edge.floor,
        head=edge.head,
    )


def check_history(reader: Reader, stamp: int) -> None:
    """Raises HistoryForked, with the event ids between which nothing is left, for a stamp of a
    history that a recovery cut."""
    fork = fork_of(reader, stamp)
    if fork is not None:
        edge = events_edge(reader)
        raise HistoryForked(
            last_common=format_stamp(fork.last_event),
            first_new=format_stamp(fork.first_event),
            floor=format_stamp(edge.floor),
            head=format_stamp(edge.head),
        )


def event_get(reader: Reader, event_id: int) -> Event | None:
    row = reader.get(tables.event_key(event_id))
    return None if row is None else read_event(row)


def events_edge(reader: Reader) -> EventsEdge:
    return _edge(counters(reader))


def request_outcome(reader: Reader, idempotency_key: str) -> RequestRecord | None:
    """What became of a request; None: it was never applied, or its outcome is forgotten."""
    if not fits(idempotency_key):
        return None
    row = reader.get(tables.request_key(idempotency_key))
    return None if row is None else tables.read_request_row(row)


def summary(reader: Reader) -> StateSummary:
    now = counters(reader)
    return StateSummary(
        applied_index=now.index,
        feature_level=now.feature_level,
        clock_ms=now.clock_ms,
        events=_edge(now),
        retention=Retention.from_row(reader.get(tables.RETENTION_KEY)),
        kv_count=now.kv_count,
        kv_bytes=now.kv_bytes,
        objects_count=now.objects_count,
        requests_count=now.requests_count,
        requests_horizon_ms=now.requests_horizon_ms,
    )


def counters(reader: Reader) -> Counters:
    return Counters.from_row(reader.get(tables.COUNTERS_KEY))


class _Read(msgspec.Struct, frozen=True, kw_only=True):
    """last: id of the last event that was looked at. is_more: a bound ended it."""

    items: tuple[Event, ...]
    last: int | None
    is_more: bool


def _read_events(
    rows: Iterator[tuple[bytes, bytes]],
    *,
    limit: int,
    where: EventFilter | None,
    scan_max: int,
    bytes_max: int,
) -> _Read:
    """What the filter leaves out counts for the bounds: it is read and decoded, too. One row is
    looked at in any case, so the next page begins further on."""
    items: list[Event] = []
    last, size, is_more = None, 0, False
    for scanned, (_, row) in enumerate(rows):
        size += len(row)
        if len(items) == limit or scanned == scan_max or (scanned and size > bytes_max):
            is_more = True
            break
        event = read_event(row)
        last = event.id
        if where is None or where.passes(event):
            items.append(event)
    return _Read(items=tuple(items), last=last, is_more=is_more)


def _edge(now: Counters) -> EventsEdge:
    return EventsEdge(
        floor=Stamp(now.events_floor),
        head=Stamp(now.events_head),
        seq=now.events_seq,
        chain=now.events_chain,
        count=now.events_count,
        bytes=now.events_bytes,
    )


def fits(*names: str) -> bool:
    """Whether admission would let the names into a row key."""
    return encoded_key_bytes(*names) <= tables.OBJECT_KEY_BYTES_MAX


def _kv_record(key: bytes, row: bytes) -> KvRecord:
    lease = tables.kv_lease(row)
    return KvRecord(
        key=key,
        value=tables.kv_value(row),
        revision=Stamp(tables.kv_revision(row)),
        lease=None if lease is None else Stamp(lease),
    )
