"""The checker of queues against brute force: small random histories of a server that is sometimes
broken; what no order explains must be called invalid, and nothing else.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from histories import FAIL, OK, History
from oracles import LONG_NS, agree, has_order, random_history, token

from jlike.check import queue
from jlike.history import Kind, Operation, Value
from jlike.verdict import Verdict


class Queue:
    """Jobs in memory. is_broken: forgets, repeats, refuses, changes turns, or takes any token, now
    and then. is_unfair: only turns are wrong."""

    def __init__(self, chance: random.Random, *, is_unfair: bool) -> None:
        self.is_broken = chance.random() < 0.6
        self.is_unfair = is_unfair
        self.tells_attempts = chance.random() < 0.5
        self.waiting: list[list[str]] = []
        self.claimed: dict[str, list[str]] = {}
        self.given: list[list[str]] = []
        self.numbers = itertools.count(1)

    def draw(self, chance: random.Random) -> tuple[str, Value]:
        f = chance.choice(("enqueue", "claim", "ack"))
        if f == "ack" and self.given:
            job = chance.choice(self.given)
            return f, job if chance.random() < 0.9 else ["other", *job[1:]]
        return ("claim", None) if f != "enqueue" else (f, f"j{next(self.numbers)}")

    def serve(self, chance: random.Random, f: str, value: Value) -> tuple[Kind, Value]:
        errs = self.is_broken and chance.random() < 0.3
        if self.is_unfair:
            errs = False
        match f:
            case "enqueue":
                if not errs:
                    self.waiting.append([token(next(self.numbers)), value])
                return OK, None
            case "claim":
                if self.is_unfair:
                    return OK, self.claim(chance.choice(("none", "last", "")))
                return OK, self.claim(chance.choice(("again", "none", "last")) if errs else "")
            case "ack":
                if self.claimed.get(value[2]) == value and not errs:
                    del self.claimed[value[2]]
                    return OK, None
                return (OK, None) if errs and chance.random() < 0.5 else (FAIL, "stale_token")
            case _:
                return OK, [it[1] for it in self.waiting] + list(self.claimed)

    def claim(self, error: str) -> list[list[Value]]:
        if not self.waiting or error == "none":
            return []
        at = -1 if error == "last" else 0
        job_id, body = self.waiting[0] if error == "again" else self.waiting.pop(at)
        self.claimed[body] = [job_id, token(next(self.numbers)), body]
        return [[*self.claimed[body], *([1] if self.tells_attempts else [])]]

    def hear(self, f: str, result: Value) -> None:
        if f == "claim":
            self.given += [it[:3] for it in result]


def _queue_tells(order: Sequence[Operation], *, in_turn: bool) -> bool:
    """Tokens grow with each claim. in_turn: a claim gives the oldest there is; else it may give any
    or none, but never what is claimed."""
    waiting: list[str] = []
    claimed: dict[str, list[str]] = {}
    last = ""
    for it in order:
        match it.f:
            case "enqueue":
                waiting.append(it.value)
            case "claim" if not it.is_ok:
                if waiting:  # it has the oldest for ever, and nobody knows
                    claimed[waiting.pop(0)] = []
            case "claim":
                if in_turn and [job[2] for job in it.result] != waiting[:1]:
                    return False
                for job_id, given, body, *_ in it.result:
                    if body not in waiting or given <= last:
                        return False
                    last = given
                    waiting.remove(body)
                    claimed[body] = [job_id, given, body]
            case "ack" if it.kind is FAIL:
                if claimed.get(it.value[2]) == it.value:
                    return False
            case "ack":
                if claimed.pop(it.value[2], None) != it.value:
                    return False
            case _:
                if sorted(it.result) != sorted([*waiting, *claimed]):
                    return False
    return True


def _queue_history(chance: random.Random, *, is_unfair: bool = False) -> History:
    model = Queue(chance, is_unfair=is_unfair)
    return random_history(
        chance, model.draw, model.serve, count=6, last=("drain",), hear=model.hear
    )


def _queue_legal(operations: Sequence[Operation]) -> bool:
    """An unanswered claim may hold a job back, which nobody sees: it is as if it waited."""
    told = [it for it in operations if it.f != "claim" or it.is_ok]
    return has_order(told, lambda order: _queue_tells(order, in_turn=False))


def _turns_legal(operations: Sequence[Operation]) -> bool:
    return has_order(operations, lambda order: _queue_tells(order, in_turn=True))


def test_the_queue_checker_agrees_with_a_search_of_all_orders():
    agree(
        _queue_history,
        lambda found: queue.check(found, visibility_ns=LONG_NS),
        _queue_legal,
        seeds=800,
    )


def test_what_it_says_of_turns_has_no_order():
    """Not all that has none is seen: what each unanswered claim may have taken is left open."""
    caught = missed = 0
    for seed in range(1_000):
        operations = _queue_history(random.Random(seed), is_unfair=seed % 2 == 0).operations
        found = queue.check(operations, visibility_ns=LONG_NS, claim_max=1)
        is_legal = _turns_legal(operations)
        assert found.verdict is not Verdict.INVALID or not is_legal, (seed, found.reason)
        if not is_legal and _queue_legal(operations):
            caught += found.verdict is Verdict.INVALID
            missed += found.verdict is not Verdict.INVALID
    assert caught > 3 * missed > 0, (caught, missed)
