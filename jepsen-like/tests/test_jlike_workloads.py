"""What workloads think of next: the rare cases must come up by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random

import pytest

from jlike.history import Kind, Value
from jlike.http import Answer, Http
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder
from jlike.workload import append
from jlike.workload.base import Stage
from jlike.workload.catalogue import WORKLOADS
from jlike.workload.queue import Queue
from jlike.workload.sdk import Sdk


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


DEEDS = {"roll", "lag", "grow", "shrink", "look", "obey", "carry", "hurt", "probe", "seen"}


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_kind_of_question_comes_up_and_can_be_written_down(name):
    workload, chance = WORKLOADS[name](), random.Random(7)
    if name == "consumers":  # a move needs something that was read
        workload._fetched += [["c0", "", "", str(number)] for number in range(50)]
    if name in ("register", "rolling", "sdk"):
        workload._written.update({f"r{number}-{it}": 1 for number in range(3) for it in range(3)})
    if name in ("queue", "lock"):  # so do these, of something that was given
        held = workload._claimed if name == "queue" else workload._held
        held.extend(
            [["l0", f"{number}", "j"][: 3 if name == "queue" else 2] for number in range(30)]
        )
    asked = {f for f, value in (workload.next(chance) for _ in range(400)) if json.dumps(value)}
    last = {f for f, value in workload.final() if json.dumps(value)}
    assert asked | last | DEEDS >= set(workload.kinds)
    assert asked <= set(workload.kinds)
    assert workload.name == name


async def test_users_of_the_sdk_know_whoever_may_become_a_member(tmp_path):
    peers = Peers(
        by_id={"p1": Peer(id="p1", url="http://127.0.0.1:9")},
        spares={"p2": Peer(id="p2", url="http://127.0.0.1:10")},
    )
    workload = Sdk()
    with contextlib.closing(Recorder(tmp_path)) as recorder:
        stage = Stage(
            name="sdk",
            peers=peers,
            http=Http(timeout_s=1),
            recorder=recorder,
            chance=random.Random(1),
            stop=asyncio.Event(),
            leader=lambda: None,
        )
        await workload.open(stage)
        try:
            url = peers["p2"].url
            asked = asyncio.create_task(workload._asked_of_the_sdk(url, "append", "sdk", "s1"))
            await asyncio.sleep(0)
            assert workload._waiting, "the program has the question"
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        finally:
            await workload.close()


def test_two_workloads_never_write_to_one_place():
    names = [it().name for it in WORKLOADS.values()]
    assert len(set(names)) == len(names)
    settings = [name for it in WORKLOADS.values() for name in it().settings]
    assert len(set(settings)) == len(settings), "one would decide for the other"


def test_a_transaction_sees_its_own_appends_and_compares_all_that_it_read():
    done, after = append._carried_out(
        [["r", "x", None], ["append", "x", 5], ["r", "x", None], ["r", "y", None]],
        {"x": [1], "y": []},
    )
    assert done == [["r", "x", [1]], ["append", "x", 5], ["r", "x", [1, 5]], ["r", "y", []]]
    results = [
        {"key": "append/x", "value": [1], "revision": "7"},
        {"key": "append/y", "value": None, "revision": None},
    ]
    seen = Answer(kind=Kind.OK, status=200, body={"results": results})
    order = append._order(seen, append._lists(seen), after)
    assert order == {
        "compares": [
            {"check": "revision_equals", "key": "append/x", "revision": "7"},
            {"check": "absent", "key": "append/y"},
        ],
        "then": [{"op": "put", "key": "append/x", "value": [1, 5]}],
    }
