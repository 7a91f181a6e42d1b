"""Decides whether a lease is held, and keeps in memory when the first one ends. Pure.

Called by the apply files, `sweeps` and `queries`.

Rule: a lease whose deadline is not after the cluster clock is over, whether its row is still there
or not; a record bound to it is then not there either.
"""

from __future__ import annotations

from replicante.state import tables
from replicante.state.tables import LeaseRow
from replicante.storage.keys import decode_key, prefix_range
from replicante.storage.kv import Reader


def held(reader: Reader, name: str, *, clock_ms: int) -> LeaseRow | None:
    """The lease, when somebody holds it at this cluster time."""
    raw = reader.get(tables.lease_key(name))
    row = None if raw is None else tables.read_lease_row(raw)
    return row if row is not None and row.deadline_ms > clock_ms else None


def is_held_with(reader: Reader, token: int, *, clock_ms: int) -> bool:
    """Whether the grant with this token goes on."""
    name = reader.get(tables.lease_token_key(token))
    return name is not None and held(reader, name.decode(), clock_ms=clock_ms) is not None


def present_row(reader: Reader, row: bytes | None, *, clock_ms: int) -> bytes | None:
    """A kv row as commands and readers see it: None when the lease that it is bound to is over."""
    if row is None:
        return None
    lease = tables.kv_lease(row)
    if lease is None or is_held_with(reader, lease, clock_ms=clock_ms):
        return row
    return None


def has_rows(reader: Reader, prefix: bytes) -> bool:
    return next(iter(reader.scan(*prefix_range(prefix))), None) is not None


class LeaseTimes:
    """Read off the rows at start and kept up by the apply functions, so that an entry with nothing
    due reads no rows. No state of its own."""

    __slots__ = ("_is_earliest_gone", "earliest_ms", "has_ended")

    def __init__(self, reader: Reader) -> None:
        self.earliest_ms = _earliest_ms(reader, from_ms=0)
        """Deadline of the lease that ends first; None when there is no lease. Between `note_end`
        and `settle` it may be too early."""
        self.has_ended = has_rows(reader, tables.LEASES_ENDED)
        """Grants that are over have left records behind."""
        self._is_earliest_gone = False

    def note_deadline(self, deadline_ms: int) -> None:
        if self.earliest_ms is None or deadline_ms < self.earliest_ms:
            self.earliest_ms = deadline_ms

    def note_end(self, deadline_ms: int) -> None:
        """A lease with this deadline ended, or got another one."""
        if deadline_ms == self.earliest_ms:
            self._is_earliest_gone = True

    def note_dropped(self, reader: Reader) -> None:
        """Records of grants that are over were removed."""
        self.has_ended = has_rows(reader, tables.LEASES_ENDED)

    def settle(self, reader: Reader) -> None:
        """At the end of an entry."""
        if self._is_earliest_gone:
            self._is_earliest_gone = False
            assert self.earliest_ms is not None, "its deadline was noted"
            # Nothing ends before it, so a scan need not step over the rows that went.
            self.earliest_ms = _earliest_ms(reader, from_ms=self.earliest_ms)


def _earliest_ms(reader: Reader, *, from_ms: int) -> int | None:
    start = tables.lease_deadline_key(from_ms, "")
    for key, _ in reader.scan(start, prefix_range(tables.LEASES_BY_DEADLINE)[1]):
        return decode_key(key, int, str)[0]
    return None
