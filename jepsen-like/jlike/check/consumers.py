"""Decides whether named consumers handled each event once, below the place that is kept. Pure.

Called by `jlike.judge`. Values:
  fetch   name → [name, position, revision, [[id, seq], …]]: what a reader found to handle
  commit  [name, position, revision, last id]: it handled them, if nobody moved the consumer since
  place   name → [name, position], when all is quiet
  log     null → [[id, seq], …]: the whole event log
A reader was given all events between the first and the last that it was given, and the one right
after its place. The moves of a consumer are one path: from the place where all were made (start),
over every acknowledged move, to every place that was shown; with unanswered moves where they are
needed. So an event below the place was handled by exactly one of them: two moves that leave one
place, or a place inside a move, are events handled twice; a place without a way to it is events
handled by nobody. And no move or read is at a place before one that was shown before it was asked.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from jlike.history import Kind, Operation, Value
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "consumers"


def check(operations: Iterable[Operation], *, start: str, is_whole: bool = True) -> Finding:
    """is_whole: nothing is before the start."""
    found = list(operations)
    numbers = _numbers(found, {start: 0} if is_whole else {})
    if isinstance(numbers, Finding):
        return numbers
    moves: dict[str, list[Operation]] = defaultdict(list)
    for operation in found:
        if operation.f == "commit" and operation.kind is not Kind.FAIL:
            moves[operation.value[0]].append(operation)
    handled = 0
    for fetch in found:
        if fetch.f == "fetch" and fetch.is_ok:
            wrong = _page(fetch, numbers)
            if wrong:
                return wrong
    names = {it.result[0] for it in found if it.is_ok and it.f in ("fetch", "place")}
    for name in sorted({*moves, *names}):
        commits = moves[name]
        reads = [it for it in found if it.is_ok and _shows(it, name)]
        wrong = (
            _path(name, commits, reads, start=start)
            or _backwards(name, commits, reads)
            or _unreached(name, commits, reads, start=start)
        )
        if wrong:
            return wrong
        handled += sum(it.is_ok for it in commits)
    if not handled:
        return unknown(NAME, "no consumer was ever moved")
    return valid(NAME, f"{handled} moves of {len(moves)} consumers, over each event once")


def _numbers(found: list[Operation], known: Mapping[str, int]) -> dict[str, int] | Finding:
    """Id → number of each event that anybody was given; the log has no event 0."""
    numbers = dict(known)
    for operation in found:
        for event_id, seq in _rows(operation):
            if numbers.setdefault(event_id, seq) != seq:
                return invalid(NAME, f"event {event_id} has two numbers", [operation])
    return numbers


def _rows(operation: Operation) -> list[list[Value]]:
    if not operation.is_ok or operation.f not in ("fetch", "log"):
        return []
    rows: list[list[Value]] = operation.result if operation.f == "log" else operation.result[3]
    return rows


def _page(fetch: Operation, numbers: Mapping[str, int]) -> Finding | None:
    """It holds the events that follow its place in the log, none left out, in their order."""
    position = fetch.result[1]
    last_id, last = position, numbers.get(position)
    for event_id, seq in _rows(fetch):
        if event_id <= last_id or (last is not None and seq != last + 1):
            return invalid(
                NAME,
                f"a reader at {fetch.peer} was given event number {seq}"
                f" after {'none' if last is None else last}",
                [fetch],
            )
        last_id, last = event_id, seq
    return None


def _shows(operation: Operation, name: str) -> bool:
    return operation.f in ("fetch", "place") and operation.result[0] == name


def _path(
    name: str, commits: Sequence[Operation], reads: Sequence[Operation], *, start: str
) -> Finding | None:
    done: dict[str, Operation] = {}
    shown: dict[str, Operation] = {it.result[1]: it for it in reads}
    for commit in commits:
        if not commit.is_ok:
            continue
        other = done.setdefault(commit.value[1], commit)
        if other is not commit:
            return invalid(
                NAME, f"{name} was moved twice over what follows {commit.value[1]}", [other, commit]
            )
        shown |= {commit.value[1]: commit, commit.value[3]: commit}
    maybe = [it for it in commits if not it.is_ok]
    for place, following in itertools.pairwise(sorted({start, *shown})):
        move = done.get(place)
        if move is not None and move.value[3] != following:
            return invalid(
                NAME,
                f"{name} was at {following}, in the middle of what one move went over: what"
                " follows was handled twice",
                [move, shown[following]],
            )
        if move is None and following not in _reached(place, maybe):
            return invalid(
                NAME,
                f"{name} came from {place} to {following}, and nobody moved it there",
                [shown[following]],
            )
    return None


def _backwards(
    name: str, commits: Sequence[Operation], reads: Sequence[Operation]
) -> Finding | None:
    """(where it was, where it was then, operation) of all that was answered, in time."""
    seen = [(it.value[1], it.value[3], it) for it in commits if it.is_ok]
    seen += [(it.result[1], it.result[1], it) for it in reads]
    by_end = sorted(seen, key=lambda it: it[2].end)
    furthest: tuple[str, Operation] | None = None
    at = 0
    for place, _, operation in sorted(seen, key=lambda it: it[2].called):
        while at < len(by_end) and by_end[at][2].before(operation):
            if furthest is None or by_end[at][1] > furthest[0]:
                furthest = (by_end[at][1], by_end[at][2])
            at += 1
        if furthest is not None and place < furthest[0]:
            return invalid(
                NAME,
                f"{name} was at {furthest[0]}, and a later {operation.f} at {operation.peer}"
                f" finds it at {place}",
                [furthest[1], operation],
            )
    return None


def _unreached(
    name: str, commits: Sequence[Operation], reads: Sequence[Operation], *, start: str
) -> Finding | None:
    """A place is shown that the moves asked for so far do not lead to."""
    for shown in [*reads, *(it for it in commits if it.is_ok)]:
        place = shown.result[1] if shown.f != "commit" else shown.value[1]
        asked = [it for it in commits if it.called < shown.end and it is not shown]
        if place not in _reached(start, asked):
            return invalid(
                NAME, f"{shown.peer} shows {name} at {place} before it was moved there", [shown]
            )
    return None


def _reached(place: str, commits: Sequence[Operation]) -> set[str]:
    """Places that these moves lead to."""
    reached = {place}
    for commit in sorted(commits, key=lambda it: str(it.value[1])):  # moves lead upwards only
        if commit.value[1] in reached:
            reached.add(commit.value[3])
    return reached
