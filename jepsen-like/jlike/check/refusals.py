"""Decides whether a compare-and-set was refused though its key held what it expected. Pure.

Called by `jlike.check.register`, for the operations of one key. A value that is written once is
there without a gap: from its write to the next one. Whoever was shown it, or told that it is
written, before the question was asked, and whoever found it there after the refusal was answered,
prove together that it was there all the time. Linear, whatever else is open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jlike.check.orders import DIFFERS
from jlike.history import Kind, Operation, Value


def is_refusal(operation: Operation) -> bool:
    return operation.f == "cas" and operation.kind is Kind.FAIL and operation.error == DIFFERS


def wrong(operations: Sequence[Operation]) -> tuple[Operation, Operation, Operation] | None:
    """(who knew the value before, the refused one, who found it there after), or None."""
    known: dict[str, Operation] = {}
    found: dict[str, Operation] = {}
    for it in operations:
        if it.is_ok:
            for value in _told(it):
                if value not in known or it.end < known[value].end:
                    known[value] = it
            for value in _seen(it):
                if value not in found or it.called > found[value].called:
                    found[value] = it
    writes = Counter(repr(_written(it)) for it in operations if it.f != "read")
    for it in filter(is_refusal, operations):
        expected = repr(it.value[1][0])
        before, after = known.get(expected), found.get(expected)
        if before is None or after is None or writes[expected] > 1:
            continue
        if before.before(it) and it.before(after):
            return before, it, after
    return None


def _written(operation: Operation) -> Value:
    argument = operation.value[1]
    return argument if operation.f == "write" else argument[1]


def _told(operation: Operation) -> list[str]:
    """What is there, or was there, when this is answered."""
    return [repr(operation.result[1] if operation.f == "read" else _written(operation))]


def _seen(operation: Operation) -> list[str]:
    """What was there after this was asked."""
    if operation.f == "write":
        return []
    return [repr(operation.result[1] if operation.f == "read" else operation.value[1][0])]
