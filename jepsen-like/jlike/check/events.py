"""Decides whether an event log is one log: dense, ordered, the same everywhere. Pure.

Called by `jlike.judge`. `poll` [after, is_final] → [[id, seq, chain, key], …] in the order given;
`write` [key, …] of which each acknowledged one must be told of, and none twice. Final polls
together hold the whole log of their peer, taken when everything was healed. A poll that is asked as
[after, false, most] is linearizable: it tells of all that was acknowledged before it was asked, up
to so many events.

The order of events is that of time: what was acknowledged before another write was asked comes
before it. Nothing is told before it was asked for, or though nobody asked for it.
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "events"
OWN = "events/"
"""What the names of the records begin with that only these writes change."""
Writes = dict[str, list[Operation]]
Known = tuple[float, str, Operation]
"""When the write was acknowledged, the id of its event."""


def check(operations: Iterable[Operation], *, own: str = OWN) -> Finding:
    found = list(operations)
    polls = [it for it in found if it.f == "poll" and it.is_ok]
    writes: Writes = defaultdict(list)
    for it in found:
        if it.f == "write":
            writes[str(it.value[0])].append(it)
    wrong = (
        _pages(polls)
        or _one_meaning(polls)
        or _origin(polls, writes, own=own)
        or _order(polls, writes)
        or _newest(polls, writes)
    )
    if wrong:
        return wrong
    tails: dict[str, list[Sequence[str | int]]] = defaultdict(list)
    for poll in polls:
        if poll.value[1]:
            tails[poll.peer].extend(poll.result)
    wrong = _same_everywhere(tails) or _complete(polls, tails, writes) if tails else None
    if wrong:
        return wrong
    if not tails or not any(it.is_ok for one in writes.values() for it in one):
        return unknown(NAME, "nothing was written, or the log was never read to its end")
    count = len(next(iter(tails.values())))
    return valid(
        NAME, f"{count} events, the same on {len(tails)} peers, none missing", events=count
    )


def _pages(polls: list[Operation]) -> Finding | None:
    for poll in polls:
        last_id, last_seq = poll.value[0], None
        for event_id, seq, _, _ in poll.result:
            if event_id <= last_id:
                return invalid(
                    NAME, f"{poll.peer}: event {event_id} does not come after {last_id}", [poll]
                )
            if last_seq is not None and seq != last_seq + 1:
                return invalid(NAME, f"{poll.peer}: event number {seq} follows {last_seq}", [poll])
            last_id, last_seq = event_id, seq
    return None


def _one_meaning(polls: list[Operation]) -> Finding | None:
    """One number, one event, whoever is asked and whenever. Then a page begins with the event
    after the one it was asked to go on from."""
    by_seq: dict[int, tuple[list[object], Operation]] = {}
    seq_of: dict[str, int] = {}
    for poll in polls:
        for event in poll.result:
            known, first = by_seq.setdefault(event[1], (list(event), poll))
            if known != list(event):
                return invalid(
                    NAME,
                    f"event number {event[1]} is one thing at {first.peer}"
                    f" and another at {poll.peer}",
                    [first, poll],
                )
            seq_of[event[0]] = event[1]
    for poll in polls:
        before = seq_of.get(poll.value[0], 0 if int(poll.value[0]) == 0 else None)
        if poll.result and before is not None and poll.result[0][1] != before + 1:
            return invalid(
                NAME,
                f"{poll.peer} was asked to go on after event number {before}"
                f" and went on with {poll.result[0][1]}",
                [poll],
            )
    return None


def _origin(polls: list[Operation], writes: Writes, *, own: str) -> Finding | None:
    for poll in polls:
        for _, seq, _, key in poll.result:
            asked = writes.get(str(key))
            if asked is None and str(key).startswith(own):
                reason = f"{poll.peer} told of a write of {key}, which nobody asked for"
                return invalid(NAME, f"{reason} (event number {seq})", [poll])
            if asked is not None and poll.before(asked[0]):
                return invalid(
                    NAME,
                    f"{poll.peer} told of a write of {key} before it was asked",
                    [asked[0], poll],
                )
    return None


def _order(polls: list[Operation], writes: Writes) -> Finding | None:
    """Of a record that was written more than once: its event is of any of these writes."""
    key_of = {event[1]: str(event[3]) for poll in polls for event in poll.result}
    latest: Operation | None = None
    for _, key in sorted(key_of.items()):
        if key not in writes:
            continue
        last = max(writes[key], key=_certain_end)
        if latest is not None and _certain_end(last) < latest.called:
            return invalid(
                NAME,
                f"the write of {key} was acknowledged before that of {latest.value[0]} was asked,"
                " and its event comes after",
                [last, latest],
            )
        if latest is None or writes[key][0].called > latest.called:
            latest = writes[key][0]
    return None


def _certain_end(write: Operation) -> float:
    return write.end if write.is_ok else float("inf")


def _newest(polls: list[Operation], writes: Writes) -> Finding | None:
    """Pages have no gaps, so what matters is the newest event that a poll must reach."""
    id_of = {str(event[3]): str(event[0]) for poll in polls for event in poll.result}
    known = sorted(
        (
            (one[0].end, id_of[key], one[0])
            for key, one in writes.items()
            if _is_known(key, one, id_of)
        ),
        key=lambda it: it[0],
    )
    ends = [it[0] for it in known]
    newest = list(itertools.accumulate(known, _newer))
    for poll in polls:
        after, _, *most = poll.value
        at = bisect.bisect_left(ends, poll.called) if most else 0
        if not at or len(poll.result) >= most[0]:
            continue
        _, event_id, write = newest[at - 1]
        if event_id > (poll.result[-1][0] if poll.result else after):
            return invalid(
                NAME,
                f"the write of {write.value[0]} was acknowledged, and a linearizable poll at"
                f" {poll.peer} afterwards does not tell of it",
                [write, poll],
            )
    return None


def _is_known(key: str, one: list[Operation], id_of: dict[str, str]) -> bool:
    return len(one) == 1 and one[0].is_ok and key in id_of


def _newer(one: Known, other: Known) -> Known:
    return max(one, other, key=lambda it: it[1])


def _same_everywhere(tails: dict[str, list[Sequence[str | int]]]) -> Finding | None:
    (one, first), *others = tails.items()
    for other, tail in others:
        if list(map(list, tail)) != list(map(list, first)):
            return invalid(NAME, f"{one} and {other} hold different logs at the end")
    return None


def _complete(
    polls: list[Operation],
    tails: dict[str, list[Sequence[str | int]]],
    writes: Writes,
) -> Finding | None:
    log = next(iter(tails.values()))
    kept = {str(event[0]) for event in log}
    for poll in polls:
        for event in poll.result:
            if event[0] not in kept:
                return invalid(
                    NAME,
                    f"{poll.peer} told of event {event[0]}, which is lost (dirty read)",
                    [poll],
                )
    told = Counter(str(event[3]) for event in log)
    for key, one in writes.items():
        write = one[-1]
        if write.is_ok and key not in told:
            return invalid(NAME, f"the write of {key} was acknowledged and has no event", [write])
        if write.kind is Kind.FAIL and key in told:
            return invalid(NAME, f"the write of {key} was refused and has an event", [write])
        if told[key] > len(one):
            reason = f"writes of {key}: {len(one)}, events of it: {told[key]}"
            return invalid(NAME, reason, [write])
    return None
