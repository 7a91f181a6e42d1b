"""What can be asked about leases. Pure; one function each, bounded, over a View.

Called by `api`.
"""

from __future__ import annotations

import msgspec

from replicante.ids import Stamp
from replicante.limits import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX
from replicante.state import leases, tables
from replicante.state.queries import counters, fits
from replicante.storage.keys import decode_key, prefix_range
from replicante.storage.kv import Reader


class LeaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One lease that is held."""

    name: str
    token: Stamp
    owner: bytes
    """Canonical bytes of a map."""
    duration_ms: int
    deadline_ms: int
    """Cluster time at which it ends when it is not renewed."""
    acquired_ms: int


class LeasePage(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[LeaseRecord, ...]
    """By name, in byte order."""
    next: str | None
    """`after` of the next page; None when this was the last."""


def lease_get(reader: Reader, name: str) -> LeaseRecord | None:
    """None when nobody holds it."""
    if not fits(name):
        return None
    row = leases.held(reader, name, clock_ms=counters(reader).clock_ms)
    return None if row is None else _record(name, row)


def lease_list(
    reader: Reader, *, prefix: str = "", after: str | None = None, limit: int = PAGE_ITEMS_DEFAULT
) -> LeasePage:
    """Leases that are held, whose name begins with `prefix` and is greater than `after`. A page
    looks at `limit` rows, so it may hold fewer, and still have a next one."""
    assert 1 <= limit <= PAGE_ITEMS_MAX
    if not fits(prefix) or not fits(after or ""):
        return LeasePage(items=(), next=None)
    start, end = prefix_range(tables.LEASES + prefix.encode())
    if after is not None:
        start = max(start, tables.lease_key(after) + b"\x00")
    clock_ms = counters(reader).clock_ms
    items: list[LeaseRecord] = []
    place = ""
    if start < end:
        for count, (key, raw) in enumerate(reader.scan(start, end)):
            if count == limit:
                return LeasePage(items=tuple(items), next=place)
            (place,) = decode_key(key, str)
            row = tables.read_lease_row(raw)
            if row.deadline_ms > clock_ms:
                items.append(_record(place, row))
    return LeasePage(items=tuple(items), next=None)


def _record(name: str, row: tables.LeaseRow) -> LeaseRecord:
    return LeaseRecord(
        name=name,
        token=Stamp(row.token),
        owner=row.owner,
        duration_ms=row.duration_ms,
        deadline_ms=row.deadline_ms,
        acquired_ms=row.acquired_ms,
    )
