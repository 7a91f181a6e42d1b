"""Decides whether repeats of one request were ever carried out twice. Pure.

Called by `jlike.judge`. `append` [key, element] is sent several times under one idempotency key;
`repeat` has the same value; `final` null → {key: [element, …]} of each peer. A repeat's answer is
the first one's: [revision], equal for all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from jlike.history import Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "requests"


def check(operations: Iterable[Operation]) -> Finding:
    sent: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    finals = []
    for operation in operations:
        if operation.f in ("append", "repeat"):
            key, element = operation.value
            sent[str(key), str(element)].append(operation)
        elif operation.f == "final" and operation.is_ok:
            finals.append(operation)
    for (key, element), attempts in sent.items():
        answers = [it for it in attempts if it.is_ok]
        if len({repr(it.result) for it in answers}) > 1:
            return invalid(NAME, f"{key}: attempts for {element} got different answers", answers)
    for final in finals:
        for key, elements in final.result.items():
            element, count = Counter(map(str, elements)).most_common(1)[0] if elements else ("", 0)
            if count > 1:
                return invalid(
                    NAME, f"{key}: {element} was carried out {count} times", sent[key, element]
                )
        for (key, element), attempts in sent.items():
            is_known = any(it.is_ok and it.before(final) for it in attempts)
            if is_known and element not in map(str, final.result.get(key, ())):
                return invalid(NAME, f"{key}: {element} was acknowledged and is lost", attempts)
    if not finals or not sent:
        return unknown(NAME, "nothing was sent, or nothing was read at the end")
    repeats = sum(len(attempts) - 1 for attempts in sent.values())
    return valid(NAME, f"{len(sent)} requests and {repeats} repeats, each carried out once")
