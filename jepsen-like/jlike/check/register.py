"""Decides whether reads, writes and compare-and-sets of each key fit one order in time. Pure.

Called by `jlike.judge`. `value` is [key, argument] as in Jepsen's independent keys; the argument is
null for a read, the new value for a write, [old, new] for a cas. A cas that was refused is `fail`.

Two methods. Without cas and with unique values: zones (Gibbons and Korach, "Testing shared
memories", 1997), n log n however many clients there are. Else: just-in-time linearization (Lowe,
"Testing for linearizability", 2017) over (value, which open operations have happened), with a
budget; when it runs out the verdict is unknown.

Before either, what nobody knows is settled where that changes nothing. Values are unique, so a
write whose value was never seen can be left out: in an order that holds it, whatever follows it
overwrites it unseen. One that was seen happened before its first observer was answered.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from jlike.history import Kind, Operation, Value
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "linearizable"
CONFIGURATIONS_MAX = 2_000_000
INITIAL: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An operation of one key that may have happened. Its observed value, or what it writes."""

    source: Operation
    f: str
    expected: Value
    written: Value
    called: int
    returned: float


class BudgetSpent(Exception):
    """More configurations than the budget allows: the search ends without a verdict."""


def check(operations: Iterable[Operation], *, budget: int = CONFIGURATIONS_MAX) -> Finding:
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.f in ("read", "write", "cas"):
            by_key[str(operation.value[0])].append(operation)
    spent = []
    for key, found in sorted(by_key.items()):
        try:
            failing = violation(found, budget=budget)
        except BudgetSpent:
            spent.append(key)
            continue
        if failing is not None:
            smallest = minimised(found, budget=budget)
            return invalid(NAME, f"key {key}: {explained(smallest, failing)}", smallest)
    if spent:
        return unknown(NAME, f"the budget was spent on {len(spent)} keys, first {spent[0]}")
    count = sum(map(len, by_key.values()))
    return valid(NAME, f"{count} operations on {len(by_key)} keys have an order", operations=count)


def violation(
    operations: Sequence[Operation], *, budget: int = CONFIGURATIONS_MAX
) -> Operation | None:
    """The operation at which no order is left, None when there is one. Operations of one key."""
    steps, are_unique = settled(operations)
    for step in steps:
        if step.returned < step.called:  # seen before it was asked for
            return step.source
    if are_unique and all(step.f != "cas" for step in steps):
        return by_zones(steps)
    return by_search(steps, budget=budget)


def settled(operations: Sequence[Operation]) -> tuple[list[Step], bool]:
    """What certainly happened, and what may have and cannot be left out. Then: whether every value
    is written at most once."""
    steps = [_step(operation) for operation in operations if _may_have_happened(operation)]
    written = [step.written for step in steps if step.f != "read"]
    are_unique = len(written) == len({*map(repr, written)}) and INITIAL not in written
    if not are_unique:
        return steps, False
    return _bounded(steps), True


def _may_have_happened(operation: Operation) -> bool:
    return operation.kind is not Kind.FAIL and (operation.f != "read" or operation.is_ok)


def _step(operation: Operation) -> Step:
    argument = operation.value[1]
    expected, written = None, None
    match operation.f:
        case "read":
            expected = operation.result[1]
        case "write":
            written = argument
        case _:
            expected, written = argument
    return Step(
        source=operation,
        f=operation.f,
        expected=expected,
        written=written,
        called=operation.called,
        returned=operation.end,
    )


def _bounded(steps: list[Step]) -> list[Step]:
    """Unanswered writes get their first observer's return, or go. A cas observes too, so a chain
    of unanswered ones is settled from its seen end backwards."""
    while True:
        seen: dict[str, float] = {}
        for step in steps:
            if step.f != "write" and step.returned != float("inf"):
                value = repr(step.expected)
                seen[value] = min(seen.get(value, float("inf")), step.returned)
        changed = [
            replace(step, returned=seen[repr(step.written)])
            if step.returned == float("inf") and repr(step.written) in seen
            else step
            for step in steps
        ]
        if changed == steps:
            return [step for step in steps if step.returned != float("inf")]
        steps = changed


def by_zones(steps: Sequence[Step]) -> Operation | None:
    """Each value's zone reaches from the first return to the last call of its write and reads. A
    forward zone (first return before last call) must hold its value throughout: two of them may
    not overlap, and no backward zone may lie inside one. Reads of the initial value are as a write
    before everything."""
    groups: dict[str, list[Step]] = defaultdict(list)
    writes = {repr(step.written): step for step in steps if step.f == "write"}
    for step in steps:
        groups[repr(step.written if step.f == "write" else step.expected)].append(step)
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
            return forward[at][2].source if step.f == "write" else step.source
    return None


def by_search(steps: Sequence[Step], *, budget: int) -> Operation | None:
    """Configuration: (value, bit mask of the open steps that have happened). At each return only
    those live on in which that step has happened; memory grows with what is open, not with the
    history."""
    moments = [(float(step.called), 0, number) for number, step in enumerate(steps)]
    moments += [
        (step.returned, 1, number)
        for number, step in enumerate(steps)
        if step.returned != float("inf")
    ]
    open_steps: dict[int, Step] = {}
    bits: dict[int, int] = {}
    configurations: set[tuple[Value, int]] = {(INITIAL, 0)}
    for _, is_return, number in sorted(moments):
        if not is_return:
            bit = next(bit for bit in range(len(steps)) if bit not in open_steps)
            bits[number], open_steps[bit] = bit, steps[number]
            continue
        bit = bits.pop(number)
        seen = set(configurations)
        pending, survivors = list(configurations), set()
        while pending:
            value, mask = pending.pop()
            if mask >> bit & 1:
                survivors.add((value, mask & ~(1 << bit)))
                continue
            for other, step in open_steps.items():
                if not mask >> other & 1 and (step.f == "write" or value == step.expected):
                    after = value if step.f == "read" else step.written
                    reached = (after, mask | 1 << other)
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


def minimised(
    operations: Sequence[Operation], *, budget: int = CONFIGURATIONS_MAX
) -> list[Operation]:
    """The same violation with nothing to take away. What was asked after the shortest beginning
    that has no order changes nothing in it; and a read, or a write or cas with all who saw its
    value, leaves an order of the rest as it was, unless a cas counts on that value. So whatever
    still has no order is a true counterexample."""
    by_call = {it.called: it for it in operations}
    kept = _beginning([it for it in operations if _may_have_happened(it)], budget=budget)
    while True:
        fewer = _without_groups(kept, budget=budget)
        if len(fewer) == len(kept):
            # As they were answered: what was open at the end of the beginning may have ended since.
            return _with_writers([by_call[it.called] for it in kept], operations)
        kept = fewer


def _beginning(operations: list[Operation], *, budget: int) -> list[Operation]:
    """The shortest that has no order; all of it when the budget is spent. What has no order has
    none with more behind it either, so halves are tried."""
    ends = sorted(it.end for it in operations if it.returned is not None)
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        if _is_violated(_until(operations, ends[middle]), budget=budget):
            high = middle
        else:
            low = middle + 1
    return _until(operations, ends[low]) if low < len(ends) else operations


def _with_writers(kept: list[Operation], operations: Sequence[Operation]) -> list[Operation]:
    """And whoever wrote what reads show, where that was asked too late to be needed: it tells."""
    shown = {repr(it.result[1]) for it in kept if it.f == "read"}
    late = [
        it
        for it in operations
        if it.f != "read" and repr(_step(it).written) in shown and it not in kept
    ]
    return sorted([*kept, *late], key=lambda it: it.called)


def _until(operations: Sequence[Operation], end: float) -> list[Operation]:
    """What was asked until then; what had no answer yet is open."""
    cut = [
        it if it.end <= end else replace(it, kind=Kind.INFO, result=None, returned=None)
        for it in operations
        if it.called < end
    ]
    return [it for it in cut if _may_have_happened(it)]


def _without_groups(kept: list[Operation], *, budget: int) -> list[Operation]:
    """Half of the groups that can be left out, then quarters, and so on to single ones."""
    groups = _groups(kept)
    size = max(1, len(groups) // 2)
    while groups:
        at = 0
        while at < len(groups):
            gone = {it.called for group in groups[at : at + size] for it in group}
            rest = [it for it in kept if it.called not in gone]
            if len(rest) < len(kept) and _is_violated(rest, budget=budget):
                kept = rest
                del groups[at : at + size]
            else:
                at += size
        if size == 1:
            break
        size //= 2
    return kept


def _groups(kept: Sequence[Operation]) -> list[list[Operation]]:
    """Each a read, or what wrote a value with all that read it; not where a cas expects it."""
    groups = [[it] for it in kept if it.f == "read"]
    expected = {repr(it.value[1][0]) for it in kept if it.f == "cas"}
    for it in kept:
        value = None if it.f == "read" else _step(it).written
        if it.f != "read" and repr(value) not in expected:
            groups.append([it, *(r for r in kept if r.f == "read" and r.result[1] == value)])
    return groups


def _is_violated(operations: Sequence[Operation], *, budget: int) -> bool:
    try:
        return violation(operations, budget=budget) is not None
    except BudgetSpent:
        return False


def explained(operations: Sequence[Operation], failing: Operation) -> str:
    """A sentence for the commonest reasons, else a true but plain one."""
    writes = {
        repr(step.written): step.source
        for step in map(_step, filter(_may_have_happened, operations))
        if step.f != "read"
    }
    for read in operations:
        if read.f != "read" or not read.is_ok:
            continue
        value = read.result[1]
        write = writes.get(repr(value))
        shown = "nothing" if value is INITIAL else repr(value)
        where = f"a read at {read.peer or 'a peer'} returned {shown}"
        if write is None and value is not INITIAL:
            return f"{where}, which nobody wrote"
        if write is not None and read.before(write):
            return f"{where} before anybody had asked to write it"
        for later in writes.values():
            if later.before(read) and (write is None or write.before(later)):
                late_ms = (read.called_ns - (later.returned_ns or 0)) / 1e6
                written = _step(later).written
                return (
                    f"{where} though {later.f} of {written!r} had returned {late_ms:.1f} ms before"
                )
    return (
        f"no order explains these {len(operations)} operations;"
        f" the last chance ended at the {failing.f} of process {failing.process}"
    )
