"""What workloads think of next: the rare cases must come up by themselves."""

from __future__ import annotations

import random

from jlike.history import Kind, Value
from jlike.http import Answer, Http
from jlike.workload.queue import Queue


class OneJob(Http):
    """A queue that gives out one job again and again, with a new token each time."""

    def __init__(self) -> None:
        super().__init__(timeout_s=1)
        self.token = 0

    async def ask(self, url: str, method: str, path: str, body: Value = None) -> Answer:
        if path.endswith("/claim"):
            self.token += 1
            job = {"id": "1", "token": f"{self.token:019}", "body": "j"}
            return Answer(kind=Kind.OK, status=200, body={"items": [job]})
        return Answer(kind=Kind.FAIL, status=409, code="stale_token")


class Acks(random.Random):
    """Chance that always wants to acknowledge. is_late: and then lets the worker sleep."""

    is_late = True

    def choices(self, *_: Value, **__: Value) -> list[Value]:
        return ["ack"]

    def random(self) -> float:
        return 0.0 if self.is_late else 0.99


async def test_an_old_token_is_tried_while_a_newer_claim_goes_on():
    chance, queue, http = Acks(), Queue(), OneJob()
    await queue.perform(http, "http://nowhere", "claim", None)
    assert queue.next(chance) == ("claim", None), "its worker sleeps"
    await queue.perform(http, "http://nowhere", "claim", None)
    chance.is_late = False
    assert [queue.next(chance)[1][1] for _ in range(2)] == [f"{1:019}", f"{2:019}"]
