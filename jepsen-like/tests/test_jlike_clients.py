"""A client that dies takes with it what it held, and leaves an outcome that nobody knows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from pathlib import Path

import pytest

from jlike import nemesis_clients
from jlike.clients import Client
from jlike.history import Kind, Value
from jlike.http import Http
from jlike.nemesis_plan import Plan
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder
from jlike.workload.base import Outcome
from jlike.workload.consumers import Consumers
from jlike.workload.lock import Lock
from jlike.workload.queue import Queue

PEER = Peer(id="p1", url="http://p1")


class Slow(Queue):
    """Answers when it is let to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.forgot = 0

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        await self.may_answer.wait()
        return Outcome(kind=Kind.OK, value=value)

    def forget(self) -> None:
        self.forgot += 1


@pytest.fixture
def recorder(tmp_path):
    with contextlib.closing(Recorder(tmp_path)) as found:
        yield found


def _client(workload: Queue, recorder: Recorder) -> Client:
    peers = Peers(by_id={"p1": PEER})
    http = Http(timeout_s=1)
    return Client(workload, peers=peers, http=http, recorder=recorder, seed="1")


def _ops(folder: Path) -> list[dict[str, Value]]:
    return [json.loads(it) for it in (folder / "history-queue.jsonl").read_text().splitlines()]


async def test_who_dies_in_the_middle_leaves_an_open_outcome_and_comes_back_as_another(
    recorder, tmp_path
):
    workload = Slow()
    client = _client(workload, recorder)
    client.dies_after_s = 0.0
    assert (await client.ask(PEER, "enqueue", "j1")).kind is Kind.INFO
    assert (client.deaths, workload.forgot) == (1, 1)
    workload.may_answer.set()
    assert (await client.ask(PEER, "enqueue", "j2")).kind is Kind.OK
    ops = _ops(tmp_path)
    assert [it["type"] for it in ops] == ["invoke", "info", "invoke", "ok"]
    assert ops[1]["error"] == "client_died"
    assert ops[0]["process"] == ops[1]["process"] != ops[2]["process"]


async def test_who_was_answered_before_does_not_die(recorder):
    workload = Slow()
    workload.may_answer.set()
    client = _client(workload, recorder)
    client.dies_after_s = 60.0
    assert (await client.ask(PEER, "enqueue", "j1")).kind is Kind.OK
    assert (client.deaths, client.dies_after_s) == (0, None)


async def test_impatience_of_the_workload_itself_is_no_death(recorder, monkeypatch):
    async def perform(*_: Value) -> Outcome:
        raise TimeoutError

    workload = Slow()
    monkeypatch.setattr(workload, "perform", perform)
    client = _client(workload, recorder)
    with pytest.raises(TimeoutError):
        await client.ask(PEER, "enqueue", "j1")
    assert not client.deaths


def _plan(*, share: float) -> Plan:
    return Plan(kind="clients", shape="all", seconds=0.05, figures={"share": share})


async def test_a_fault_that_nobody_died_of_took_no_effect(recorder):
    crowd = [_client(Slow(), recorder) for _ in range(4)]
    peers = Peers(by_id={"p1": PEER}, crowd=crowd)
    assert not await nemesis_clients.die(_plan(share=1.0), peers), "nobody asked anything"
    assert all(it.dies_after_s is None for it in crowd)


async def test_so_many_die_as_the_plan_says(recorder):
    workload = Slow()
    crowd = [_client(workload, recorder) for _ in range(2)]
    peers = Peers(by_id={"p1": PEER}, crowd=crowd)
    stop = asyncio.Event()
    running = [asyncio.create_task(it.run(stop=stop, gap_s=0.001)) for it in crowd]
    async with asyncio.timeout(60):
        while not await nemesis_clients.die(_plan(share=0.5), peers):
            pass
    assert crowd[0].deaths
    assert not crowd[1].deaths, "half of them"
    stop.set()
    workload.may_answer.set()
    await asyncio.gather(*running)


def test_workers_readers_and_holders_forget():
    queue, consumers, lock = Queue(), Consumers(), Lock()
    queue._claimed.append(["1", "t", "j"])
    consumers._fetched.append(["c0", "", "", "1"])
    lock._held.append(["l0", "t"])
    chance = random.Random(1)
    for workload in (queue, consumers, lock):
        workload.forget()
        asked = {workload.next(chance)[0] for _ in range(200)}
        assert not {"ack", "commit", "renew", "release"} & asked
