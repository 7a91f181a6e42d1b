"""Lists that only grow, read and appended to by transactions over several keys: they fit one order.

A transaction reads all its keys in one question, and writes in a second one that compares what it
read: nothing it saw may have changed in between.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from jlike.check import append
from jlike.history import Kind, Operation, Value
from jlike.http import API, Answer, Http
from jlike.verdict import Finding
from jlike.workload.base import Outcome, Workload, outcome, read_outcome

KEYS_AT_ONCE = 3
"""Few, so that transactions meet."""
APPENDS_PER_KEY = 24
"""A list is read as a whole each time; so keys change."""
PARTS_MAX = 4


class Append(Workload):
    name = "append"
    kinds = ("txn", "final")

    def __init__(self) -> None:
        self._element = 0
        self._keys: list[str] = [f"x{number}" for number in range(KEYS_AT_ONCE)]
        self._left = dict.fromkeys(self._keys, APPENDS_PER_KEY)
        self._used: set[str] = set(self._keys)

    def next(self, chance: random.Random) -> tuple[str, Value]:
        parts: list[Value] = []
        for _ in range(chance.randrange(1, PARTS_MAX + 1)):
            key = chance.choice(self._keys)
            if chance.random() < 0.5:
                parts.append(["r", key, None])
            else:
                self._element += 1
                parts.append(["append", key, self._element])
                self._spend(key)
        return "txn", parts

    def _spend(self, key: str) -> None:
        self._left[key] -= 1
        if not self._left[key]:
            fresh = f"x{len(self._used)}"
            self._used.add(fresh)
            self._left[fresh] = APPENDS_PER_KEY
            self._keys[self._keys.index(key)] = fresh

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        if f == "final":
            seen = await self._read(http, url, [value])
            return read_outcome(seen, [["r", value, self._lists(seen).get(value, [])]])
        keys = sorted({part[1] for part in value})
        seen = await self._read(http, url, keys)
        if seen.kind is not Kind.OK:
            return Outcome(kind=Kind.FAIL, error=seen.code)
        lists = self._lists(seen)
        done, after = _carried_out(value, lists)
        if after == lists:
            return Outcome(kind=Kind.OK, value=done)
        answer = await http.ask(url, "POST", f"{API}/txn", self._order(seen, lists, after))
        if answer.kind is Kind.OK and not answer.body["is_success"]:
            return Outcome(kind=Kind.FAIL, error="differs")
        return outcome(answer, done)

    async def _read(self, http: Http, url: str, keys: Sequence[str]) -> Answer:
        gets = [{"op": "get", "key": self._key(it)} for it in keys]
        return await http.ask(url, "POST", f"{API}/txn", {"then": gets})

    def _lists(self, seen: Answer) -> dict[str, list[int]]:
        """Key → its list; a key that is not there has an empty one."""
        results = seen.body["results"] if seen.kind is Kind.OK else []
        return {
            it["key"].removeprefix(self._key("")): it["value"] if it["revision"] is not None else []
            for it in results
        }

    def _order(
        self, seen: Answer, lists: Mapping[str, list[int]], after: Mapping[str, list[int]]
    ) -> Value:
        compares: list[Value] = [
            {"check": "absent", "key": it["key"]}
            if it["revision"] is None
            else {"check": "revision_equals", "key": it["key"], "revision": it["revision"]}
            for it in seen.body["results"]
        ]
        changed = [key for key in sorted(after) if after[key] != lists[key]]
        puts = [{"op": "put", "key": self._key(key), "value": after[key]} for key in changed]
        return {"compares": compares, "then": puts}

    def _key(self, key: str) -> str:
        return f"{self.own(self.name)}/{key}"

    def final(self) -> Sequence[tuple[str, Value]]:
        return [("final", key) for key in sorted(self._used)]

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        return [append.check(operations)]


def _carried_out(
    parts: Sequence[Value], lists: Mapping[str, list[int]]
) -> tuple[list[Value], dict[str, list[int]]]:
    """The parts with what their reads see, and the lists afterwards. A read sees the transaction's
    own appends before it."""
    after = {key: list(found) for key, found in lists.items()}
    done: list[Value] = []
    for f, key, element in parts:
        if f == "append":
            after[key] = [*after[key], element]
        done.append([f, key, list(after[key]) if f == "r" else element])
    return done, after
