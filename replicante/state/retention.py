"""How much of the event log is kept, how much there is, and who keeps it from shrinking. Pure.

Called by `api`. What is removed, and when, is decided by `sweeps`.
"""

from __future__ import annotations

import msgspec

from replicante.ids import Stamp
from replicante.state import queries, tables
from replicante.state.consumers import ConsumerPlaces
from replicante.state.eventlog import read_event
from replicante.state.tables import Counters, Retention, event_key
from replicante.storage.kv import Reader


class RetentionStatus(msgspec.Struct, frozen=True, kw_only=True):
    bounds: Retention
    kept_count: int
    kept_bytes: int
    floor: Stamp
    head: Stamp
    held_by: str | None
    """The live consumer that stands at the floor while more is kept than the bounds allow."""


def retention_status(reader: Reader) -> RetentionStatus:
    now = queries.counters(reader)
    bounds = Retention.from_row(reader.get(tables.RETENTION_KEY))
    return RetentionStatus(
        bounds=bounds,
        kept_count=now.events_count,
        kept_bytes=now.events_bytes,
        floor=Stamp(now.events_floor),
        head=Stamp(now.events_head),
        held_by=_holder(reader, now, bounds),
    )


def _holder(reader: Reader, now: Counters, bounds: Retention) -> str | None:
    oldest = next(
        reader.scan(event_key(now.events_floor + 1), event_key(now.events_head + 1)), None
    )
    lowest = ConsumerPlaces(reader).lowest
    if oldest is None or lowest is None:
        return None
    event = read_event(oldest[1])
    is_surplus = (
        now.events_count > bounds.count_max
        or now.events_bytes > bounds.bytes_max
        or event.clock_ms + bounds.age_ms_max <= now.clock_ms
    )
    return lowest[1] if is_surplus and lowest[0] < event.id else None
