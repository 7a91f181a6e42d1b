"""State machines of the simulation, and what of them outlives a process.

Made by sim_peer: registers (`sim_machine`), or the product's own `ReplicatedState` over a store
whose flushes take time. A state machine reports each command that it applies, under the number of
the client's operation.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import msgpack
from sortedcontainers import SortedDict

from replicante.raft.in_memory import InMemoryMachine
from replicante.raft.state_machine import DurableStateMachine
from replicante.state.apply_entry import Header
from replicante.state.machine import ReplicatedState
from replicante.storage.memory import MemoryStore
from replicante.testing.sim_files import SimFiles
from replicante.testing.sim_machine import (
    LaggingMachine,
    RegisterMachine,
    Registers,
    Report,
    StateDisk,
)

_DIGEST_MASK = (1 << 64) - 1


class SimStore(MemoryStore):
    """Rows in memory whose flush begins and ends at different moments, with a digest of all of
    them that is right between any two entries."""

    def __init__(self, files: SimFiles, *, unflushed_max: int) -> None:
        """unflushed_max: entries after which it takes no more before a flush."""
        super().__init__()
        self.digest = 0
        self._files = files
        self._unflushed_max = unflushed_max
        self._flushing: tuple[int, dict[bytes, bytes | None]] | None = None
        """(index, first old value of each row that this flush makes durable)"""

    @property
    def is_full(self) -> bool:
        return self._applied_index - self._durable_index >= self._unflushed_max

    @property
    def is_flushing(self) -> bool:
        return self._flushing is not None

    def request_flush(self) -> None:
        if self._flushing is None and self._applied_index > self._durable_index:
            self._flushing, self._undurable = (self._applied_index, self._undurable), {}

    def finish_flush(self) -> None:
        assert self._flushing is not None
        (self._durable_index, _), self._flushing = self._flushing, None

    def flush(self) -> None:
        for _ in range(2):  # the one that is under way, and what came after it
            self.request_flush()
            if self._flushing is not None:
                self.finish_flush()

    def lose_unflushed(self) -> None:
        """The process is gone: what is left are the rows of the last flush that finished."""
        for key, old in self._lost_rows().items():
            if self._rows.get(key) != old:
                self._change(key, old)
        self._undurable, self._flushing = {}, None
        self._applied_index = self._durable_index
        self._ended_version = self._version

    def _lost_rows(self) -> dict[bytes, bytes | None]:
        """What the rows that are not durable were, when they were durable last."""
        _, older = self._flushing or (0, {})
        return self._undurable | older

    def export(self, path: Path) -> int:
        rows = dict(self._rows)
        for key, old in self._lost_rows().items():
            if old is None:
                rows.pop(key, None)
            else:
                rows[key] = old
        self._files.write(path, msgpack.packb((self._durable_index, sorted(rows.items()))))
        return self._durable_index

    def install(self, path: Path, *, index: int) -> None:
        found, rows = msgpack.unpackb(self._files.read(path), use_list=False)
        assert found == index, "the state is as of the index that was said"
        assert index > self._applied_index, "an older snapshot was installed"
        self._rows = SortedDict(rows)
        self.digest = sum(_row_digest(key, value) for key, value in rows) & _DIGEST_MASK
        self._undurable, self._flushing = {}, None
        self._applied_index = self._durable_index = index
        self._version += 1
        self._ended_version = self._version
        self._files.remove(path)

    def _change(self, key: bytes, value: bytes | None) -> None:
        old = self._rows.get(key)
        if old is not None:
            self.digest -= _row_digest(key, old)
        if value is not None:
            self.digest += _row_digest(key, value)
        self.digest &= _DIGEST_MASK
        super()._change(key, value)


def _row_digest(key: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key)) * 0x9E37_79B9_7F4A_7C15


class SimState(ReplicatedState):
    """The product's state machine. Requests carry the number of their operation as request id."""

    def __init__(self, store: SimStore, report: Report) -> None:
        super().__init__(store)
        self.rows = store
        self._report = report
        self._ordinal = 0

    @property
    def is_flushing(self) -> bool:
        return self.rows.is_flushing

    def finish_flush(self) -> None:
        self.rows.finish_flush()

    def begin(self, header: Header) -> None:
        super().begin(header)
        self._ordinal = 0

    def apply(self, command: bytes) -> bytes:
        outcome = super().apply(command)
        assert self._entry_index is not None
        number = int(msgpack.unpackb(command)[1])
        self._report(number, self._entry_index, self._ordinal, outcome)
        self._ordinal += 1
        return outcome


Flushing = LaggingMachine | SimState
"""What is on a disk that lags."""
FLUSHED = (LaggingMachine, SimState)
"""The same as a tuple, which is asked for faster than a union."""


def begins_flush(machine: Flushing) -> bool:
    """What was applied begins to become durable, if there is anything to begin with."""
    if machine.is_flushing or machine.applied_index <= machine.durable_index:
        return False
    machine.request_flush()
    return True


class StateHome:
    """Where the state of one peer lives over all of its processes."""

    def __init__(
        self,
        files: SimFiles,
        *,
        has_real_state: bool,
        is_durable: bool,
        unflushed_max: int,
        save_entries: int,
    ) -> None:
        """is_durable: registers are on a disk that lags, not in memory."""
        self.registers = Registers()
        self.state: SimState | None = None
        """Of the process that runs."""
        self.files = files
        self._unflushed_max = unflushed_max
        self._save_entries = save_entries
        self._disk = StateDisk() if is_durable else None
        self._store = SimStore(files, unflushed_max=unflushed_max) if has_real_state else None

    def open(self, report: Report) -> DurableStateMachine:
        """As a new process finds it."""
        if self._store is not None:
            self._store.lose_unflushed()
            self.state = SimState(self._store, report)
            return self.state
        if self._disk is None:
            machine = RegisterMachine(report)
            self.registers = machine.registers
            return InMemoryMachine(machine, self.files, every_entries=self._save_entries)
        lagging = LaggingMachine(self._disk, report, self.files, unflushed_max=self._unflushed_max)
        self.registers = lagging.registers
        return lagging

    @property
    def digest(self) -> int:
        return self.registers.digest if self._store is None else self._store.digest
