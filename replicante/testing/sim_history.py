"""What clients asked and were told, and whether that is what was promised.

Called by sim_cluster and sim_clients. Versions of a key are handed out in the order of its
writes, so one comparison an operation decides whether the history is linearizable: an answer
must lie after everything that was answered before the question was asked.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from replicante.testing.clock import Schedule
from replicante.testing.sim_birth import Birth
from replicante.testing.sim_checks import RaftChecks, Violation
from replicante.testing.sim_peer import SimPeer


class Fate(enum.Enum):
    OPEN = "open"
    OK = "ok"
    FAIL = "fail"
    """Certainly not done."""
    INFO = "info"
    """Nobody knows, and nobody said otherwise."""


@dataclass(slots=True)
class Operation:
    number: int
    """Unique in a run; 0 stands for none."""
    client: int
    peer: str
    process: int
    is_read: bool
    key: int
    expected: int
    invoked_us: int
    floor_version: int
    """Newest version of the key that anybody was told of before."""
    floor_index: int
    """Newest entry that anybody was told of before."""
    fate: Fate = Fate.OPEN
    answered_us: int = 0
    index: int = 0
    version: int = 0
    error: str = ""
    fence: int = 0
    """All operations of the same process up to this number had ended before this one was asked."""
    is_given_up: bool = False
    """Its peer, not only its caller, waits for it no more."""

    def __str__(self) -> str:
        what = "read" if self.is_read else f"put(if {self.expected})"
        return (
            f"{self.invoked_us:>9} {self.answered_us or '':>9} client {self.client} at {self.peer}:"
            f" {self.number} {what} key {self.key} → {self.fate.value} version {self.version}"
            f" entry {self.index} {self.error}"
        )


class HistoryChecks:
    """Keeps the history and judges every answer when it is given."""

    def __init__(
        self,
        schedule: Schedule,
        raft: RaftChecks,
        *,
        decode: Callable[[bytes], tuple[bool, int]],
        birth: Birth,
        count: Callable[[str], None],
    ) -> None:
        """decode: of an outcome, whether it is a write of a version, and which version it tells."""
        self.operations: list[Operation] = []
        self._number = birth.number
        self.poison = 0
        """The operation that no machine can apply in the entry that has it first; 0: none."""
        self.poisoned_index = 0
        """That entry, once somebody met it."""
        self._schedule = schedule
        self._raft = raft
        self._decode = decode
        self._count = count
        self._told_versions = dict(birth.versions)
        self._told_index = birth.first.index
        self._applied: dict[int, tuple[int, int, bytes]] = {}
        """operation → (index, ordinal, outcome)"""
        self.broken: Violation | None = None
        """Found inside of a state machine, where nothing may be raised."""
        self._pending: dict[tuple[str, int], dict[int, None]] = {}
        """(peer, process) → its writes that it has not ended, ascending"""
        self._newest: dict[tuple[str, int], int] = {}
        """(peer, process) → its newest write"""
        self._fences: dict[tuple[str, int], int] = {}
        """(peer, process) → greatest fence of its operations that were applied"""

    # --- questions ---------------------------------------------------------------------------

    def invoke(
        self, *, client: int, peer: SimPeer, is_read: bool, key: int, expected: int
    ) -> Operation:
        operation = Operation(
            number=self._number + len(self.operations) + 1,
            client=client,
            peer=peer.name,
            process=peer.process,
            is_read=is_read,
            key=key,
            expected=expected,
            invoked_us=self._schedule.now_us,
            floor_version=self._told_versions.get(key, 0),
            floor_index=self._told_index,
        )
        self.operations.append(operation)
        if not is_read:
            owner = (peer.name, peer.process)
            pending = self._pending.setdefault(owner, {})
            newest = self._newest.get(owner, 0)
            operation.fence = next(iter(pending)) - 1 if pending else newest
            pending[operation.number] = None
            self._newest[owner] = operation.number
        return operation

    def ended(self, operation: Operation, *, is_given_up: bool) -> None:
        """Its peer is done with it, whether or not a caller still listens."""
        operation.is_given_up = is_given_up
        if not operation.is_read:
            del self._pending[operation.peer, operation.process][operation.number]

    # --- answers -----------------------------------------------------------------------------

    def written(self, operation: Operation, *, outcome: bytes, index: int) -> None:
        is_done, version = self._decode(outcome)
        applied = self._applied.get(operation.number)
        if applied is None or applied[2] != outcome or index < applied[0]:
            self._fail("answers are true", operation, f"told {outcome!r} at {index}, is {applied}")
        self._close(operation, Fate.OK, index=applied[0], version=version)
        floor = operation.floor_version + (1 if is_done else 0)
        if version < floor or applied[0] <= operation.floor_index:
            self._fail("linearizable", operation, f"must be after {operation.floor_index}")
        self._raft.check_durable(applied[0], f"was answered (operation {operation.number})")
        self._tell(operation)

    def was_read(self, operation: Operation, *, version: int, applied_index: int) -> None:
        self._close(operation, Fate.OK, index=applied_index, version=version)
        if version < operation.floor_version or applied_index < operation.floor_index:
            self._fail(
                "linearizable",
                operation,
                f"version {operation.floor_version} and entry {operation.floor_index} were told",
            )
        if applied_index > self._raft.committed_index:
            self._fail("reads are committed", operation, f"{applied_index} is not")
        self._raft.check_durable(applied_index, f"was read (operation {operation.number})")
        self._tell(operation)

    def refused(self, operation: Operation, *, error: str) -> None:
        """Definite: it was not done and will not be."""
        operation.error = error
        self._close(operation, Fate.FAIL)
        if operation.number in self._applied:
            self._fail("definite is definite", operation, "it is applied")

    def unknown(self, operation: Operation) -> None:
        self._close(operation, Fate.INFO)

    def _close(self, operation: Operation, fate: Fate, *, index: int = 0, version: int = 0) -> None:
        if operation.fate is not Fate.OPEN:
            self._fail("one answer", operation, f"answered again: {fate.value}")
        operation.fate, operation.index, operation.version = fate, index, version
        operation.answered_us = self._schedule.now_us
        self._count(f"{'read' if operation.is_read else 'write'}_{fate.value}")

    def _tell(self, operation: Operation) -> None:
        key = operation.key
        self._told_versions[key] = max(self._told_versions.get(key, 0), operation.version)
        self._told_index = max(self._told_index, operation.index)

    # --- what machines apply -----------------------------------------------------------------

    def applied(self, number: int, index: int, ordinal: int, outcome: bytes) -> None:
        """Called by every machine for every command; replays after a restart come here too."""
        if number == self.poison:
            self.break_if_poisoned(number, index, ordinal, outcome)
        operation = self.operations[number - 1 - self._number]
        before = self._applied.get(number)
        if before is not None:
            if before != (index, ordinal, outcome):
                text = f"{before} and {(index, ordinal, outcome)}"
                self._break("applied once, alike everywhere", operation, text)
            return
        self._applied[number] = (index, ordinal, outcome)
        if operation.fate is Fate.FAIL:
            self._break("definite is definite", operation, f"applied by entry {index}")
        owner = (operation.peer, operation.process)
        if operation.is_given_up and self._fences.get(owner, 0) >= number:
            text = "what the same process was asked afterwards was done before"
            self._break("given up is not done later", operation, text)
        self._fences[owner] = max(self._fences.get(owner, 0), operation.fence)

    def break_if_poisoned(self, number: int, index: int, ordinal: int, outcome: bytes) -> None:
        """Inside of a state machine, as a defect of it would: the host ends the peer."""
        if number != self.poison or self.poisoned_index not in (0, index):
            return
        self.poisoned_index = index
        raise ValueError(f"operation {number} cannot be applied")

    def forget(self, index: int) -> None:
        """What the entry did before it broke was never kept by anybody."""
        for number in [it for it, applied in self._applied.items() if applied[0] == index]:
            del self._applied[number]

    def _break(self, rule: str, operation: Operation, text: str) -> None:
        self.broken = self.broken or Violation(rule, f"{text} | {operation}")

    # --- staleness ---------------------------------------------------------------------------

    def check_staleness(
        self, peer: SimPeer, applied_index: int, *, now_ms: int, drift: int
    ) -> None:
        """What the peer claims against when a leader first knew the next entry committed."""
        driver = peer.driver
        assert driver is not None
        claimed_ms = driver.staleness_ms(now_ms)
        if claimed_ms is None:
            return
        self._count("staleness_claimed")
        missing = self._raft.ledger.get(applied_index + 1)
        if missing is None:
            return
        age_ms = (self._schedule.now_us - missing.known_us) / 1_000
        # Both ends round to whole milliseconds, and two clocks measure the parts of one claim.
        slack_ms = 2 + age_ms * 2 * drift / 1_000_000
        if claimed_ms < age_ms - slack_ms:
            raise Violation(
                "staleness is no less than claimed",
                f"{peer.name} at entry {applied_index} claims {claimed_ms} ms,"
                f" the next one was committed {age_ms:.1f} ms ago",
            )

    def _fail(self, rule: str, operation: Operation, text: str) -> NoReturn:
        raise Violation(rule, f"{text} | {operation}")
