"""A work queue: what was sent is given out until it is done, and not once more.

At the end all that is there is worked off: a job that is listed and that nobody is given is lost.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Iterable, Sequence

from jlike.check import queue
from jlike.history import Kind, Operation, Value
from jlike.http import API, Http
from jlike.verdict import Finding
from jlike.workload.base import Asker, Outcome, Stage, Workload, outcome, read_outcome

VISIBILITY_MS = 2_000
CLAIM_MAX = 2
WEIGHTS = (3, 2, 7)
"""A claim gives up to two jobs: fewer acknowledgements than that, and most come too late."""
ASLEEP_SHARE = 0.1
"""Of claims whose worker is late: old tokens must be tried while a newer claim goes on."""
NACK_SHARE = 0.1
"""Of jobs that are given back at once instead of being done."""
QUEUE = "torture"
PAGE = 1_000
PATIENCE_S = 30.0
"""At the end, without a job that anybody is given: many times the longest claim."""
POLL_S = 0.1


class Queue(Workload):
    name = "queue"
    kinds = ("enqueue", "claim", "ack", "nack", "left")

    def __init__(self) -> None:
        self._count = 0
        self._claimed: deque[Value] = deque()
        self._asleep: dict[str, Value] = {}
        """By body, claims of workers that wake up when another has the job."""

    def next(self, chance: random.Random) -> tuple[str, Value]:
        f = chance.choices(("enqueue", "claim", "ack"), weights=WEIGHTS)[0]
        if f == "ack" and self._claimed:
            job = self._claimed.popleft()
            if chance.random() >= ASLEEP_SHARE:
                return ("nack" if chance.random() < NACK_SHARE else "ack"), job
            self._asleep[job[2]] = job
        if f == "enqueue":
            self._count += 1
            return "enqueue", f"j{self._count}"
        return "claim", None

    def forget(self) -> None:
        """Its workers are gone, whatever they had claimed: nobody acknowledges that."""
        self._claimed.clear()
        self._asleep.clear()

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        queue_path = f"{API}/queues/{self.own(QUEUE)}"
        path = f"{queue_path}/jobs"
        if f == "enqueue":
            return outcome(await http.ask(url, "POST", path, {"body": value, "max_attempts": 100}))
        if f in ("ack", "nack"):
            job_id, token, _ = value
            return outcome(await http.ask(url, "POST", f"{path}/{job_id}/{f}", {"token": token}))
        if f == "left":
            return await self._left(http, url)
        order = {"max": CLAIM_MAX, "visibility_timeout": f"{VISIBILITY_MS}ms"}
        answer = await http.ask(url, "POST", f"{queue_path}/claim", order)
        items = answer.body["items"] if answer.kind is Kind.OK else ()
        for job in ([it["id"], it["token"], it["body"]] for it in items):
            if late := self._asleep.pop(job[2], None):
                self._claimed.appendleft(late)
            self._claimed.append(job)
        return outcome(answer, [[it["id"], it["token"], it["body"], it["attempt"]] for it in items])

    async def _left(self, http: Http, url: str) -> Outcome:
        """All that are there, whoever holds them."""
        bodies: list[str] = []
        path, cursor = f"{API}/queues/{self.own(QUEUE)}/jobs", ""
        while True:
            answer = await http.ask(url, "GET", f"{path}?limit={PAGE}{cursor}")
            if answer.kind is not Kind.OK:
                return read_outcome(answer)
            bodies += [it["body"] for it in answer.body["items"]]
            if answer.body.get("next") is None:
                return Outcome(kind=Kind.OK, value=bodies)
            cursor = f"&cursor={answer.body['next']}"

    def calm(self) -> None:
        """The workers of the load are gone: what they held comes back by itself."""
        self.forget()

    async def finish(self, stage: Stage, client: Asker) -> str:
        """Claims and acknowledges, at one peer after the other, until nothing is there."""
        loop = asyncio.get_running_loop()
        given_s = loop.time()
        for peer_id in itertools.cycle(stage.peers.ids):
            peer = stage.peers[peer_id]
            claimed = await client.ask(peer, "claim", None)
            for job in claimed.value if claimed.kind is Kind.OK else ():
                given_s = loop.time()
                await client.ask(peer, "ack", job[:3])
            left = await self._left(stage.http, peer.url)
            if left.kind is Kind.OK and not left.value:
                return ""
            if loop.time() > given_s + PATIENCE_S:
                return f"nobody is given {', '.join((left.value or ['any job'])[:3])}"
            if not claimed.value:
                await asyncio.sleep(POLL_S)
        raise AssertionError("without peers there is no run")

    def final(self) -> Sequence[tuple[str, Value]]:
        return [("left", None)]

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        visibility_ns = VISIBILITY_MS * 1_000_000
        return [queue.check(operations, visibility_ns=visibility_ns, claim_max=CLAIM_MAX)]
