"""A disk that forgets what was not synced: the log's backend in a simulated peer.

Called by sim_peer. A write set is one transaction, as in LMDB: after a crash the whole of it is
there, or nothing (torn records are the loader's business and are tested on real files). What is
kept are the bytes that the log made, decoded and proved to follow each other.
"""

from __future__ import annotations

from collections.abc import Iterator

from replicante.errors import CorruptData
from replicante.raft.log import Base, HardState, WriteSet
from replicante.raft.log_loading import LoadedLog, load_records
from replicante.raft.log_store import LogHeader
from replicante.raft.membership import Configuration, read_configuration
from replicante.raft.records import Record, decode_record
from replicante.raft.state_machine import EntryKind

_TAIL_BYTES = 1_000
"""So little that old entries are read from the disk again and again."""
_SEGMENT_BYTES = 300


class SimDisk:
    """Fits `LogBackend`. `write` is the barrier: what it was given is durable afterwards."""

    def __init__(self, first: Record, header: LogHeader | None = None) -> None:
        self.header = header
        self.hard = HardState()
        self.writes_count = 0
        self._base: Base | None = None
        self._marker: Base | None = None
        self._first_index = first.index
        self._records = [first]
        self._configurations = [(first.index, read_configuration(first.payload))]
        """(index, configuration), as they lie in the log; the first may be from before it."""

    def write(self, writes: WriteSet) -> None:
        if writes.truncate_from is not None:
            assert writes.truncate_from > self._first_index
            while self._configurations[-1][0] >= writes.truncate_from:
                self._configurations.pop()
            del self._records[writes.truncate_from - self._first_index :]
        for index, stored in writes.records:
            last = self._records[-1]
            assert index == last.index + 1, "the disk would get a hole"
            record = decode_record(index, stored, chain_before=last.chain)
            self._records.append(record)
            if record.kind is EntryKind.CONFIGURATION:
                self._configurations.append((index, read_configuration(record.payload)))
        if writes.base is not None:
            del self._records[: writes.base.index - self._first_index]
            self._base, self._first_index = writes.base, writes.base.index
        if writes.hard is not None:
            self.hard = writes.hard
        self.writes_count += 1

    def read(self, low: int, high: int) -> list[Record]:
        found = self._records[low - self._first_index : high - self._first_index]
        if len(found) != high - low:
            raise CorruptData(f"entries {low} to {high - 1} are not all there")
        return found

    def load(self) -> LoadedLog:
        loaded = load_records(
            self._records,
            hard=self.hard,
            base=self._base,
            tail_bytes_max=_TAIL_BYTES,
            segment_bytes=_SEGMENT_BYTES,
        )
        assert loaded is not None
        return loaded

    # --- InstallationLog ---------------------------------------------------------------------

    def write_marker(self, base: Base) -> None:
        self._marker = base

    def marker(self) -> Base | None:
        return self._marker

    def drop_marker(self) -> None:
        self._marker = None

    def reset_to(self, base: Base) -> bool:
        keeps_tail = self.chain_at(base.index) == base.chain
        if keeps_tail:
            del self._records[: base.index - self._first_index]
        else:
            self._records = [base.record()]
            installed = read_configuration(base.configuration)
            self._configurations = [(base.configuration_index, installed)]
        self._base, self._first_index, self._marker = base, base.index, None
        return keeps_tail

    # --- StoppedLog --------------------------------------------------------------------------

    def hard_state(self) -> HardState:
        return self.hard

    def base(self) -> Base | None:
        return self._base

    def verified(self) -> Iterator[Record]:
        return iter(self._records)

    def holds(self, base: Base) -> bool:
        return self.chain_at(base.index) == base.chain

    # --- what checks ask ---------------------------------------------------------------------

    @property
    def configuration(self) -> tuple[int, Configuration]:
        """The newest that is durable here, and its index."""
        return self._configurations[-1]

    def has(self, index: int, chain: bytes) -> bool:
        """The entry is here, or what it did is in the state that the log begins with."""
        return index < self._first_index or self.chain_at(index) == chain

    @property
    def first_index(self) -> int:
        return self._first_index

    @property
    def last_index(self) -> int:
        return self._records[-1].index

    def chain_at(self, index: int) -> bytes | None:
        """None where nothing is durable."""
        place = index - self._first_index
        return self._records[place].chain if 0 <= place < len(self._records) else None
