"""Decides whether reads, writes and compare-and-sets of each key fit one order in time. Pure.

Called by `jlike.judge`. `value` is [key, argument] as in Jepsen's independent keys; the argument is
null for a read, the new value for a write, [old, new] for a cas. A cas that was refused is `fail`;
because it found something else (`differs`), then it is an observation: not `old` was there.

Two methods. Without cas and with unique values: zones (Gibbons and Korach, "Testing shared
memories", 1997), n log n however many clients there are. Else: just-in-time linearization (Lowe,
"Testing for linearizability", 2017) over (value, which open operations have happened), with a
budget; when it runs out the verdict is unknown.

Before either, what nobody knows is settled where that changes nothing. Values are unique, so a
write whose value was never seen can be left out: in an order that holds it, whatever follows it
overwrites it unseen. One that was seen happened before its first observer was answered. Where a
cas was refused, the unseen ones stay: they may be what it found. All that nobody ever names are
alike, so the search counts them instead of telling them apart.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from jlike.check import refusals
from jlike.check.orders import DIFFERS, INITIAL, BudgetSpent, Step, by_search, by_zones
from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "linearizable"
CONFIGURATIONS_MAX = 2_000_000
REFUSALS_SHARE = 0.1
"""Of the budget, for what refusals say together; that they are right one by one is judged before.
"""


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
    if found := refusals.wrong(operations):
        return found[1]
    if refused := [_refusal(it) for it in operations if refusals.is_refusal(it)]:
        # Each was judged alone above: when this takes too long, the others are judged without them.
        with contextlib.suppress(BudgetSpent):
            return _by_refusals(operations, refused, budget=int(budget * REFUSALS_SHARE))
    if are_unique and all(step.f != "cas" for step in steps):
        return by_zones(steps)
    return by_search(steps, budget=budget)


def settled(operations: Sequence[Operation]) -> tuple[list[Step], bool]:
    """What certainly happened, and what may have and cannot be left out. Then: whether every value
    is written at most once."""
    steps, are_unique = _bounded(operations)
    if not are_unique:
        return steps, False
    return [step for step in steps if step.returned != float("inf")], True


def _by_refusals(
    operations: Sequence[Operation], refused: list[Step], *, budget: int
) -> Operation | None:
    """With what they say, and the unseen that may explain it."""
    steps, are_unique = _bounded(operations)
    if not are_unique:
        return by_search([*steps, *refused], budget=budget)
    last = max(step.returned for step in refused)
    steps = [it for it in steps if it.returned != float("inf") or it.called < last]
    named = {repr(step.expected) for step in (*steps, *refused) if step.f != "write"}
    unnamed = [
        step
        for step in steps
        if step.f == "write" and step.returned == float("inf") and repr(step.written) not in named
    ]
    kept = [step for step in steps if step not in unnamed]
    unseen = sorted(step.called for step in unnamed)
    return by_search([*kept, *refused], unseen=unseen, budget=budget)


def _may_have_happened(operation: Operation) -> bool:
    return operation.kind is not Kind.FAIL and (operation.f != "read" or operation.is_ok)


def _tells(operation: Operation) -> bool:
    return _may_have_happened(operation) or refusals.is_refusal(operation)


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


def _refusal(operation: Operation) -> Step:
    return Step(
        source=operation,
        f=DIFFERS,
        expected=operation.value[1][0],
        written=None,
        called=operation.called,
        returned=operation.end,
    )


def _bounded(operations: Sequence[Operation]) -> tuple[list[Step], bool]:
    """Unanswered writes get their first observer's return. A cas observes too, so a chain of
    unanswered ones is settled from its seen end backwards. Not where a value is written twice."""
    steps = [_step(operation) for operation in operations if _may_have_happened(operation)]
    written = [step.written for step in steps if step.f != "read"]
    if len(written) != len({*map(repr, written)}) or INITIAL in written:
        return steps, False
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
            return steps, True
        steps = changed


def minimised(
    operations: Sequence[Operation], *, budget: int = CONFIGURATIONS_MAX
) -> list[Operation]:
    """The same violation with nothing to take away. What was asked after the shortest beginning
    that has no order changes nothing in it; and a read, or a write or cas with all who saw its
    value, leaves an order of the rest as it was, unless a cas counts on that value. So whatever
    still has no order is a true counterexample. Where refusals are part of it, every write may be
    what explains one, so only what observes is left out."""
    if found := refusals.wrong(operations):
        return _with_writers([*{it.called: it for it in found}.values()], operations)
    by_call = {it.called: it for it in operations}
    kept = [it for it in operations if _may_have_happened(it)]
    if not _is_violated(kept, budget=budget):
        kept = [it for it in operations if _tells(it)]
    kept = _beginning(kept, budget=budget)
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
        if it.called < end and not (refusals.is_refusal(it) and it.end > end)
    ]
    return [it for it in cut if _tells(it)]


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
    groups = [[it] for it in kept if it.f == "read" or refusals.is_refusal(it)]
    if any(map(refusals.is_refusal, kept)):
        return groups
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
    if found := refusals.wrong(operations):
        value, where = found[1].value[1][0], found[1].peer or "a peer"
        return f"a cas of {value!r} was refused at {where} though {value!r} was there all the time"
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
