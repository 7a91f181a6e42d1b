"""The log of one peer as the engine sees it: entries, term and vote, and what of it is on disk.
No I/O of its own.

Writes are staged and leave as one `WriteSet` per step; `persisted` says that the set is
durable. Reads see staged writes. The newest entries are kept in memory (LOG_TAIL_BYTES_MAX),
older ones come from the backend. The oldest ones are trimmed once the state machine has what they
did; the first that is left stays as the place that others are compared with (ADR 0019).

Invariants: indexes are dense; terms and clocks never decrease along the log; nothing at or
below `commit_floor` is ever truncated; `durable_index` ≤ `last_index`, and never counts an
entry whose commit is still in flight.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from replicante import limits
from replicante.errors import FatalError
from replicante.raft.records import CHAIN_ZERO, Record, encode_record
from replicante.raft.state_machine import EntryKind

if TYPE_CHECKING:  # it is made of what is defined here
    from replicante.raft.log_loading import LoadedLog

FIRST_INDEX = 1
"""Of the entry that a cluster is born with, in generation 0: nothing was ever before it."""
_READ_ENTRIES_MAX = 16
"""Entries fetched from the backend at once: of full size, they are still read in one slice."""


@dataclass(frozen=True, slots=True)
class HardState:
    """What must be durable before a vote or a term leaves this peer."""

    term: int = 0
    voted_for: str | None = None
    """Member.key of the candidate that got this term's vote."""
    boot: int = 0
    """Number of starts of this data directory; names the forwarding session (ADR 0014)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Where a trimmed log begins: its first entry, which was applied, and what was known there."""

    index: int
    term: int
    clock_ms: int
    chain: bytes
    configuration_index: int
    configuration: bytes
    """Payload of the newest GENESIS or CONFIGURATION entry at or below `index`."""

    def record(self) -> Record:
        """Stands in a log for the entry itself, of which only term, clock and chain are needed:
        the state has what it did."""
        return Record(
            index=self.index,
            term=self.term,
            kind=EntryKind.COMMANDS,
            clock_ms=self.clock_ms,
            wall_ms=0,
            payload=b"",
            chain=self.chain,
        )


@dataclass(frozen=True, slots=True)
class WriteSet:
    """One durable transaction: first drop every entry from `truncate_from` on, then add
    `records`, then drop every entry below `base`."""

    truncate_from: int | None
    records: tuple[tuple[int, bytes], ...]
    hard: HardState | None
    base: Base | None = None


class LogBackend(Protocol):
    """Where the log lives. `write` runs on the commit thread, or on the loop while that is fast;
    everything else on the loop, before or between writes."""

    def write(self, writes: WriteSet) -> None:
        """Durable when it returns. DiskFull, StorageFull: nothing was written, the same call may be
        repeated. Any other failure: FatalError, and the process must end (a failed fsync is
        never retried).
        """
        ...

    def read(self, low: int, high: int) -> list[Record]:
        """Entries low ≤ index < high, all of which exist. Checksums are verified; CorruptData
        otherwise."""
        ...


class Log:
    def __init__(self, backend: LogBackend, loaded: LoadedLog) -> None:
        self._backend = backend
        self._hard = loaded.hard
        self.first_index = loaded.first_index
        """Of the oldest entry that is left; like `durable_index`, written here alone."""
        self._tail: deque[Record] = deque(loaded.tail)
        self._tail_bytes = sum(record.size_bytes for record in loaded.tail)
        self._end_with(loaded.tail[-1])
        self._runs = list(loaded.term_runs)
        self.durable_index = loaded.last.index
        self._truncate_from: int | None = None
        self._staged: list[Record] = []
        self._is_hard_staged = False
        self._configurations = list(loaded.configurations)
        self._sizes = loaded.sizes
        self._staged_base: Base | None = None
        self._in_flight: WriteSet | None = None
        self.commit_floor = 0
        """Entries up to here were committed or applied: truncating them is a broken promise."""

    # --- reading ---------------------------------------------------------------------------

    @property
    def hard(self) -> HardState:
        return self._hard

    @property
    def last_term(self) -> int:
        return self.last_record.term

    @property
    def has_writes(self) -> bool:
        is_cut = self._truncate_from is not None or self._staged_base is not None
        return bool(self._staged) or is_cut or self._is_hard_staged

    @property
    def is_promise_staged(self) -> bool:
        """A term or vote that is not on disk yet."""
        return self._is_hard_staged

    @property
    def is_configuration_staged(self) -> bool:
        """New members that are not on disk yet."""
        return bool(self._staged) and any(record.is_configuration for record in self._staged)

    @property
    def size_bytes(self) -> int:
        """Of all entries; an estimate after truncations."""
        return self._sizes.total_bytes

    @property
    def configuration(self) -> tuple[int, bytes]:
        """(index, payload) of the newest configuration, committed or not (thesis §4.1)."""
        return self._configurations[-1]

    def configuration_at(self, index: int) -> tuple[int, bytes]:
        """As `configuration`, of the entries up to `index`, which lies in the log."""
        place = bisect.bisect_right(self._configurations, index, key=lambda found: found[0]) - 1
        return self._configurations[place]

    @property
    def is_trimmed(self) -> bool:
        return self.first_index != FIRST_INDEX

    def configurations_between(self, low: int, high: int) -> list[tuple[int, bytes]]:
        """(index, payload) of those with low < index ≤ high."""
        return [found for found in self._configurations if low < found[0] <= high]

    @property
    def oldest_configuration_index(self) -> int:
        """That `configurations_between` may tell; where the log begins later, the newest then."""
        return self._configurations[0][0]

    def configurations_from(self, index: int) -> list[bytes]:
        """Payloads of the one that `configuration_at` tells and of every later one, in order."""
        place = bisect.bisect_right(self._configurations, index, key=lambda found: found[0]) - 1
        return [payload for _, payload in self._configurations[max(place, 0) :]]

    def can_send_from(self, index: int) -> bool:
        """Whether entries from `index` on can be sent: the one before is known, or was never."""
        return index > self.first_index or index == self.first_index == FIRST_INDEX

    def term_at(self, index: int) -> int | None:
        """None outside the log; 0 at index 0, the place before the first entry of generation 0."""
        if index == 0:
            return 0
        if not self.first_index <= index <= self.last_index:
            return None
        first, term = self._runs[-1]
        if index >= first:
            return term  # in nearly every call
        place = bisect.bisect_right(self._runs, index, key=lambda run: run[0]) - 1
        return self._runs[place][1]

    def newest_at_most(self, *, index: int, term: int) -> int:
        """The newest place ≤ index whose term is ≤ term; 0 when there is none. Used by back-off
        by term runs."""
        index = min(index, self.last_index)
        place = bisect.bisect_right(self._runs, index, key=lambda run: run[0]) - 1
        while place >= 0:
            first, run_term = self._runs[place]
            if run_term <= term:
                return index
            index = first - 1
            place -= 1
        return 0

    def get(self, index: int) -> Record:
        tail_first = self._tail[0].index
        if index >= tail_first:
            return self._tail[index - tail_first]
        return self._backend.read(index, index + 1)[0]

    def read(self, low: int, *, count_max: int, bytes_max: int) -> list[Record]:
        """Entries from `low` on: at least one when it exists, then until a bound is crossed."""
        records: list[Record] = []
        size = 0
        for record in self._iterate(low, min(self.last_index + 1, low + count_max)):
            records.append(record)
            size += record.size_bytes
            if size >= bytes_max:
                break
        return records

    def _iterate(self, low: int, high: int) -> Iterator[Record]:
        tail_first = self._tail[0].index
        while low < min(high, tail_first):
            batch = self._backend.read(low, min(high, tail_first, low + _READ_ENTRIES_MAX))
            yield from batch
            low += len(batch)
        for index in range(low, high):
            yield self._tail[index - tail_first]

    # --- staging writes --------------------------------------------------------------------

    def set_hard(self, hard: HardState) -> None:
        assert hard.term >= self._hard.term, "a term never goes back"
        if hard != self._hard:
            assert (
                hard.term > self._hard.term
                or self._hard.voted_for in (None, hard.voted_for)
                or hard.voted_for == self._hard.voted_for
            ), "one vote per term"
            self._hard = hard
            self._is_hard_staged = True

    def append(self, record: Record) -> None:
        last = self._tail[-1]
        assert record.index == last.index + 1, "indexes are dense"
        assert record.term >= last.term, "terms never decrease along the log"
        assert record.clock_ms >= last.clock_ms, "the cluster clock never goes back"
        if record.term != last.term:
            self._runs.append((record.index, record.term))
        self._tail.append(record)
        self._tail_bytes += record.size_bytes
        self._end_with(record)
        if record.is_configuration:
            self._configurations.append((record.index, record.payload))
        self._sizes.add(record.index, record.size_bytes)
        self._staged.append(record)

    def truncate_from(self, index: int) -> None:
        """Drops the entry at `index` and all after it. Only a conflict with the leader's log
        asks for this."""
        if index <= max(self.commit_floor, self.first_index):
            raise FatalError(
                f"asked to drop the committed entry {index} (committed up to {self.commit_floor})"
            )
        if self._tail[0].index >= index:
            self._reload_tail_before(index)
        while self._tail[-1].index >= index:
            self._tail_bytes -= self._tail.pop().size_bytes
        self._end_with(self._tail[-1])
        while self._runs[-1][0] >= index:
            self._runs.pop()
        while self._configurations[-1][0] >= index:
            self._configurations.pop()
        self._sizes.truncate_from(index)
        self._staged = [record for record in self._staged if record.index < index]
        if index <= self.durable_index or self._in_flight is not None:
            self._truncate_from = min(index, self._truncate_from or index)
        self.durable_index = min(self.durable_index, index - 1)

    def _end_with(self, record: Record) -> None:
        """Kept at hand, since each step asks for them many times."""
        self.last_record, self.last_index = record, record.index

    def _reload_tail_before(self, index: int) -> None:
        self._tail = deque(self._backend.read(index - 1, index))
        self._tail_bytes = self._tail[0].size_bytes

    @property
    def chain(self) -> bytes:
        return self._tail[-1].chain if self._tail else CHAIN_ZERO

    def is_longer_than(self, kept_bytes: int) -> bool:
        """So many bytes would be left without the oldest segment."""
        return self._sizes.is_longer_than(kept_bytes)

    def trim_point(self, *, kept_bytes: int, applied_index: int) -> int | None:
        """Where the log may begin next: about `kept_bytes` stay, and everything after
        `applied_index`, which a state machine has durably. None when there is nothing to drop."""
        if not self.is_longer_than(kept_bytes):
            return None
        limit = min(applied_index, self.commit_floor, self.durable_index)
        return self._sizes.trim_point(kept_bytes=kept_bytes, limit=limit)

    def trim_to(self, index: int) -> None:
        """Drops every entry below `index`, which stays: the check of what follows needs its term
        and chain. What a caller may drop is told by `trim_point`."""
        assert self.first_index <= index <= min(self.commit_floor, self.durable_index)
        self._staged_base = self.base_at(index)
        self._begin_at(index)

    def reset_to(self, base: Base, *, keeps_tail: bool) -> None:
        """The state jumped to `base`. keeps_tail: what the backend answered; what follows stays
        when it follows that very entry, else it conflicts with what was committed and goes."""
        assert not self.has_writes
        assert self._in_flight is None
        self.commit_floor = max(self.commit_floor, base.index)
        if keeps_tail:
            self._begin_at(base.index)
            return
        record = base.record()
        self._tail = deque([record])
        self._tail_bytes = record.size_bytes
        self._end_with(record)
        self._runs = [(base.index, base.term)]
        self._configurations = [(base.configuration_index, base.configuration)]
        self._sizes.clear()
        self._sizes.add(base.index, record.size_bytes)
        self.first_index = self.durable_index = base.index

    def base_at(self, index: int) -> Base:
        """What is to be known of an entry of this log for another log to begin there."""
        record = self.get(index)
        configuration_index, configuration = self.configuration_at(index)
        return Base(
            index=index,
            term=record.term,
            clock_ms=record.clock_ms,
            chain=record.chain,
            configuration_index=configuration_index,
            configuration=configuration,
        )

    def _begin_at(self, index: int) -> None:
        self.first_index = index
        while len(self._runs) > 1 and self._runs[1][0] <= index:
            self._runs.pop(0)
        while len(self._configurations) > 1 and self._configurations[1][0] <= index:
            self._configurations.pop(0)
        self._sizes.drop_below(index)
        while self._tail[0].index < index and len(self._tail) > 1:
            self._tail_bytes -= self._tail.popleft().size_bytes

    # --- handing writes to the disk ----------------------------------------------------------

    def take_writes(self) -> WriteSet:
        assert self._in_flight is None, "one commit at a time: the engine never runs meanwhile"
        writes = WriteSet(
            truncate_from=self._truncate_from,
            records=tuple((record.index, encode_record(record)) for record in self._staged),
            hard=self._hard if self._is_hard_staged else None,
            base=self._staged_base,
        )
        self._in_flight = writes
        self._staged_base = None
        self._truncate_from, self._staged, self._is_hard_staged = None, [], False
        return writes

    def persisted(self) -> None:
        """The set that was taken last is durable."""
        assert self._in_flight is not None
        self._in_flight = None
        self.durable_index = self.last_index
        self._shrink_tail()

    def _shrink_tail(self) -> None:
        while self._tail_bytes > limits.LOG_TAIL_BYTES_MAX and len(self._tail) > 1:
            self._tail_bytes -= self._tail.popleft().size_bytes
