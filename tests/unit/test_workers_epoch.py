"""An agent that knows a greater epoch than the worker: of a worker that took over, or of nobody who
may act here."""

from __future__ import annotations

from test_workers_fence import during
from work_bench import TARGET, WorkBench

from replicante.state.fences import lease_name
from replicante.state.lease_commands import LeaseForceRelease
from replicante.testing.fake_agents import FakeAgent
from replicante.testing.fake_peer import Trouble

ID = "00000000-0000-8000-8000-000000000001"
OTHER = "00000000-0000-8000-8000-000000000002"


def raised(bench: WorkBench, agent: FakeAgent) -> None:
    agent.epoch = bench.decision().epoch << 8


def conditions(bench: WorkBench) -> dict[str, str]:
    return {it.subject: it.message for it in bench.decision().conditions if "ahead" in it.name}


async def test_who_was_overtaken_at_an_agent_writes_nothing():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    events = []

    async def overtake():
        raised(bench, agent)
        bench.lone.do(LeaseForceRelease(lease_name(*TARGET), "somebody else leads"))
        events.append(len(bench.events()))

    during(bench, "look", overtake)
    await bench.turn()
    assert len(bench.events()) == events[-1]
    assert agent.actions == {}
    assert bench.counted("refused") == 1


async def test_who_meets_a_greater_epoch_and_is_cut_off_decides_nothing():
    agent, other = FakeAgent("n1"), FakeAgent("n2")
    bench = WorkBench(agent, other)
    await bench.turns(2)
    bench.ask(ID, "n2")
    raised(bench, agent)
    before = len(bench.events())

    async def be_cut_off():
        bench.peer.trouble = Trouble.NO_LEADER

    during(bench, "look", be_cut_off)
    await bench.turn()
    assert bench.counted("failed") == 1
    assert len(bench.events()) == before
    assert other.actions == {}


async def test_an_agent_that_a_stranger_raised_stops_nobody_else():
    agent, other = FakeAgent("n1"), FakeAgent("n2")
    bench = WorkBench(agent, other)
    await bench.turns(2)
    raised(bench, agent)
    bench.ask(ID, "n1")
    bench.ask(OTHER, "n2")
    await bench.turns(2)
    assert list(conditions(bench)) == ["n1"]
    assert bench.records().report.is_success
    assert list(other.actions) == [OTHER]
    assert agent.actions == {}
    assert bench.action(ID).phase == "PENDING_SCHEDULE"
    # A person had it forget.
    agent.epoch = 0
    await bench.turns(2)
    assert conditions(bench) == {}
    assert list(agent.actions) == [ID]


async def test_a_stranger_at_all_agents_is_told_of_each():
    bench = WorkBench(FakeAgent("n1"), FakeAgent("n2"))
    await bench.turns(2)
    for agent in bench.agents.agents.values():
        raised(bench, agent)
    await bench.turns(2)
    assert list(conditions(bench)) == ["n1", "n2"]


async def test_a_submission_that_meets_a_stranger_s_epoch_waits_and_counts_as_no_refusal():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)

    async def be_raised():
        raised(bench, agent)

    during(bench, "submit", be_raised)
    await bench.turn()
    assert bench.action(ID).phase == "PENDING_SCHEDULE"
    assert bench.action(ID).attempts_count == 0
    await bench.turn()
    assert list(conditions(bench)) == ["n1"]
