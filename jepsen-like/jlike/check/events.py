"""Decides whether an event log is one log: dense, ordered, the same everywhere. Pure.

Called by `jlike.judge`. `poll` [after, is_final] → [[id, seq, chain, key], …] in the order given;
`write` [key, …] of which each acknowledged one must be told of, and none twice. Final polls
together hold the whole log of their peer, taken when everything was healed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "events"


def check(operations: Iterable[Operation]) -> Finding:
    found = list(operations)
    polls = [it for it in found if it.f == "poll" and it.is_ok]
    writes = {str(it.value[0]): it for it in found if it.f == "write"}
    asked = Counter(str(it.value[0]) for it in found if it.f == "write")
    wrong = _pages(polls) or _one_meaning(polls)
    if wrong:
        return wrong
    tails: dict[str, list[Sequence[str | int]]] = defaultdict(list)
    for poll in polls:
        if poll.value[1]:
            tails[poll.peer].extend(poll.result)
    wrong = _same_everywhere(tails) or _complete(polls, tails, writes, asked) if tails else None
    if wrong:
        return wrong
    if not tails or not any(it.is_ok for it in writes.values()):
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


def _same_everywhere(tails: dict[str, list[Sequence[str | int]]]) -> Finding | None:
    (one, first), *others = tails.items()
    for other, tail in others:
        if list(map(list, tail)) != list(map(list, first)):
            return invalid(NAME, f"{one} and {other} hold different logs at the end")
    return None


def _complete(
    polls: list[Operation],
    tails: dict[str, list[Sequence[str | int]]],
    writes: dict[str, Operation],
    asked: Counter[str],
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
    for key, write in writes.items():
        if write.is_ok and key not in told:
            return invalid(NAME, f"the write of {key} was acknowledged and has no event", [write])
        if write.kind is Kind.FAIL and key in told:
            return invalid(NAME, f"the write of {key} was refused and has an event", [write])
        if told[key] > asked[key]:
            reason = f"writes of {key}: {asked[key]}, events of it: {told[key]}"
            return invalid(NAME, reason, [write])
    return None
