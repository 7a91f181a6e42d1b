"""How many bytes of a log lie where, so that it can be trimmed by bytes. Pure; owned by `log`.

Entries are counted in segments, the unit in which a log is trimmed: one counter an entry would
cost more memory than many entries have. After a truncation inside a segment its size is an
estimate; nothing but the moment of trimming depends on it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from replicante import limits


@dataclass(slots=True)
class _Segment:
    first_index: int
    last_index: int
    size_bytes: int

    @property
    def count(self) -> int:
        return self.last_index - self.first_index + 1


class LogSizes:
    def __init__(self, segment_bytes: int = limits.LOG_SEGMENT_BYTES) -> None:
        """segment_bytes: a segment ends with the entry that reaches it, or with its
        LOG_SEGMENT_ENTRIES_MAX-th."""
        self._segment_bytes = segment_bytes
        self._segments: deque[_Segment] = deque()
        self.total_bytes = 0

    def clear(self) -> None:
        self._segments.clear()
        self.total_bytes = 0

    def add(self, index: int, size_bytes: int) -> None:
        last = self._segments[-1] if self._segments else None
        if (
            last is None
            or last.size_bytes >= self._segment_bytes
            or last.count >= limits.LOG_SEGMENT_ENTRIES_MAX
        ):
            self._segments.append(_Segment(index, index, size_bytes))
        else:
            last.last_index = index
            last.size_bytes += size_bytes
        self.total_bytes += size_bytes

    def truncate_from(self, index: int) -> None:
        while self._segments and self._segments[-1].first_index >= index:
            self.total_bytes -= self._segments.pop().size_bytes
        if self._segments:
            self._keep(self._segments[-1], index - self._segments[-1].first_index)
            self._segments[-1].last_index = index - 1

    def drop_below(self, index: int) -> None:
        while self._segments and self._segments[0].last_index < index:
            self.total_bytes -= self._segments.popleft().size_bytes
        if self._segments and self._segments[0].first_index < index:
            self._keep(self._segments[0], self._segments[0].last_index - index + 1)
            self._segments[0].first_index = index

    def _keep(self, segment: _Segment, count: int) -> None:
        """The share of `count` entries stays."""
        kept_bytes = segment.size_bytes * count // segment.count
        self.total_bytes -= segment.size_bytes - kept_bytes
        segment.size_bytes = kept_bytes

    def is_longer_than(self, kept_bytes: int) -> bool:
        """So many bytes would be left without the oldest segment."""
        segments = self._segments
        return len(segments) > 1 and self.total_bytes - segments[0].size_bytes >= kept_bytes

    def trim_point(self, *, kept_bytes: int, limit: int) -> int | None:
        """First index of the second segment, when the first one can go: `kept_bytes` are left
        without it, and nothing above `limit` goes."""
        if not self.is_longer_than(kept_bytes):
            return None
        second = self._segments[1]
        return second.first_index if second.first_index <= limit else None
