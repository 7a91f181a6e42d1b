"""When the next job of any queue is due. Pure; owned by `writer`, kept up by `queue_moves`."""

from __future__ import annotations

from replicante.state import queue_tables as t
from replicante.storage.keys import decode_key, prefix_range
from replicante.storage.kv import Reader


class QueueTimes:
    """When the next job is due, read off the rows at start: an entry with nothing due reads none.
    No state of its own."""

    __slots__ = ("_is_earliest_gone", "earliest_ms")

    def __init__(self, reader: Reader) -> None:
        self.earliest_ms = _earliest_ms(reader, from_ms=0)
        """May be too early between `note_gone` and `settle`; None when nothing is ever due."""
        self._is_earliest_gone = False

    def note(self, due_ms: int) -> None:
        if self.earliest_ms is None or due_ms < self.earliest_ms:
            self.earliest_ms = due_ms

    def note_gone(self, due_ms: int) -> None:
        if due_ms == self.earliest_ms:
            self._is_earliest_gone = True

    def settle(self, reader: Reader) -> None:
        """At the end of an entry."""
        if self._is_earliest_gone:
            self._is_earliest_gone = False
            assert self.earliest_ms is not None, "what is gone was noted"
            self.earliest_ms = _earliest_ms(reader, from_ms=self.earliest_ms)


def _earliest_ms(reader: Reader, *, from_ms: int) -> int | None:
    start = t.due_key(from_ms, "", 0)
    for key, _ in reader.scan(start, prefix_range(t.DUE)[1]):
        return decode_key(key, int, str, int)[0]
    return None
