"""Reads that name their consistency, each held to its own promise, from records that only grow."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from jlike.check import levels
from jlike.history import Kind, Operation, Value
from jlike.http import API, Http
from jlike.verdict import Finding
from jlike.workload.base import Outcome, Workload, outcome, read_outcome

KEYS = ("l0", "l1", "l2", "l3")
MAX_STALE_MS = (300, 1_000, 3_000)


class Levels(Workload):
    """`revision` of a record tells how new an answer is, so no search is needed."""

    name = "levels"
    kinds = ("write", "linearizable", "bounded", "stale", "since")

    def __init__(self) -> None:
        self._count = 0
        self._index: dict[str, int] = defaultdict(int)
        """By key, of the newest state that anybody was told of: what `since` asks for."""

    def next(self, chance: random.Random) -> tuple[str, Value]:
        key = chance.choice(KEYS)
        f = chance.choices(self.kinds, weights=(4, 2, 3, 2, 3))[0]
        match f:
            case "write":
                self._count += 1
                return f, [key, self._count]
            case "bounded":
                return f, [key, chance.choice(MAX_STALE_MS)]
            case "since":
                return f, [key, self._index[key]]
            case _:
                return f, [key, None]

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        key, argument = value
        path = f"{API}/kv/{self.own(self.name)}/{key}"
        if f == "write":
            answer = await http.ask(url, "PUT", path, {"value": argument})
            revision = (answer.body or {}).get("revision")
            self._saw(key, revision if answer.kind is Kind.OK else None)
            return outcome(answer, [key, argument, revision])
        query = {
            "linearizable": "consistency=linearizable",
            "bounded": f"consistency=bounded&max_stale_ms={argument}",
            "stale": "consistency=stale",
            "since": f"consistency=stale&after_index={argument}&wait=4s",
        }[f]
        answer = await http.ask(url, "GET", f"{path}?{query}")
        if answer.code == "not_found":
            return Outcome(kind=Kind.OK, value=[key, None, ""])
        found = answer.body or {}
        self._saw(key, found.get("revision") if answer.kind is Kind.OK else None)
        return read_outcome(answer, [key, found.get("value"), found.get("revision")])

    def _saw(self, key: str, revision: str | None) -> None:
        if revision is not None:  # a stamp: the index, and 16 bits that number within the entry
            self._index[key] = max(self._index[key], int(revision) >> 16)

    def final(self) -> Sequence[tuple[str, Value]]:
        return [("linearizable", [key, None]) for key in KEYS]

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        return [levels.check(operations)]
