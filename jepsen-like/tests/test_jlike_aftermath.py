"""After the faults nothing may be stuck: every kind of question is answered at every peer again,
and what was begun comes to its end."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stages import stage_of

from jlike import aftermath
from jlike.clients import Client
from jlike.history import Kind, Value
from jlike.http import NO_HEADERS, Answer, Http
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder
from jlike.verdict import Finding, Verdict, invalid, unknown, valid
from jlike.workload import lock, queue
from jlike.workload.base import Outcome, Stage, Workload
from jlike.workload.catalogue import WORKLOADS
from jlike.workload.lock import Lock
from jlike.workload.orchestration import OPEN_MAX, ORDERS_MAX, Orchestration
from jlike.workload.queue import Queue

IDS = ("p1", "p2", "p3")
WELL = valid("convergence", "well")


@pytest.fixture
def recorder(tmp_path):
    with contextlib.closing(Recorder(tmp_path)) as found:
        yield found


class Stuck(Workload):
    """Reads and writes, and one deed. refuses: (peer, f) that is never answered ok any more."""

    name = "stuck"
    kinds = ("read", "write", "deed", "last")
    deeds = frozenset({"deed"})

    def __init__(self, *, refuses: tuple[str, str] = ("", ""), unfinished: str = "") -> None:
        self._refuses, self._unfinished = refuses, unfinished
        self.asked: list[tuple[str, str]] = []
        self.done: list[str] = []
        self.written: list[Path] = []

    def logs(self) -> Sequence[Path]:
        return self.written

    def next(self, chance: random.Random) -> tuple[str, Value]:
        return chance.choice(("read", "write")), None

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        self.asked.append((url, f))
        if f == "last":
            self.done.append("last")
        return Outcome(kind=Kind.FAIL if (url, f) == self._refuses else Kind.OK)

    def calm(self) -> None:
        self.done.append("calm")

    async def finish(self, stage: Stage, client: Any) -> str:
        self.done.append("finish")
        return self._unfinished

    def final(self) -> Sequence[tuple[str, Value]]:
        return [("last", None)]

    def check(self, operations: object) -> Sequence[Finding]:
        return []


def _cast(recorder: Recorder, http: Http) -> tuple[Peers, Callable[..., Client], Callable]:
    peers = Peers(by_id={it: Peer(id=it, url=it) for it in IDS})

    def client(workload: Workload) -> Client:
        return Client(workload, peers=peers, http=http, recorder=recorder, seed="last")

    def stage(workload: Workload) -> Stage:
        return stage_of(workload.name, peers=peers, recorder=recorder, http=http)

    return peers, client, stage


async def _settled(recorder: Recorder, workload: Workload, *, converged: Finding = WELL) -> Finding:
    peers, client, stage = _cast(recorder, Http(timeout_s=1))

    async def converge(*, seconds: float) -> Finding:
        return converged

    watch: Any = SimpleNamespace(converge=converge)

    return await aftermath.settled(
        [workload],
        client=client,
        stage=stage,
        peers=peers,
        watch=watch,
        recorder=recorder,
    )


async def test_every_kind_of_question_is_answered_at_every_peer_again(recorder):
    workload = Stuck()
    assert (await _settled(recorder, workload)).verdict is Verdict.VALID
    assert {(it, f) for it in IDS for f in ("read", "write", "last")} == set(workload.asked)
    assert workload.done == ["calm", "finish", *["last"] * 3], "what is read last is the end"


@pytest.mark.parametrize("f", ["read", "write"])
async def test_one_kind_that_one_peer_never_answers_any_more_is_told(recorder, monkeypatch, f):
    monkeypatch.setattr(aftermath, "AGAIN_S", 0.1)
    found = await _settled(recorder, Stuck(refuses=("p2", f)))
    assert found.verdict is Verdict.INVALID
    assert found.reason == f"stuck: p2 never answered {f} after all was healed"


async def test_what_does_not_come_to_its_end_is_told(recorder):
    found = await _settled(recorder, Stuck(unfinished="a lease is never free again"))
    assert found.verdict is Verdict.INVALID
    assert found.reason == "stuck: a lease is never free again after all was healed"


async def test_a_last_read_that_nobody_answers_leaves_it_unknown(recorder):
    found = await _settled(recorder, Stuck(refuses=("p3", "last")))
    assert (found.verdict, "stuck" in found.reason) == (Verdict.UNKNOWN, True)


@pytest.mark.parametrize(
    "said", ["Traceback (most recent call last):", "coroutine 'f' was never awaited"]
)
async def test_a_defect_in_the_log_of_what_a_workload_started_is_told(recorder, tmp_path, said):
    workload = Stuck()
    workload.written = [tmp_path / "gone.log", tmp_path / "some.log"]
    (tmp_path / "some.log").write_text("all is well\n", encoding="utf-8")
    assert (await _settled(recorder, workload)).verdict is Verdict.VALID
    (tmp_path / "some.log").write_text(f"well\n{said}\n", encoding="utf-8")
    found = await _settled(recorder, workload)
    assert found.verdict is Verdict.INVALID
    assert found.reason.endswith("in some.log of stuck")


async def test_peers_that_did_not_converge_are_asked_for_their_last_words_only(recorder):
    workload = Stuck()
    broken = invalid("convergence", "p1 is gone")
    assert await _settled(recorder, workload, converged=broken) == broken
    assert workload.done == ["last"] * 3
    workload = Stuck()
    doubtful = unknown("convergence", "no digest")
    assert await _settled(recorder, workload, converged=doubtful) == doubtful
    assert "finish" in workload.done


def test_every_kind_is_asked_again_or_is_a_deed_or_is_read_last():
    """So nothing is left out by being forgotten here."""
    for name, make in WORKLOADS.items():
        workload = make()
        assert workload.deeds <= set(workload.kinds), name
        asked = {workload.next(random.Random(seed))[0] for seed in range(50)}
        assert not asked & workload.deeds, name


def test_orders_are_asked_again_though_the_load_has_used_them_up():
    workload, chance = Orchestration(), random.Random(1)
    workload._orders = [["n1", str(number)] for number in range(ORDERS_MAX)]
    workload._open = {str(number) for number in range(OPEN_MAX)}
    assert {workload.next(chance)[0] for _ in range(200)} == {"phase"}
    workload.calm()
    assert {workload.next(chance)[0] for _ in range(200)} == {"phase", "order"}


# --- the queue and the leases --------------------------------------------------------------------


class Jobs(Http):
    """A queue of so many jobs; `stuck` is listed and given to nobody. Leases: `taken` stays so."""

    def __init__(self, count: int, *, stuck: bool = False, taken: str = "") -> None:
        super().__init__(timeout_s=1)
        self.jobs = {str(number): f"j{number}" for number in range(count)}
        self._stuck = {"99": "j99"} if stuck else {}
        self._taken, self._token = taken, 0
        self.acquired: list[str] = []
        self.asked_of: set[str] = set()

    async def ask(
        self,
        url: str,
        method: str,
        path: str,
        body: Value = None,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Answer:
        self.asked_of.add(url)
        self._token += 1
        token, parts = f"{self._token:019}", path.split("/")
        if path.endswith("/claim"):
            items = [
                {"id": it, "token": token, "attempt": 1, "body": body}
                for it, body in [*self.jobs.items()][:2]
            ]
            return Answer(kind=Kind.OK, status=200, body={"items": items})
        if path.endswith("/ack"):
            self.jobs.pop(parts[-2])
        elif path.endswith("/acquire"):
            if parts[-2] == self._taken:
                return Answer(kind=Kind.FAIL, status=409, code="lease_held")
            self.acquired.append(parts[-2])
            return Answer(kind=Kind.OK, status=200, body={"token": token})
        there = [{"body": it} for it in {**self.jobs, **self._stuck}.values()]
        return Answer(kind=Kind.OK, status=200, body={"items": there, "next": None})


async def _finished(recorder: Recorder, workload: Workload, http: Jobs) -> str:
    _, client, stage = _cast(recorder, http)
    return await workload.finish(stage(workload), client(workload))


def _asked(folder: Path, name: str) -> list[str]:
    lines = (folder / f"history-{name}.jsonl").read_text("utf-8").splitlines()
    return [it["f"] for it in map(json.loads, lines) if it["type"] == "invoke"]


async def test_a_queue_is_worked_off_at_all_peers_as_operations_of_the_history(recorder, tmp_path):
    http = Jobs(12)
    assert not await _finished(recorder, Queue(), http)
    assert not http.jobs
    assert http.asked_of == set(IDS)
    asked = _asked(tmp_path, "queue")
    assert (asked.count("ack"), set(asked)) == (12, {"ack", "claim"})


async def test_a_job_that_is_listed_and_that_nobody_is_given_is_told(recorder, monkeypatch):
    monkeypatch.setattr(queue, "PATIENCE_S", 0.2)
    assert await _finished(recorder, Queue(), Jobs(3, stuck=True)) == "nobody is given j99"


async def test_each_lease_is_had_once_more(recorder, tmp_path):
    http = Jobs(0)
    assert not await _finished(recorder, Lock(), http)
    assert http.acquired == list(lock.NAMES)
    assert _asked(tmp_path, "lock") == ["acquire", "release"] * 3


async def test_a_lease_that_is_never_free_again_is_told(recorder, monkeypatch):
    monkeypatch.setattr(lock, "FREE_S", 0.2)
    assert await _finished(recorder, Lock(), Jobs(0, taken="l1")) == "l1 is never free again"


def test_whoever_held_something_under_load_is_gone_when_all_is_calm():
    locks, jobs = Lock(), Queue()
    locks._held.append(["l0", "1"])
    jobs._claimed.append(["1", "1", "j"])
    locks.calm()
    jobs.calm()
    assert not locks._held
    assert not jobs._claimed


async def test_a_resource_outside_refuses_what_is_lower_than_what_it_has_seen():
    perform = partial(Lock().perform, Http(timeout_s=1), "http://nowhere", "store")
    assert (await perform(["l0", "20"])).kind is Kind.OK
    old = await perform(["l0", "10"])
    assert (old.kind, old.error) == (Kind.FAIL, "fenced")
    assert (await perform(["l0", "20"])).kind is Kind.OK
    assert (await perform(["l1", "10"])).kind is Kind.OK
