"""The checker of locks against brute force: small random histories of a server that is sometimes
broken; what no order explains must be called invalid, and nothing else.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from histories import FAIL, OK, History
from oracles import LONG_NS, agree, has_order, random_history, token

from jlike.check import lock
from jlike.history import Kind, Operation, Value


class Lock:
    def __init__(self, *, is_broken: bool) -> None:
        self.is_broken = is_broken
        self.holder = ""
        self.wrote = ""
        self.given: list[str] = []
        self.numbers = itertools.count(1)

    def draw(self, chance: random.Random) -> tuple[str, Value]:
        f = chance.choice(("acquire", "acquire", "renew", "release", "use", "guarded"))
        if f == "guarded":
            return "guarded", ["l", None]
        if f == "acquire" or not self.given:
            return "acquire", ["l", LONG_NS]
        held = chance.choice(self.given[-2:])
        return f, (["l", held, LONG_NS] if f == "renew" else ["l", held])

    def serve(self, chance: random.Random, f: str, value: Value) -> tuple[Kind, Value]:
        errs = self.is_broken and chance.random() < 0.3
        if f == "acquire":
            if self.holder and not errs:
                return FAIL, None
            number = next(self.numbers)
            self.wrote = ""
            self.holder = token(
                number - 2 if errs and number > 2 and chance.random() < 0.3 else number
            )
            return OK, self.holder
        if f == "guarded":
            shown = chance.choice(["", *self.given]) if errs else self.wrote
            return OK, ["l", shown or None]
        if (value[1] != self.holder) != (errs and chance.random() < 0.5):
            return FAIL, "stale_token"
        if f == "use":
            self.wrote = value[1]
        if f == "release":
            self.holder = self.wrote = ""
        return OK, None

    def hear(self, f: str, result: Value) -> None:
        if f == "acquire":
            self.given.append(result)


def _lock_tells(order: Sequence[Operation]) -> bool:
    holder, last, wrote = "", "", ""
    unheard = False
    for it in order:
        if it.f == "acquire" and not it.is_ok:
            if holder or unheard:
                return False
            unheard = True
        elif it.f == "acquire":
            if holder or unheard or it.result <= last:
                return False
            holder = last = it.result
            wrote = ""
        elif it.f == "guarded":
            if it.is_ok and (it.result[1] or "") != wrote:
                return False
        elif it.kind is FAIL:
            if it.value[1] == holder:
                return False
        elif it.value[1] != holder:
            return False
        elif it.f == "use":
            wrote = holder
        elif it.f == "release":
            holder = wrote = ""
    return True


def _lock_history(chance: random.Random) -> History:
    model = Lock(is_broken=chance.random() < 0.6)
    return random_history(chance, model.draw, model.serve, count=6, hear=model.hear)


def test_the_lock_checker_agrees_with_a_search_of_all_orders():
    agree(_lock_history, lock.check, lambda found: has_order(found, _lock_tells), seeds=800)
