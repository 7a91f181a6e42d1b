"""A fence is renewed while work goes on under it, and nothing leaves a peer without one."""

from __future__ import annotations

import pytest
from work_bench import TARGET, WorkBench

from replicante.limits import (
    WORK_LEASE_SURE_MS,
    WORK_RENEW_MS,
    WORK_TARGETS_INFLIGHT_MAX,
)
from replicante.model.objects import ObjectKind
from replicante.state import queries
from replicante.state.fences import lease_name
from replicante.state.lease_commands import LeaseForceRelease
from replicante.state.object_commands import DeleteObject
from replicante.testing.builders import cluster_document, put_namespace, put_object
from replicante.testing.fake_agents import FakeAgent, Manner
from replicante.testing.fake_peer import Trouble
from replicante.workers import due

ID = "00000000-0000-8000-8000-000000000001"
CALL = "00000000-0000-8000-8000-000000000002"


def during(bench, name, act):
    """Lets `act` happen when the door `name` of the agents is about to be used."""
    inner = getattr(bench.agents, name)

    async def door(*args, **kwargs):
        await act()
        return await inner(*args, **kwargs)

    setattr(bench.agents, name, door)


async def with_platform_call() -> WorkBench:
    """A cluster whose next cycle asks its platform to take a node away."""
    bench = WorkBench(FakeAgent("n1"), FakeAgent("n2"))
    await bench.turns(2)
    await bench.take_away(CALL, "n2")
    return bench


async def test_a_cycle_longer_than_its_lease_is_recorded():
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(2)

    async def take_long():
        for _ in range(4):
            bench.pass_time(WORK_RENEW_MS)
            bench.workers.start_due()
            await bench.settle_renewals()

    during(bench, "look", take_long)
    before = bench.records().report
    await bench.turn()
    assert (bench.counted("done"), bench.counted("refused")) == (3, 0)
    assert bench.records().report != before
    assert bench.codes().count("LEASE_ACQUIRED") == 2


async def test_nothing_is_sent_when_the_fence_may_be_over():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    recorded = bench.peer.propose

    async def propose(command, *, timeout_ms):
        proposed = await recorded(command, timeout_ms=timeout_ms)
        if bench.action(ID).sent_epoch is not None:
            # Frozen between the record and the act.
            bench.clock.advance(WORK_LEASE_SURE_MS)
        return proposed

    bench.peer.propose = propose
    await bench.turn()
    assert agent.actions == {}
    assert bench.action(ID).phase == "PENDING_SCHEDULE"
    bench.peer.propose = recorded
    await bench.turns(2)
    agent.run_actions()
    await bench.turn()
    assert (bench.action(ID).phase, agent.effects) == ("DONE", [ID])


async def test_a_fence_counts_from_before_its_renewal_was_asked_for():
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(2)
    hold = bench.workers._holdings._held[TARGET]
    recorded = bench.peer.propose

    async def propose(command, *, timeout_ms):
        proposed = await recorded(command, timeout_ms=timeout_ms)
        # The answer takes long; the lease has run since before.
        bench.clock.advance(WORK_LEASE_SURE_MS)
        return proposed

    bench.peer.propose = propose
    assert await hold.confirm()
    assert not hold.is_sure


async def test_a_platform_is_asked_under_a_fence_that_was_confirmed():
    bench = await with_platform_call()
    await bench.turn()
    assert bench.platform.calls == [CALL]


async def test_a_platform_is_not_asked_by_who_lost_the_fence_after_the_record():
    bench = await with_platform_call()
    recorded = bench.peer.propose

    async def propose(command, *, timeout_ms):
        proposed = await recorded(command, timeout_ms=timeout_ms)
        if bench.oaction(CALL).phase == "RUNNING" and not taken:
            taken.append(True)
            bench.lone.do(LeaseForceRelease(lease_name(*TARGET), "somebody else leads"))
        return proposed

    taken = []
    bench.peer.propose = propose
    await bench.turn()
    assert taken
    assert bench.platform.calls == []
    await bench.turn()
    assert bench.platform.calls == [CALL]


async def test_an_agent_without_epochs_is_sent_nothing_by_who_lost_the_fence():
    agent = FakeAgent("n1", is_fenced=False)
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    recorded = bench.peer.propose

    async def propose(command, *, timeout_ms):
        proposed = await recorded(command, timeout_ms=timeout_ms)
        if bench.action(ID).sent_epoch is not None and not taken:
            taken.append(True)
            bench.lone.do(LeaseForceRelease(lease_name(*TARGET), "somebody else leads"))
        return proposed

    taken = []
    bench.peer.propose = propose
    await bench.turn()
    assert taken
    assert agent.actions == {}


async def test_who_does_not_lead_any_more_sends_nothing():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)

    async def lose():
        bench.view.is_leading = False
        bench.workers.start_due()

    during(bench, "look", lose)
    await bench.turn()
    assert agent.actions == {}


async def test_a_pause_that_was_acknowledged_is_followed_by_nothing_that_did_not_know_of_it():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    paused = {"interval": "10s", "mode": "paused", "platform": {"name": "p"}}
    recorded = bench.peer.propose

    async def propose(command, *, timeout_ms):
        # After the cycle has read the spec for the last time, before its record is applied.
        bench.lone.do(put_object(cluster_document("r", spec=paused)))
        return await recorded(command, timeout_ms=timeout_ms)

    bench.peer.propose = propose
    await bench.turn(ms=9_500)
    assert bench.counted("refused") == 1
    bench.peer.propose = recorded
    await bench.turns(3)
    assert agent.actions == {}
    assert bench.action(ID).phase == "PENDING_SCHEDULE"


async def test_a_namespace_that_was_stopped_stops_what_is_being_decided():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    recorded = bench.peer.propose

    async def propose(command, *, timeout_ms):
        bench.lone.do(put_namespace("default", spec={"status": "Observed"}))
        return await recorded(command, timeout_ms=timeout_ms)

    bench.peer.propose = propose
    await bench.turn(ms=9_500)
    bench.peer.propose = recorded
    await bench.turns(2)
    assert agent.actions == {}


async def test_a_changed_spec_is_looked_at_at_once():
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(3)
    assert await bench.turn(ms=100) == 0
    spec = {"interval": "1h", "mode": "observe", "platform": {"name": "p"}}
    bench.lone.do(put_object(cluster_document("r", spec=spec)))
    assert await bench.turn(ms=100) == 1
    assert bench.decision().mode == "observe"


async def test_a_target_that_cannot_be_judged_stops_no_other(monkeypatch):
    bench = WorkBench(FakeAgent("n1"))
    bench.lone.do(put_object(cluster_document("broken", spec={"interval": "10s"})))
    judge = due.due_work

    def broken(view, stored, **more):
        if stored.scope == ("default", "broken"):
            raise KeyError("a field of another version")
        return judge(view, stored, **more)

    monkeypatch.setattr(due, "due_work", broken)
    await bench.turns(2)
    assert bench.records().report.is_success


async def test_who_waits_longest_is_next():
    """More targets than may run at once, all of them always due."""
    bench = WorkBench(FakeAgent("n1"))
    names = [f"c{i:03}" for i in range(WORK_TARGETS_INFLIGHT_MAX + 40)]
    for name in names:
        bench.lone.do(put_object(cluster_document(name, spec={"interval": "250ms"})))
    for _ in range(3):
        await bench.turn(ms=60_000)
    for name in names:
        assert bench.report_of(name) is not None, name


async def test_nothing_is_remembered_of_targets_that_are_gone():
    bench = WorkBench(FakeAgent("n1", manner=Manner.DEAF))
    bench.lone.do(put_object(cluster_document("other", spec={"interval": "10s"})))
    await bench.turns(3)
    bench.peer.trouble = Trouble.NO_LEADER
    await bench.turn()
    bench.peer.trouble = Trouble.NONE
    workers = bench.workers
    assert ("default", "other") in {it[1:] for it in workers._pauses}
    other = (ObjectKind.CLUSTER_SPEC, ("default", "other"))
    for name in ("r", "other"):
        bench.lone.do(DeleteObject(ObjectKind.CLUSTER_SPEC, ("default", name)))
    # Somebody else carries the end out.
    ended = bench.new_workers("p3")
    for _ in range(4):
        await bench.turn(ended)
    assert queries.object_get(bench.lone.store, *other) is None
    workers.start_due()
    await workers.settle()
    gone = {("default", "r"), ("default", "other")}
    for memory in (workers._pauses, workers._wanted, workers._holdings._held):
        assert not gone & {it[1:] for it in memory}
    assert workers._gatherer._silences == {}


async def test_a_defect_in_one_look_leaves_no_call_behind():
    bench = WorkBench(FakeAgent("n1"), FakeAgent("n2"))
    await bench.turns(2)
    ended = []

    async def look(ask, *, ca_bundle):
        if ask.node.node_id == "n1":
            raise ZeroDivisionError("a defect, on purpose")
        try:
            await bench.never()
        finally:
            ended.append(ask.node.node_id)

    bench.agents.look = look
    await bench.turn()
    assert ended == ["n2"]


async def test_who_leads_again_waits_for_nothing_that_failed_when_it_led_before():
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(2)
    bench.peer.trouble = Trouble.NO_LEADER
    await bench.turns(6)
    bench.peer.trouble = Trouble.NONE
    bench.view.is_leading = False
    assert await bench.turn(ms=0) == 0
    bench.view.is_leading = True
    assert await bench.turn(ms=0) > 0
    assert bench.records().report.start_ms == bench.lone.clock_ms


async def test_a_worker_that_stops_gives_its_fences_back():
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(2)
    await bench.workers._stop()
    assert bench.codes().count("LEASE_RELEASED") == 2


@pytest.mark.parametrize("trouble", [Trouble.NO_LEADER, Trouble.LOST_BEFORE, Trouble.STOPPING])
async def test_a_worker_that_stops_without_a_leader_stops_all_the_same(trouble):
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(2)
    bench.peer.trouble = trouble
    await bench.workers._stop()
    bench.peer.trouble = Trouble.NONE
    after = bench.workers = bench.new_workers("p2")
    await bench.turn(after)
    assert bench.records().report.start_ms == bench.lone.clock_ms


async def test_a_renewal_that_fails_is_tried_again():
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(2)

    async def take_long():
        bench.pass_time(WORK_RENEW_MS)
        bench.peer.trouble = Trouble.NO_LEADER
        bench.workers.start_due()
        await bench.settle_renewals()
        bench.peer.trouble = Trouble.NONE
        bench.pass_time(WORK_RENEW_MS)
        bench.workers.start_due()
        await bench.settle_renewals()
        bench.pass_time(WORK_RENEW_MS + 5_000)

    during(bench, "look", take_long)
    await bench.turn()
    assert (bench.counted("done"), bench.counted("refused")) == (3, 0)
    assert bench.counted("failed", kind="renew") == 1
