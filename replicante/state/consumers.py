"""Named consumers of the event log: their rows, what they hold, what can be asked of them. Pure.

Called by `apply_consumers` (writes), `sweeps` (what may be trimmed), `api` and `invariants`.

Rules: a live consumer's position is never below the floor, so nothing that it still has to read is
trimmed. An expired one keeps its row, so that whoever comes back under its name is told and not
served from the middle of what it missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgpack
import msgspec

from replicante.errors import FatalError
from replicante.ids import Stamp
from replicante.limits import NAME_BYTES_MAX
from replicante.state.eventlog import read_event
from replicante.state.tables import CONSUMERS, EVENTS, Counters, event_key
from replicante.storage.keys import decode_key, encode_key, prefix_range
from replicante.storage.kv import Reader

_LAYOUT: Final = 1
_pack = msgpack.Packer(use_bin_type=True).pack


class ConsumerRow(msgspec.Struct, frozen=True, kw_only=True):
    position: int
    """Everything up to this id was handled."""
    revision: int
    """Of its last write, the expiry too."""
    seen_ms: int
    """Cluster time at which it last said something."""
    is_expired: bool = False

    def to_row(self) -> bytes:
        row: bytes = _pack((_LAYOUT, self.position, self.revision, self.seen_ms, self.is_expired))
        return row


class ConsumerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One consumer as readers see it."""

    name: str
    position: Stamp
    revision: Stamp
    silent_ms: int
    """Cluster time since it last said something."""
    is_expired: bool
    lag_count: int
    """Events after its position that are kept; of an expired one there were more."""


def consumer_key(name: str) -> bytes:
    return encode_key(CONSUMERS, name)


def read_consumer_row(row: bytes) -> ConsumerRow:
    """Raises FatalError when the row is no consumer."""
    layout, *fields = msgpack.unpackb(row)
    if layout != _LAYOUT or len(fields) != 4:
        raise FatalError(f"a consumer row of layout {layout} with {len(fields)} fields")
    position, revision, seen_ms, is_expired = fields
    return ConsumerRow(position=position, revision=revision, seen_ms=seen_ms, is_expired=is_expired)


def consumer_rows(reader: Reader) -> Iterator[tuple[str, ConsumerRow]]:
    """All, by name; at most CONSUMERS_MAX."""
    for key, row in reader.scan(*prefix_range(CONSUMERS)):
        yield decode_key(key, str)[0], read_consumer_row(row)


class ConsumerPlaces:
    """Where the consumers are, read off the rows at start and kept up by `apply_consumers`, so that
    an entry reads no rows to know what it may trim. No state of its own."""

    __slots__ = ("_live", "_lowest", "_oldest_ms", "count")

    def __init__(self, reader: Reader) -> None:
        rows = dict(consumer_rows(reader))
        self.count = len(rows)
        """Expired ones too."""
        self._live = {
            name: (row.position, row.seen_ms) for name, row in rows.items() if not row.is_expired
        }
        self._settle()

    def note(self, name: str, row: ConsumerRow | None) -> None:
        """The consumer is as in this row now; None: it is gone."""
        if row is None or row.is_expired:
            self._live.pop(name, None)
        else:
            self._live[name] = (row.position, row.seen_ms)
        self._settle()

    def _settle(self) -> None:
        live = self._live
        self._lowest = min(((place, name) for name, (place, _) in live.items()), default=None)
        self._oldest_ms = min((seen_ms for _, seen_ms in live.values()), default=None)

    @property
    def lowest(self) -> tuple[int, str] | None:
        """Position and name of the live consumer that is furthest behind; the first by name of
        several."""
        return self._lowest

    @property
    def oldest_seen_ms(self) -> int | None:
        """When the live consumer that is silent for longest last said something."""
        return self._oldest_ms

    def silent_since(self, seen_ms: int) -> list[str]:
        """Live consumers that said nothing after this cluster time, by name."""
        return sorted(name for name, (_, last_ms) in self._live.items() if last_ms <= seen_ms)


def consumer_get(reader: Reader, name: str, *, now: Counters) -> ConsumerRecord | None:
    """name: any text; one that admission would refuse is simply not there."""
    if not 0 < len(name.encode("utf-8", "surrogatepass")) <= NAME_BYTES_MAX:
        return None
    row = reader.get(consumer_key(name))
    return None if row is None else _record(reader, name, read_consumer_row(row), now)


def consumer_list(reader: Reader, *, now: Counters) -> tuple[ConsumerRecord, ...]:
    """All, by name; at most CONSUMERS_MAX."""
    return tuple(_record(reader, name, row, now) for name, row in consumer_rows(reader))


def _record(reader: Reader, name: str, row: ConsumerRow, now: Counters) -> ConsumerRecord:
    return ConsumerRecord(
        name=name,
        position=Stamp(row.position),
        revision=Stamp(row.revision),
        silent_ms=max(0, now.clock_ms - row.seen_ms),
        is_expired=row.is_expired,
        lag_count=now.events_seq - _seq_at(reader, row.position, now),
    )


def _seq_at(reader: Reader, position: int, now: Counters) -> int:
    """seq of the last kept event up to a position; of the floor when there is none."""
    for _, row in reader.scan(EVENTS, event_key(position + 1), is_reversed=True):
        return read_event(row).seq
    return now.events_seq - now.events_count
