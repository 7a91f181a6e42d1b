"""Sets that only grow, as records under a prefix: what was added is in every later read."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from jlike.check import sets
from jlike.history import Kind, Operation, Value
from jlike.http import API, Http
from jlike.verdict import Finding, Verdict, unknown, valid
from jlike.workload.base import Outcome, Workload, outcome, read_outcome

ELEMENTS_PER_SET = 300
"""Fewer than a page: a read of two pages would not be of one moment."""
PAGE = 1_000


class Sets(Workload):
    name = "set"
    kinds: Sequence[str] = ("add", "read")

    def __init__(self) -> None:
        self._count = 0

    def next(self, chance: random.Random) -> tuple[str, Value]:
        if chance.random() < 0.6:
            self._count += 1
            return "add", [self._count // ELEMENTS_PER_SET, self._count]
        return "read", [self._count // ELEMENTS_PER_SET, None]

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        group, element = value
        place = f"{self.own(self.name)}/{group}"
        if f == "add":
            path = f"{API}/kv/{place}/{element}"
            return outcome(await http.ask(url, "PUT", path, {"value": element}), value)
        answer = await http.ask(url, "GET", f"{API}/kv?prefix={place}/&limit={PAGE}")
        if answer.kind is not Kind.OK:
            return read_outcome(answer)
        return Outcome(kind=Kind.OK, value=[group, [it["value"] for it in answer.body["items"]]])

    def final(self) -> Sequence[tuple[str, Value]]:
        return [("read", [it, None]) for it in range(self._count // ELEMENTS_PER_SET + 1)]

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        groups: dict[int, list[Operation]] = defaultdict(list)
        for it in operations:
            result = it.result[1] if it.f == "read" and it.is_ok else it.result
            groups[it.value[0]].append(replace(it, value=it.value[1], result=result))
        found = [
            sets.check(group)
            for group in groups.values()
            if any(it.f == "add" and it.is_ok for it in group)
        ]
        for verdict in (Verdict.INVALID, Verdict.UNKNOWN):
            if bad := [it for it in found if it.verdict is verdict]:
                return bad[:1]
        if not found:
            return [unknown(sets.NAME, "nothing was added")]
        known = sum(it.figures["known"] for it in found)
        return [valid(sets.NAME, f"{known} elements stayed, sets: {len(found)}", known=known)]
