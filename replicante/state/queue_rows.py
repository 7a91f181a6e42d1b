"""What apply remembers of queues so that a command does not look for it again. Pure; owned by
`writer`, kept up by `queue_moves` and `apply_queue`.

Rule: nothing here is state. Rows of queues are written at the end of the entry that changed them;
where claims begin to look may be forgotten at any time, and then the first claim searches.
"""

from __future__ import annotations

from collections.abc import Callable

from replicante.limits import READY_STARTS_MAX
from replicante.state import queue_tables as t
from replicante.state.queue_tables import QueueRow
from replicante.storage.keys import prefix_range
from replicante.storage.kv import Reader


class QueueRows:
    """Counts change several times with each job, and with each job of an entry: a row that was
    read is kept as it is now, and written once. Empty between entries."""

    __slots__ = ("_changed", "_rows")

    def __init__(self) -> None:
        self._rows: dict[str, QueueRow] = {}
        self._changed: set[str] = set()

    def read(self, reader: Reader, queue: str) -> QueueRow:
        row = self._rows.get(queue)
        if row is None:
            raw = reader.get(t.queue_key(queue))
            row = self._rows[queue] = QueueRow() if raw is None else t.read_queue_row(raw)
        return row

    def write(self, queue: str, row: QueueRow) -> None:
        self._rows[queue] = row
        self._changed.add(queue)

    def settle(
        self, *, put: Callable[[bytes, bytes], None], delete: Callable[[bytes], None]
    ) -> None:
        """At the end of an entry. A queue that holds nothing and is not paused is not there."""
        for queue in sorted(self._changed):
            row = self._rows[queue]
            if row.is_empty and row.paused_ms is None:
                delete(t.queue_key(queue))
            else:
                put(t.queue_key(queue), t.queue_row(row))
        self._rows.clear()
        self._changed.clear()


class ReadyStarts:
    """No row of READY of a queue lies before its start. Rows that were claimed a moment ago are
    still in the store, marked as deleted: without this every claim would step over all of them."""

    __slots__ = ("_starts",)

    def __init__(self) -> None:
        self._starts: dict[str, bytes] = {}

    def range(self, queue: str) -> tuple[bytes, bytes]:
        """(start, end) of a scan that finds all rows of READY of the queue."""
        start, end = prefix_range(t.ready_prefix(queue))
        return self._starts.get(queue, start), end

    def note_ready(self, queue: str, key: bytes) -> None:
        start = self._starts.get(queue)
        if start is not None and key < start:
            self._starts[queue] = key

    def note_gone(self, queue: str, *, until: bytes) -> None:
        """There is no row before `until` any more."""
        if queue not in self._starts and len(self._starts) >= READY_STARTS_MAX:
            del self._starts[next(iter(self._starts))]
        self._starts[queue] = until
