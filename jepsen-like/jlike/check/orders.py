"""Decides whether what was asked of one key has an order: by zones, or by a search. Pure.

Called by `jlike.check.register`, whose docstring says which method is for what.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from jlike.history import Operation, Value

READ, WRITE, CAS, DIFFERS = "read", "write", "cas", "differs"
INITIAL: Value = None
UNNAMED: Value = object()
"""What any of the unseen writes leaves whose value nobody names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An operation of one key that may have happened, or a refusal. Its observed value, or that
    which was not there, or what it writes."""

    source: Operation
    f: str
    expected: Value
    written: Value
    called: int
    returned: float


class BudgetSpent(Exception):
    """More configurations than the budget allows: the search ends without a verdict."""


def by_zones(steps: Sequence[Step]) -> Operation | None:
    """Each value's zone reaches from the first return to the last call of its write and reads. A
    forward zone (first return before last call) must hold its value throughout: two of them may
    not overlap, and no backward zone may lie inside one. Reads of the initial value are as a write
    before everything."""
    groups: dict[str, list[Step]] = defaultdict(list)
    writes = {repr(step.written): step for step in steps if step.f == WRITE}
    for step in steps:
        groups[repr(step.written if step.f == WRITE else step.expected)].append(step)
    forward: list[tuple[float, float, Step]] = []
    backward: list[tuple[float, float, Step]] = []
    for value, group in groups.items():
        write = writes.get(value)
        first = min(step.returned for step in group)
        last_step = max(group, key=lambda step: step.called)
        if write is None:
            if value != repr(INITIAL):
                return group[0].source
            first = -1.0
        elif first < write.called:
            return min(group, key=lambda step: step.returned).source
        if first < last_step.called:
            forward.append((first, last_step.called, last_step))
        else:
            backward.append((last_step.called, first, last_step))
    forward.sort(key=lambda zone: zone[0])
    for earlier, later in itertools.pairwise(forward):
        if later[0] < earlier[1]:
            return max(earlier, later, key=lambda zone: zone[1])[2].source
    return _inside(backward, forward)


def _inside(
    backward: list[tuple[float, float, Step]], forward: list[tuple[float, float, Step]]
) -> Operation | None:
    """Forward zones do not overlap here, so only the last that begins before can hold it."""
    at = 0
    for low, high, step in sorted(backward, key=lambda zone: zone[0]):
        while at + 1 < len(forward) and forward[at + 1][0] < low:
            at += 1
        if forward and forward[at][0] < low and high < forward[at][1]:
            return forward[at][2].source if step.f == WRITE else step.source
    return None


def by_search(
    steps: Sequence[Step], *, unseen: Sequence[float] = (), budget: int
) -> Operation | None:
    """Configuration: (value, bit mask of the open steps that have happened, how many unseen writes
    have). At each return only those live on in which that step has happened; memory grows with
    what is open, not with the history. What only observes happens as soon as it can: that takes
    nothing from what follows. unseen: calls of writes that leave UNNAMED, ascending."""
    moments = [(float(step.called), 0, number) for number, step in enumerate(steps)]
    moments += [
        (step.returned, 1, number)
        for number, step in enumerate(steps)
        if step.returned != float("inf")
    ]
    open_steps: dict[int, Step] = {}
    bits: dict[int, int] = {}
    configurations: set[tuple[Value, int, int]] = {(INITIAL, 0, 0)}
    for moment, is_return, number in sorted(moments):
        if not is_return:
            bit = next(bit for bit in range(len(steps)) if bit not in open_steps)
            bits[number], open_steps[bit] = bit, steps[number]
            continue
        bit = bits.pop(number)
        asked = bisect.bisect_left(unseen, moment)
        seen = {(it[0], _observed(open_steps, it[0], it[1]), it[2]) for it in configurations}
        pending, survivors = list(seen), set()
        while pending:
            value, mask, count = pending.pop()
            if mask >> bit & 1:
                survivors.add((value, mask & ~(1 << bit), count))
                continue
            after = [
                (step.written, mask | 1 << other, count)
                for other, step in open_steps.items()
                if not mask >> other & 1 and (step.f == WRITE or _swaps(step, value))
            ]
            if count < asked and value is not UNNAMED:
                after.append((UNNAMED, mask, count + 1))
            for found, done, used in after:
                reached = (found, _observed(open_steps, found, done), used)
                if reached not in seen:
                    seen.add(reached)
                    pending.append(reached)
        budget -= len(seen)
        if budget < 0:
            raise BudgetSpent
        del open_steps[bit]
        if not survivors:
            return steps[number].source
        configurations = survivors
    return None


def _swaps(step: Step, value: Value) -> bool:
    return step.f == CAS and bool(value == step.expected)


def _observed(open_steps: dict[int, Step], value: Value, mask: int) -> int:
    """The mask with all that was answered as this value says."""
    for bit, step in open_steps.items():
        if step.f in (READ, DIFFERS) and (value == step.expected) == (step.f == READ):
            mask |= 1 << bit
    return mask
