"""The event log, followed at every peer while it grows: one log, dense, nothing seen is lost."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from jlike.check import events
from jlike.history import Kind, Operation, Value
from jlike.http import API, Http
from jlike.verdict import Finding
from jlike.workload.base import Outcome, Workload, outcome, read_outcome

PAGE = 500
READERS = 4
LINEARIZABLE_SHARE = 0.25
"""Of polls: these must tell of all that was acknowledged; the others, of what their peer has."""


class Events(Workload):
    name = "events"
    kinds = ("write", "poll")

    def __init__(self) -> None:
        self._count = 0
        self._cursors: list[str] = []
        """Of readers that go on at whichever peer is asked next."""
        self._end = ""

    def next(self, chance: random.Random) -> tuple[str, Value]:
        if chance.random() < 0.5:
            self._count += 1
            return "write", [f"events/{self._count}", self._count]
        self._cursors = self._cursors or [self.begins] * READERS
        after = chance.choice(self._cursors)
        if chance.random() < LINEARIZABLE_SHARE:
            return "poll", [after, False, PAGE]
        return "poll", [after, False]

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        if f == "write":
            key, argument = value
            return outcome(
                await http.ask(url, "PUT", f"{API}/kv/{self.own(key)}", {"value": argument})
            )
        after, is_final, *most = value
        if is_final:
            return await self._whole(http, url)
        level = "&consistency=linearizable" if most else ""
        answer = await http.ask(url, "GET", f"{API}/events?after={after}&limit={PAGE}{level}")
        if answer.kind is not Kind.OK:
            return read_outcome(answer)
        found = self._rows(answer.body["items"])
        if found and after in self._cursors:
            self._cursors[self._cursors.index(after)] = found[-1][0]
        return Outcome(kind=Kind.OK, value=found)

    async def _whole(self, http: Http, url: str) -> Outcome:
        """All of it up to the end that the first peer named, so that later events do not count."""
        rows: list[list[Value]] = []
        after = self.begins
        while True:
            query = f"after={after}&limit={PAGE}&consistency=linearizable"
            answer = await http.ask(url, "GET", f"{API}/events?{query}")
            if answer.kind is not Kind.OK:
                return read_outcome(answer)
            self._end = self._end or answer.body["head"]
            rows += self._rows(answer.body["items"])
            after = answer.body["next"]
            if not answer.body["items"] or after >= self._end:
                return Outcome(kind=Kind.OK, value=[it for it in rows if it[0] <= self._end])

    def final(self) -> Sequence[tuple[str, Value]]:
        return [("poll", [self.begins, True])]

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        return [events.check(operations)]

    def _rows(self, items: Iterable[Value]) -> list[list[Value]]:
        """Not every event is about a key, and not every key is of this run."""
        return [[it["id"], it["seq"], it["chain"], self._own(it["key"] or "")] for it in items]

    def _own(self, key: str) -> str:
        return key.removeprefix(self.scope) if key.startswith(self.scope) else ""
