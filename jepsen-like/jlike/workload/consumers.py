"""Named consumers of the event log: below the place that is kept, each event was handled once."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from jlike.check import consumers
from jlike.history import Kind, Operation, Value
from jlike.http import API, Http
from jlike.verdict import Finding
from jlike.workload.base import LOG_START, Outcome, Workload, outcome, read_outcome

NAMES = ("c0", "c1", "c2")
PAGE = 40
LAST_PAGE = 500


class Consumers(Workload):
    """A reader asks how far its consumer is, reads on from there, and moves the consumer, only if
    nobody moved it since. Several clients read for one consumer, so that they meet."""

    name = "consumers"
    kinds = ("write", "fetch", "commit")

    def __init__(self) -> None:
        self._count = 0
        self._fetched: list[Value] = []
        """[name, position, revision, last id] of readers that have not committed yet."""
        self._end = ""

    def next(self, chance: random.Random) -> tuple[str, Value]:
        if self._fetched and chance.random() < 0.5:
            return "commit", self._fetched.pop(chance.randrange(len(self._fetched)))
        if chance.random() < 0.5:
            self._count += 1
            return "write", [f"consumers/{self._count}", self._count]
        return "fetch", chance.choice(NAMES)

    async def setup(self, http: Http, url: str) -> bool:
        made = [
            await http.ask(url, "PUT", self._path(it), {"position": self.begins}) for it in NAMES
        ]
        return all(it.kind is Kind.OK for it in made)

    def forget(self) -> None:
        """Its readers are gone, after they handled events and before they moved their consumers."""
        self._fetched.clear()

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        match f:
            case "write":
                key, argument = value
                return outcome(
                    await http.ask(url, "PUT", f"{API}/kv/{self.own(key)}", {"value": argument})
                )
            case "fetch":
                return await self._fetch(http, url, value)
            case "commit":
                name, _, revision, last = value
                match = {"If-Match": f'"{revision}"'}
                body = {"position": last}
                return outcome(await http.ask(url, "PUT", self._path(name), body, headers=match))
            case "place":
                answer = await http.ask(url, "GET", self._path(value))
                place = (answer.body or {}).get("position")
                return read_outcome(answer, [value, place])
            case _:
                return await self._log(http, url)

    async def _fetch(self, http: Http, url: str, name: str) -> Outcome:
        place = await http.ask(url, "GET", self._path(name))
        if place.kind is not Kind.OK:
            return read_outcome(place)
        position, revision = place.body["position"], place.body["revision"]
        query = f"after={position}&limit={PAGE}&consistency=linearizable"
        page = await http.ask(url, "GET", f"{API}/events?{query}")
        if page.kind is not Kind.OK:
            return read_outcome(page)
        rows = [[it["id"], it["seq"]] for it in page.body["items"]]
        if rows:
            self._fetched.append([name, position, revision, rows[-1][0]])
        return Outcome(kind=Kind.OK, value=[name, position, revision, rows])

    async def _log(self, http: Http, url: str) -> Outcome:
        rows: list[Value] = []
        after = self.begins
        while True:
            query = f"after={after}&limit={LAST_PAGE}&consistency=linearizable"
            answer = await http.ask(url, "GET", f"{API}/events?{query}")
            if answer.kind is not Kind.OK:
                return read_outcome(answer)
            self._end = self._end or answer.body["head"]
            rows += [[it["id"], it["seq"]] for it in answer.body["items"]]
            after = answer.body["next"]
            if not answer.body["items"] or after >= self._end:
                return Outcome(kind=Kind.OK, value=[it for it in rows if it[0] <= self._end])

    def final(self) -> Sequence[tuple[str, Value]]:
        return [*(("place", it) for it in NAMES), ("log", None)]

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        return [consumers.check(operations, start=self.begins, is_whole=self.begins == LOG_START)]

    def _path(self, name: str) -> str:
        return f"{API}/events/consumers/{self.own(name)}"
