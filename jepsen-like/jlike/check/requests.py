"""Decides whether repeats of one request were ever carried out twice. Pure.

Called by `jlike.judge`. Values:
  append, repeat  [key, element] → [id of what was made]: several attempts under one request id
  ask             [key, element] → the same, or null: nobody has carried it out yet
  final           null → {key: [element, …]} of one peer, when all is quiet
All answers to one request are equal; what one attempt was answered every later question knows; each
element is there once when an attempt was answered, at most once when none was, never when all were
refused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "requests"
Sent = dict[tuple[str, str], list[Operation]]


def check(operations: Iterable[Operation]) -> Finding:
    sent: Sent = defaultdict(list)
    asked: Sent = defaultdict(list)
    finals = []
    for operation in operations:
        if operation.f in ("append", "repeat"):
            key, element = operation.value
            sent[str(key), str(element)].append(operation)
        elif operation.f == "ask" and operation.is_ok:
            key, element = operation.value
            asked[str(key), str(element)].append(operation)
        elif operation.f == "final" and operation.is_ok:
            finals.append(operation)
    for (key, element), attempts in sent.items():
        wrong = _answers(f"{key}: {element}", attempts, asked[key, element])
        if wrong:
            return wrong
    for final in finals:
        wrong = _effects(final, sent)
        if wrong:
            return wrong
    if not finals or not any(it.is_ok for attempts in sent.values() for it in attempts):
        return unknown(NAME, "nothing was carried out, or nothing was read at the end")
    repeats = sum(len(attempts) - 1 for attempts in sent.values())
    return valid(NAME, f"{len(sent)} requests and {repeats} repeats, each carried out once")


def _answers(
    what: str, attempts: Sequence[Operation], asked: Sequence[Operation]
) -> Finding | None:
    answers = [it for it in attempts if it.is_ok]
    told = [*answers, *(it for it in asked if it.result is not None)]
    for other in told[1:]:
        if other.result != told[0].result:
            return invalid(NAME, f"{what} was answered in two ways", [told[0], other])
    for question in asked:
        known = next((it for it in told if it.before(question)), None)
        if question.result is None and known is not None:
            return invalid(
                NAME,
                f"{what} was carried out, and {question.peer} knows nothing of it",
                [known, question],
            )
    return None


def _effects(final: Operation, sent: Sent) -> Finding | None:
    for key, elements in final.result.items():
        for element, count in Counter(map(str, elements)).items():
            attempts = sent.get((key, element), [])
            if count > 1:
                return invalid(NAME, f"{key}: {element} was carried out {count} times", attempts)
            if all(it.kind is Kind.FAIL for it in attempts):
                why = "was refused" if attempts else "nobody asked for"
                return invalid(
                    NAME, f"{key}: {element}, which {why}, was carried out", [*attempts, final]
                )
    for (key, element), attempts in sent.items():
        is_known = any(it.is_ok and it.before(final) for it in attempts)
        if is_known and element not in map(str, final.result.get(key, ())):
            return invalid(NAME, f"{key}: {element} was acknowledged and is lost", attempts)
    return None
