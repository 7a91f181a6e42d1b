"""What clients asked and were answered, in order; one map of Jepsen's a line. Pure.

Written by `jlike.recorder`, read by every checker. Rules: the position in the history is the order
in which things happened, by one clock of one process; an operation without an answer may have
happened at any later moment, or never; a process whose operation ended so is never used again.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Value = Any
"""What JSON can hold; its shape is the business of the workload that wrote it."""


class Kind(enum.StrEnum):
    INVOKE = "invoke"
    OK = "ok"
    FAIL = "fail"
    """It certainly did not happen."""
    INFO = "info"
    """Nobody knows whether it happened, or will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One line. time: nanoseconds since the beginning of the run. peer: whom it was asked of."""

    process: int
    type: Kind
    f: str
    value: Value
    time: int
    peer: str = ""
    error: str = ""

    def line(self) -> str:
        fields: dict[str, Value] = {
            "process": self.process,
            "type": self.type.value,
            "f": self.f,
            "value": self.value,
            "time": self.time,
        }
        if self.peer:
            fields["peer"] = self.peer
        if self.error:
            fields["error"] = self.error
        return json.dumps(fields, separators=(",", ":"), sort_keys=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A call with its answer. called, returned: positions in the history; returned is None when
    no answer came. value: as asked; result: as answered."""

    process: int
    f: str
    value: Value
    called: int
    called_ns: int
    kind: Kind = Kind.INFO
    result: Value = None
    returned: int | None = None
    returned_ns: int | None = None
    peer: str = ""
    error: str = ""

    @property
    def is_ok(self) -> bool:
        return self.kind is Kind.OK

    @property
    def end(self) -> float:
        """Position after which it can no longer happen."""
        return float("inf") if self.returned is None else self.returned

    def before(self, other: Operation) -> bool:
        """It was answered before the other was asked."""
        return self.returned is not None and self.returned < other.called


class BrokenHistory(Exception):
    """A history that no run can have written: the harness is broken, not what it tests."""


def parse(lines: Iterable[str]) -> Iterator[Op]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
            yield Op(**{**found, "type": Kind(found["type"])})
        except (ValueError, TypeError, KeyError) as error:
            raise BrokenHistory(f"line {number}: {error}") from error


def pair(ops: Iterable[Op]) -> list[Operation]:
    """Calls with their answers, in the order of the calls."""
    pending: dict[int, tuple[int, Op]] = {}
    retired: set[int] = set()
    done: dict[int, Operation] = {}
    for at, op in enumerate(ops):
        if op.type is Kind.INVOKE:
            if op.process in pending or op.process in retired:
                raise BrokenHistory(f"position {at}: process {op.process} asks while it may not")
            pending[op.process] = (at, op)
            continue
        if op.process not in pending:
            raise BrokenHistory(f"position {at}: an answer to nothing")
        called, call = pending.pop(op.process)
        if call.f != op.f:
            raise BrokenHistory(f"position {at}: {op.f} answers {call.f}")
        if op.type is Kind.INFO:
            retired.add(op.process)
        done[called] = _joined(call, called=called, answer=op, returned=at)
    for called, call in pending.values():
        done[called] = _joined(call, called=called, answer=None, returned=None)
    return [done[at] for at in sorted(done)]


def _joined(call: Op, *, called: int, answer: Op | None, returned: int | None) -> Operation:
    is_known = answer is not None and answer.type is not Kind.INFO
    return Operation(
        process=call.process,
        f=call.f,
        value=call.value,
        called=called,
        called_ns=call.time,
        kind=Kind.INFO if answer is None else answer.type,
        result=answer.value if answer is not None and is_known else None,
        returned=returned if is_known else None,
        returned_ns=answer.time if answer is not None and is_known else None,
        peer=call.peer,
        error="" if answer is None else answer.error,
    )
