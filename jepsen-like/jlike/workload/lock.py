"""Leases under few names: one holder at a time, fenced by a token that only grows.

Each guards two things: a record of the cluster, and a resource outside of it that knows nothing but
tokens.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterable, Sequence

from jlike.check import lock
from jlike.history import Kind, Operation, Value
from jlike.http import API, Http
from jlike.resource import Resource
from jlike.verdict import Finding
from jlike.workload.base import Asker, Outcome, Stage, Workload, outcome, read_outcome

DURATION_MS = 2_000
NAMES = ("l0", "l1", "l2")
WEIGHTS = (3, 3, 3, 2, 2, 2)
FREE_S = 30.0
"""For a lease that nobody renews to be free: many times as long as it lasts."""
POLL_S = 0.1
FENCED = Outcome(kind=Kind.FAIL, error="fenced")


class Lock(Workload):
    name = "lock"
    kinds = ("acquire", "renew", "release", "use", "guarded", "store")

    def __init__(self) -> None:
        self._held: deque[Value] = deque(maxlen=32)
        self._outside = Resource()

    def next(self, chance: random.Random) -> tuple[str, Value]:
        f = chance.choices(self.kinds, weights=WEIGHTS)[0]
        if f == "guarded":
            return "guarded", [chance.choice(NAMES), None]
        if f == "acquire" or not self._held:
            return "acquire", [chance.choice(NAMES), DURATION_MS * 1_000_000]
        name, token = self._held[-1] if chance.random() < 0.8 else chance.choice(self._held)
        if f == "renew":
            return "renew", [name, token, DURATION_MS * 1_000_000]
        return f, [name, token]

    def forget(self) -> None:
        """Its holders are gone: nobody renews or releases what they hold."""
        self._held.clear()

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        if f == "store":
            is_taken = self._outside.write(value[0], token=value[1])
            return Outcome(kind=Kind.OK, value=value) if is_taken else FENCED
        path = f"{API}/kv/{self.own(self.name)}/{value[0]}"
        if f == "use":
            return outcome(await http.ask(url, "PUT", path, {"value": value[1], "lease": value[1]}))
        if f == "guarded":
            answer = await http.ask(url, "GET", path)
            if answer.code == "not_found":
                return Outcome(kind=Kind.OK, value=[value[0], None])
            return read_outcome(answer, [value[0], (answer.body or {}).get("value")])
        body: dict[str, Value] = {"duration": f"{DURATION_MS}ms"}
        if f != "acquire":
            body = {"token": value[1]}
        answer = await http.ask(url, "POST", f"{API}/leases/{self.own(value[0])}/{f}", body)
        if answer.kind is not Kind.OK or f != "acquire":
            return outcome(answer)
        token = answer.body["token"]
        self._held.append([value[0], token])
        return Outcome(kind=Kind.OK, value=token)

    def calm(self) -> None:
        """The holders of the load are gone."""
        self.forget()

    async def finish(self, stage: Stage, client: Asker) -> str:
        """Each lease is had once more, so none stays with a holder who is gone."""
        loop = asyncio.get_running_loop()
        for name in NAMES:
            peer = stage.peers[stage.chance.choice(stage.peers.ids)]
            ends_s = loop.time() + FREE_S
            while True:
                had = await client.ask(peer, "acquire", [name, DURATION_MS * 1_000_000])
                if had.kind is Kind.OK:
                    await client.ask(peer, "release", [name, had.value])
                    break
                if loop.time() > ends_s:
                    return f"{name} is never free again"
                await asyncio.sleep(POLL_S)
        return ""

    def final(self) -> Sequence[tuple[str, Value]]:
        return [("guarded", [name, None]) for name in NAMES]

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        return [lock.check(operations)]
