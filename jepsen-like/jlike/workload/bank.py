"""Transfers between accounts by transactions: the sum stays, at every moment that anybody sees."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from jlike.check import bank
from jlike.history import Kind, Operation, Value
from jlike.http import API, Answer, Http
from jlike.verdict import Finding
from jlike.workload.base import Outcome, Workload, outcome, read_outcome

SETUP = {f"a{number}": 20 for number in range(5)}


class Bank(Workload):
    name = "bank"
    kinds = ("read", "transfer")

    def next(self, chance: random.Random) -> tuple[str, Value]:
        if chance.random() < 0.5:
            return "read", None
        one, other = chance.sample(sorted(SETUP), 2)
        return "transfer", [one, other, chance.randrange(1, 6)]

    async def setup(self, http: Http, url: str) -> bool:
        puts = [{"op": "put", "key": self._key(it), "value": sum_} for it, sum_ in SETUP.items()]
        answer = await http.ask(url, "POST", f"{API}/txn", {"then": puts})
        return answer.kind is Kind.OK

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        seen = await self._balances(http, url)
        balances = self._found(seen)
        if f == "read" or seen.kind is not Kind.OK:
            return read_outcome(seen, balances)
        one, other, amount = value
        if balances[one] < amount:
            return Outcome(kind=Kind.FAIL, error="too_poor")
        moved = {one: balances[one] - amount, other: balances[other] + amount}
        body = {
            "compares": [
                {"check": "value_equals", "key": self._key(it), "value": balances[it]}
                for it in moved
            ],
            "then": [
                {"op": "put", "key": self._key(it), "value": sum_} for it, sum_ in moved.items()
            ],
        }
        answer = await http.ask(url, "POST", f"{API}/txn", body)
        if answer.kind is Kind.OK and not answer.body["is_success"]:
            return Outcome(kind=Kind.FAIL, error="differs")
        return outcome(answer)

    async def _balances(self, http: Http, url: str) -> Answer:
        gets = [{"op": "get", "key": self._key(it)} for it in SETUP]
        return await http.ask(url, "POST", f"{API}/txn", {"then": gets})

    def _key(self, account: str) -> str:
        return f"{self.own(self.name)}/{account}"

    def _found(self, answer: Answer) -> dict[str, int]:
        if answer.kind is not Kind.OK:
            return {}
        return {
            it["key"].removeprefix(self._key("")): it["value"]
            for it in answer.body["results"]
            if it["revision"] is not None
        }

    def final(self) -> Sequence[tuple[str, Value]]:
        return [("read", None)]

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        return [bank.check(operations, setup=SETUP)]
