"""Writes that are sent again and again under one idempotency key, to any peer: one effect each."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence

from jlike.check import requests
from jlike.history import Kind, Operation, Value
from jlike.http import API, Http
from jlike.verdict import Finding
from jlike.workload.base import Outcome, Workload, outcome, read_outcome

QUEUE = "requests"
PAGE = 1_000
RECENT = 40


class Requests(Workload):
    """A job that is sent twice would be two jobs: nothing but the key keeps it from that. Repeats
    go to whichever peer the client that sends them is with, also while the first is under way."""

    name = "requests"
    kinds = ("append", "repeat", "ask", "final")

    def __init__(self) -> None:
        self._count = 0
        self._recent: deque[str] = deque(maxlen=RECENT)

    def next(self, chance: random.Random) -> tuple[str, Value]:
        if not self._recent or chance.random() < 0.3:
            self._count += 1
            element = f"e{self._count}"
            self._recent.append(element)
            return "append", [QUEUE, element]
        f = "repeat" if chance.random() < 0.7 else "ask"
        return f, [QUEUE, chance.choice(self._recent)]

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        if f == "final":
            return await jobs_of(http, url, QUEUE, scope=self.scope)
        element = value[1]
        key = f"jlike-{self.own(element)}"
        if f == "ask":
            answer = await http.ask(url, "GET", f"{API}/requests/{key}")
            if answer.code == "not_found":
                return Outcome(kind=Kind.OK, value=None)
            items = (answer.body or {}).get("items") or [{}]
            return read_outcome(answer, [items[0].get("id")])
        headers, path = {"Idempotency-Key": key}, f"{API}/queues/{self.own(QUEUE)}/jobs"
        answer = await http.ask(url, "POST", path, {"body": element}, headers=headers)
        items = answer.body["items"] if answer.kind is Kind.OK else [{}]
        return outcome(answer, [items[0].get("id")])

    def final(self) -> Sequence[tuple[str, Value]]:
        return [("final", None)]

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        return [requests.check(operations)]


async def jobs_of(http: Http, url: str, queue: str, *, scope: str) -> Outcome:
    """All that wait there: {queue: [body, …]}."""
    bodies: list[str] = []
    path, cursor = f"{API}/queues/{scope}{queue}/jobs", ""
    while True:
        answer = await http.ask(url, "GET", f"{path}?limit={PAGE}{cursor}")
        if answer.kind is not Kind.OK:
            return read_outcome(answer)
        bodies += [it["body"] for it in answer.body["items"]]
        if answer.body.get("next") is None:
            return Outcome(kind=Kind.OK, value={queue: bodies})
        cursor = f"&cursor={answer.body['next']}"
