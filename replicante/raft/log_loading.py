"""What a log is known by when its entries have been read once. Pure; called by log backends."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from replicante import limits
from replicante.raft.log import Base, HardState
from replicante.raft.log_sizes import LogSizes
from replicante.raft.records import Record


@dataclass(slots=True)
class LoadedLog:
    """What a backend found at start, after verifying every checksum and the chain."""

    hard: HardState
    first_index: int
    last: Record
    term_runs: list[tuple[int, int]]
    """(first index of the run, term), ascending."""
    tail: list[Record] = field(default_factory=list)
    """The newest entries, ending with `last`; at least `last` itself."""
    configurations: list[tuple[int, bytes]] = field(default_factory=list)
    """(index, payload) of the configurations, ascending; the first may lie below first_index."""
    sizes: LogSizes = field(default_factory=LogSizes)


def load_records(
    records: Iterable[Record],
    *,
    hard: HardState,
    base: Base | None,
    tail_bytes_max: int | None = None,
    segment_bytes: int = limits.LOG_SEGMENT_BYTES,
) -> LoadedLog | None:
    """What a log is known by, read off its entries, which are dense and ascending. None when
    there are none.

    tail_bytes_max: None for LOG_TAIL_BYTES_MAX. segment_bytes: see LogSizes.
    """
    if tail_bytes_max is None:
        tail_bytes_max = limits.LOG_TAIL_BYTES_MAX
    runs: list[tuple[int, int]] = []
    configurations = [] if base is None else [(base.configuration_index, base.configuration)]
    sizes = LogSizes(segment_bytes)
    tail: deque[Record] = deque()
    tail_bytes, first_index = 0, 0
    for record in records:
        first_index = first_index or record.index
        if not runs or runs[-1][1] != record.term:
            runs.append((record.index, record.term))
        if record.is_configuration and (base is None or record.index > base.index):
            configurations.append((record.index, record.payload))
        sizes.add(record.index, record.size_bytes)
        tail.append(record)
        tail_bytes += record.size_bytes
        while tail_bytes > tail_bytes_max and len(tail) > 1:
            tail_bytes -= tail.popleft().size_bytes
    if not tail:
        return None
    return LoadedLog(
        hard=hard,
        first_index=first_index,
        last=tail[-1],
        term_runs=runs,
        tail=list(tail),
        configurations=configurations,
        sizes=sizes,
    )
