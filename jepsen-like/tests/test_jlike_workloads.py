"""What workloads think of next: the rare cases must come up by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Mapping

import pytest
from stages import stage_of

from jlike.history import Kind, Value
from jlike.http import NO_HEADERS, Answer, Http
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder
from jlike.workload import append, sdk
from jlike.workload.catalogue import WORKLOADS, made
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
            job = {"id": "1", "token": f"{self.token:019}", "body": "j", "attempt": self.token}
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
            [["l0", f"{number}", "j"][: 3 if name == "queue" else 2] for number in range(99)]
        )
    asked = {f for f, value in (workload.next(chance) for _ in range(400)) if json.dumps(value)}
    last = {f for f, value in workload.final() if json.dumps(value)}
    assert asked | last | workload.deeds >= set(workload.kinds)
    assert asked <= set(workload.kinds)
    assert workload.name == name


class Wire(Http):
    """Tells what it was asked; every answer is that a leader is missing."""

    def __init__(self) -> None:
        super().__init__(timeout_s=1)
        self.asked: list[str] = []

    async def ask(
        self,
        url: str,
        method: str,
        path: str,
        body: Value = None,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Answer:
        self.asked.append(f"{path} {json.dumps(body)} {dict(headers)}")
        return Answer(kind=Kind.OK, status=200, body=GIVEN)


GIVEN = {
    "items": [{"id": "7", "token": "8", "body": "j", "seq": 1, "chain": "", "key": "k"}],
    "head": "1",
    "next": None,
    "position": "0",
    "revision": "1",
    "token": "8",
    "is_success": True,
    "results": [],
    "value": 1,
}


@pytest.mark.parametrize("name", sorted(set(WORKLOADS) - {"sdk", "orchestration", "redis"}))
async def test_runs_that_share_a_cluster_have_names_of_their_own(name):
    """Each question but those about the whole log names the run in a path, a body or a header."""
    scope, wire, chance = "jlike-1234-", Wire(), random.Random(5)
    workload = made(name, scope=scope, begins=f"{9:019}")
    await workload.setup(wire, "http://nowhere")
    for _ in range(60):
        f, value = workload.next(chance)
        with contextlib.suppress(KeyError, TypeError):  # what it was given makes no sense
            await workload.perform(wire, "http://nowhere", f, value)
    for f, value in workload.final():
        with contextlib.suppress(KeyError, TypeError):
            await workload.perform(wire, "http://nowhere", f, value)
    whole = ("/events?after=", "/raft/peers")
    named = [it for it in wire.asked if not any(part in it for part in whole)]
    assert named
    assert all(scope in it for it in named), [it for it in named if scope not in it][:3]
    assert not any(f"after={0:019}" in it for it in wire.asked), "older events are not its own"


async def test_events_about_no_key_are_told_too(monkeypatch):
    birth = {"id": f"{1:019}", "seq": 1, "chain": "c", "key": None}
    monkeypatch.setitem(GIVEN, "items", [birth])
    found = await WORKLOADS["events"]().perform(Wire(), "http://p1", "poll", [f"{0:019}", False])
    assert found.value == [[f"{1:019}", 1, "c", ""]]


async def test_users_of_the_sdk_know_whoever_may_become_a_member(tmp_path, monkeypatch):
    monkeypatch.setattr(sdk, "END_S", 0.1)  # nobody is there to answer it
    peers = Peers(
        by_id={"p1": Peer(id="p1", url="http://127.0.0.1:9")},
        spares={"p2": Peer(id="p2", url="http://127.0.0.1:10")},
    )
    workload = Sdk()
    with contextlib.closing(Recorder(tmp_path)) as recorder:
        await workload.open(stage_of("sdk", peers=peers, recorder=recorder))
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
    workload = WORKLOADS["append"]()
    order = workload._order(seen, workload._lists(seen), after)
    assert order == {
        "compares": [
            {"check": "revision_equals", "key": "append/x", "revision": "7"},
            {"check": "absent", "key": "append/y"},
        ],
        "then": [{"op": "put", "key": "append/x", "value": [1, 5]}],
    }
