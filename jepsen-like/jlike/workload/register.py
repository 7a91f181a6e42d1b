"""Registers with compare-and-set, read and written at any peer: linearizable, key by key."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from jlike.check import register
from jlike.history import Kind, Operation, Value
from jlike.http import API, Answer, Http
from jlike.verdict import Finding
from jlike.workload.base import Outcome, Workload, outcome, read_outcome

OPERATIONS_PER_KEY = 200
"""A hot key with many clients is what makes the search expensive, so keys change."""


class Register(Workload):
    name = "register"
    kinds: Sequence[str] = ("read", "write", "cas")

    def __init__(self) -> None:
        self._count = 0
        self._written: dict[str, int] = defaultdict(int)
        """By key, the newest value that was acknowledged: what a cas hopes for."""

    def next(self, chance: random.Random) -> tuple[str, Value]:
        self._count += 1
        key = f"r{self._count // OPERATIONS_PER_KEY}-{chance.randrange(3)}"
        f = chance.choices(("read", "write", "cas"), weights=(5, 3, 2))[0]
        argument: Value = None
        if f == "write" or (f == "cas" and key not in self._written):
            f, argument = "write", self._count
        elif f == "cas":
            argument = [self._written[key], self._count]
        return f, [key, argument]

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        key, argument = value
        name = f"{self.own(self.name)}/{key}"
        path = f"{API}/kv/{name}"
        if f == "read":
            answer = await http.ask(url, "GET", path)
            if answer.code == "not_found":
                return Outcome(kind=Kind.OK, value=[key, None])
            return read_outcome(answer, [key, (answer.body or {}).get("value")])
        if f == "write":
            written = outcome(await http.ask(url, "PUT", path, {"value": argument}), value)
        else:
            written = self._swapped(await http.ask(url, "POST", f"{API}/txn", _cas(name, argument)))
        if written.kind is Kind.OK:
            self._written[key] = argument if f == "write" else argument[1]
        return written

    @staticmethod
    def _swapped(answer: Answer) -> Outcome:
        if answer.kind is Kind.OK and not answer.body["is_success"]:
            return Outcome(kind=Kind.FAIL, error="differs")
        return outcome(answer)

    def final(self) -> Sequence[tuple[str, Value]]:
        return [("read", [key, None]) for key in sorted(self._written)]

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        return [register.check(operations)]


def _cas(name: str, argument: Value) -> Value:
    old, new = argument
    return {
        "compares": [{"check": "value_equals", "key": name, "value": old}],
        "then": [{"op": "put", "key": name, "value": new}],
    }
