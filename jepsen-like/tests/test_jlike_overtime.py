"""A run goes on until it can prove something: faults that took no effect, deeds that never were."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping

import pytest
from stages import stage_of

from jlike import fault_command, nemesis, nemesis_plan, runner
from jlike.clients import LAST_TRIES, Client, ask_everywhere
from jlike.fault_command import FaultCommand
from jlike.history import Kind, Value
from jlike.http import Http
from jlike.nemesis import Nemesis
from jlike.nemesis_plan import Plan
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder
from jlike.workload.base import Outcome
from jlike.workload.catalogue import WORKLOADS
from jlike.workload.members import Members
from jlike.workload.register import Register
from jlike.workload.rolling import Rolling

IDS = ("p1", "p2", "p3")
LIMIT_S = 60.0


@pytest.fixture
def recorder(tmp_path):
    with contextlib.closing(Recorder(tmp_path)) as found:
        yield found


def _peers() -> Peers:
    return Peers(by_id={it: Peer(id=it, url=f"http://{it}") for it in IDS})


class Deeds:
    """Faults that take no effect before their so manieth try; nothing is touched."""

    def __init__(self, tries: Mapping[str, int]) -> None:
        self._tries = dict(tries)
        self.made: list[Plan] = []

    async def __call__(self, plan: Plan, peers: Peers) -> bool:
        self.made.append(plan)
        self._tries[plan.kind] -= 1
        return self._tries[plan.kind] <= 0


def _nemesis(
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    deeds: Deeds,
    *,
    kinds: tuple[str, ...],
    changes: Callable[[], int] = lambda: 1,
) -> Nemesis:
    monkeypatch.setattr(nemesis, "DEEDS", dict.fromkeys(nemesis.DEEDS, deeds))
    return Nemesis(
        kinds=kinds,
        peers=_peers(),
        recorder=recorder,
        chance=random.Random(1),
        leader=lambda: "p2",
        changes=changes,
    )


async def test_what_took_no_effect_is_made_again_at_the_leader_until_it_does(recorder, monkeypatch):
    deeds = Deeds({"kill": 3, "pause": 2})
    faults = _nemesis(recorder, monkeypatch, deeds, kinds=("kill", "pause", "clock"))
    faults.effects["clock"] = 1
    await faults.make_up(until_s=asyncio.get_running_loop().time() + LIMIT_S)
    assert sorted(it.kind for it in deeds.made) == ["kill"] * 3 + ["pause"] * 2
    assert {it.victims for it in deeds.made} == {("p2",)}
    assert faults.effects == {"kill": 1, "pause": 1, "clock": 1}


async def test_a_fault_that_cannot_work_hides_no_other_and_has_an_end(recorder, monkeypatch):
    deeds = Deeds({"kill": 1_000_000, "pause": 1})
    faults = _nemesis(recorder, monkeypatch, deeds, kinds=("kill", "pause"))
    loop = asyncio.get_running_loop()
    ticks = iter(range(1_000))
    monkeypatch.setattr(nemesis, "POLL_S", 0.0)
    monkeypatch.setattr(loop, "time", lambda: next(ticks), raising=False)
    await faults.make_up(until_s=200)
    assert faults.effects["pause"] == 1
    assert not faults.effects["kill"]


async def test_a_leader_that_never_changed_is_asked_to_hand_over(recorder, monkeypatch):
    deeds = Deeds({"transfer": 2})
    faults = _nemesis(
        recorder, monkeypatch, deeds, kinds=("slow",), changes=lambda: max(0, len(deeds.made) - 1)
    )
    faults.effects["slow"] = 1
    await faults.make_up(until_s=asyncio.get_running_loop().time() + LIMIT_S)
    assert [it.kind for it in deeds.made] == ["transfer"] * 2


async def test_without_faults_that_were_asked_for_nothing_is_made(recorder, monkeypatch):
    deeds = Deeds({})
    faults = _nemesis(recorder, monkeypatch, deeds, kinds=(), changes=lambda: 0)
    await faults.make_up(until_s=asyncio.get_running_loop().time() + LIMIT_S)
    assert not deeds.made


async def test_a_command_that_never_makes_its_fault_is_called_a_few_times(recorder, monkeypatch):
    monkeypatch.setattr(fault_command, "HELD_S", (0.0, 0.0))
    faults = FaultCommand(
        command="false",
        kinds=("cut",),
        peers=_peers(),
        recorder=recorder,
        chance=random.Random(1),
        leader=lambda: "p2",
        changes=lambda: 0,
    )
    await faults.make_up(until_s=asyncio.get_running_loop().time() + LIMIT_S)
    assert faults.tries["cut"] == fault_command.TRIES_MAX
    assert not faults.effects["cut"]


@pytest.mark.parametrize(
    ("name", "deeds"),
    [
        ("rolling", {"roll"}),
        ("snapshots", {"lag"}),
        ("members", {"grow", "shrink"}),
        ("orchestration", {"look", "obey", "carry"}),
        ("queue", {"ack"}),
    ],
)
def test_a_run_waits_for_the_deeds_of_its_workload(name, deeds):
    missing = {f for _, f in runner.undone([WORKLOADS[name]()], set())}
    assert deeds <= missing
    done = {(name, it) for it in missing - deeds}
    assert {f for _, f in runner.undone([WORKLOADS[name]()], done)} == deeds


def test_a_run_does_not_wait_for_what_is_asked_at_its_end():
    for name, make in WORKLOADS.items():
        last = {f for f, _ in make().final()}
        assert not last & {f for _, f in runner.undone([make()], set())}, name


async def test_a_deed_that_succeeds_ends_the_overtime(recorder):
    workload = Rolling()
    for f in workload.kinds[:-1]:
        recorder.add("rolling", Kind.OK, process=1, f=f, value=None, peer="p1")
    waiting = asyncio.create_task(runner._until_done([workload], recorder))
    await asyncio.sleep(0)
    assert not waiting.done()
    recorder.add("rolling", Kind.OK, process=2, f="roll", value="p1", peer="p1")
    async with asyncio.timeout(LIMIT_S):
        await waiting


async def test_a_deed_that_never_comes_is_not_waited_for_for_ever(recorder, monkeypatch):
    monkeypatch.setattr(runner, "OVERTIME_S", 0.01)
    async with asyncio.timeout(LIMIT_S):
        await runner._until_done([Rolling()], recorder)


def test_what_broke_inside_a_group_is_told_in_its_own_words():
    inner = ExceptionGroup("deeper", [TimeoutError("p1 was not taken in again"), OSError("late")])
    assert runner._words(ExceptionGroup("tasks", [inner])) == (
        "TimeoutError: p1 was not taken in again"
    )


class Busy(Register):
    """Its questions are answered from a certain try on."""

    def __init__(self, tries: int) -> None:
        super().__init__()
        self.left = tries

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        self.left -= 1
        return Outcome(kind=Kind.OK if self.left <= 0 else Kind.FAIL, value=value)


@pytest.mark.parametrize(("tries", "is_answered"), [(LAST_TRIES, True), (LAST_TRIES + 1, False)])
async def test_last_reads_are_asked_again_a_few_times(recorder, tries, is_answered):
    workload, peers = Busy(tries), _peers()
    http = Http(timeout_s=1)
    client = Client(workload, peers=peers, http=http, recorder=recorder, seed="last")
    questions = [("read", ["k", None])]
    assert await ask_everywhere(client, [peers["p1"]], questions) is is_answered


async def test_members_first_do_what_never_succeeded(recorder):
    members, stage = Members(), stage_of("members", peers=_peers(), recorder=recorder)
    recorder.add("members", Kind.OK, process=1, f="grow", value="p4", peer="p4")
    assert not any(members._wants_growth(stage) for _ in range(20))
    recorder.add("members", Kind.OK, process=1, f="shrink", value="p4", peer="p4")
    assert len({members._wants_growth(stage) for _ in range(50)}) == 2


def test_every_kind_can_be_planned_for_the_overtime():
    scene = nemesis_plan.Scene(ids=IDS, leader=None, is_first_leader=True, free=frozenset(IDS))
    for kind in nemesis.KINDS:
        assert nemesis_plan.plan(kind, scene, random.Random(1)) is not None
