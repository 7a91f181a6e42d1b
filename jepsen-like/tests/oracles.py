"""Brute force, to hold checkers against: all orders of a small history. Not a test file."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence

from histories import FAIL, INFO, History

from jlike.history import Kind, Operation, Value
from jlike.verdict import Finding, Verdict

Legal = Callable[[Sequence[Operation]], bool]
"""Whether these operations, one after the other, could all have been answered as they were."""
Draw = Callable[[random.Random], tuple[str, Value]]
"""The next question."""
Server = Callable[[random.Random, str, Value], tuple[Kind, Value]]
"""Carries it out at one instant, rightly or not. What it refuses has the result as its error."""
Hear = Callable[[str, Value], None]
"""An answer reached whoever asked: from now on the next question may be about it."""
LONG_NS = 10**15
"""A lease or a claim that does not end by itself in these histories."""


def token(number: int) -> str:
    return f"{number:019}"


def has_order(operations: Sequence[Operation], legal: Legal) -> bool:
    """Some order of all that happened, and of any choice of the unanswered, which agrees with time,
    is legal. A refusal that says why is an observation, and happened, too."""
    surely = [it for it in operations if it.is_ok or it.error]
    maybe = [it for it in operations if it.kind is Kind.INFO]
    return any(
        legal(order)
        for count in range(len(maybe) + 1)
        for some in itertools.combinations(maybe, count)
        for order in itertools.permutations([*surely, *some])
        if all(not later.before(one) for one, later in itertools.combinations(order, 2))
    )


def random_history(
    chance: random.Random,
    draw: Draw,
    server: Server,
    *,
    count: int,
    last: Sequence[str] = (),
    hear: Hear = lambda f, result: None,
) -> History:
    """`count` questions at most, some under way together, each carried out as soon as it is asked
    or just before it is answered; then the last ones, alone."""
    history = History()
    pending: list[tuple[int, str, Value, tuple[Kind, Value] | None]] = []
    left = count
    while left or pending:
        if left and (not pending or chance.random() < 0.6):
            left -= 1
            f, value = draw(chance)
            call = history.call(f, value)
            done = server(chance, f, value) if chance.random() < 0.5 else None
            pending.append((call, f, value, done))
            continue
        call, f, value, done = pending.pop(chance.randrange(len(pending)))
        if done is None:
            done = server(chance, f, value)
        kind, result = done
        is_heard = kind is not Kind.OK or chance.random() < 0.85
        if kind is FAIL:
            history.answer(call, kind=kind, error=result or "")
        else:
            history.answer(call, result, kind=kind if is_heard else INFO)
        if is_heard and kind is Kind.OK:
            hear(f, result)
    for f in last:
        kind, result = server(chance, f, None)
        history.did(f, None, result, kind=kind)
    return history


def agree(
    histories: Callable[[random.Random], History],
    check: Callable[[Sequence[Operation]], Finding],
    legal: Callable[[Sequence[Operation]], bool],
    *,
    seeds: int,
) -> None:
    """The checker says invalid when, and only when, the oracle finds nothing legal; both happen."""
    counts = {True: 0, False: 0}
    for seed in range(seeds):
        operations = histories(random.Random(seed)).operations
        is_legal = legal(operations)
        found = check(operations)
        assert (found.verdict is not Verdict.INVALID) == is_legal, (seed, is_legal, found.reason)
        counts[is_legal] += 1
    assert min(counts.values()) > seeds / 12, counts
