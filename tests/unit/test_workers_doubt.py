"""What an agent may have got without saying so is looked up, and neither given up nor repeated."""

from __future__ import annotations

import pytest
from work_bench import CLUSTER, WorkBench

from replicante.agents.protocol import SendAnswer, Sent
from replicante.limits import ACTION_SEND_MS_MAX
from replicante.model.action_kinds import SERVICE_RESTART
from replicante.model.action_requests import ActionOn
from replicante.state.action_commands import ActionVerb, MoveAction
from replicante.testing.fake_agents import FakeAgent, Manner

ID = "00000000-0000-8000-8000-000000000001"


def lose_answers(bench: WorkBench, *, arrive: bool) -> None:
    """From now on nobody hears what came of a submission."""
    inner = bench.agents.submit

    async def submit(action, node, **ways):
        if arrive:
            await inner(action, node, **ways)
        return Sent(answer=SendAnswer.UNKNOWN, message="the answer was lost")

    bench.agents.submit = submit


def hide_actions(bench: WorkBench) -> None:
    """From now on the agents answer looks, and their actions cannot be read."""
    inner = bench.agents.look

    async def look(ask, *, ca_bundle):
        seen = await inner(ask, ca_bundle=ca_bundle)
        fields = {"actions": (), "unknown_actions": (), "queue": None, "finished": None}
        return type(seen).from_value({**seen.to_value(), **fields})

    bench.agents.look = look


async def test_what_an_agent_may_have_is_never_given_up():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    look, submit = bench.agents.look, bench.agents.submit
    lose_answers(bench, arrive=True)
    hide_actions(bench)
    for _ in range(2 * ACTION_SEND_MS_MAX // 10_000):
        await bench.turn()
    assert bench.action(ID).phase == "PENDING_SCHEDULE"
    agent.run_actions()
    bench.agents.look, bench.agents.submit = look, submit
    await bench.turn()
    assert (bench.action(ID).phase, agent.effects) == ("DONE", [ID])


async def test_what_its_agent_denies_is_given_up_when_its_time_is_over():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    lose_answers(bench, arrive=False)
    for _ in range(2 + ACTION_SEND_MS_MAX // 10_000):
        await bench.turn()
    assert (bench.action(ID).phase, agent.actions) == ("CANCELLED", {})


async def test_silence_is_never_counted_as_a_refusal():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    hide_actions(bench)
    lose_answers(bench, arrive=True)
    await bench.turns(12)
    assert bench.action(ID).phase == "PENDING_SCHEDULE"
    assert bench.action(ID).attempts_count > 6


def keep_copies(bench: WorkBench) -> list:
    """What was submitted so far and from now on: each may arrive once more."""
    inner, copies = bench.agents.submit, []

    async def submit(action, node, *, epoch, **ways):
        copies.append((action, node, epoch))
        return await inner(action, node, epoch=epoch, **ways)

    bench.agents.submit = submit
    return copies


def arrive_late(bench: WorkBench, copies: list) -> set[SendAnswer]:
    """What the agent answers to each of them, at last."""
    return {bench.agents._submit(action, node, epoch).answer for action, node, epoch in copies}


async def test_what_was_given_up_is_refused_when_it_arrives_at_last():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    lose_answers(bench, arrive=False)
    copies = keep_copies(bench)
    for _ in range(3 + ACTION_SEND_MS_MAX // 10_000):
        await bench.turn()
    assert bench.action(ID).phase == "CANCELLED"
    assert len({epoch for *_, epoch in copies}) == 1
    assert arrive_late(bench, copies) == {SendAnswer.STALE_EPOCH}
    agent.run_actions()
    assert agent.effects == []


async def test_what_failed_by_refusals_is_refused_when_it_arrives_at_last():
    agent = FakeAgent("n1", manner=Manner.REFUSING)
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    copies = keep_copies(bench)
    # Sooner than the time to begin is over.
    for _ in range(12):
        await bench.turn(ms=4_000)
    assert (bench.action(ID).phase, len(copies)) == ("FAILED", 6)
    agent.manner = Manner.HONEST
    assert arrive_late(bench, copies) == {SendAnswer.STALE_EPOCH}


async def test_what_its_agent_lost_is_refused_when_it_arrives_once_more():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    copies = keep_copies(bench)
    await bench.turns(2)
    agent.actions.clear()
    await bench.turns(2)
    assert bench.action(ID).phase == "LOST"
    assert arrive_late(bench, copies) == {SendAnswer.STALE_EPOCH}


async def test_an_agent_without_epochs_is_given_up_without_another_epoch():
    agent = FakeAgent("n1", is_fenced=False)
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    lose_answers(bench, arrive=False)
    copies = keep_copies(bench)
    for _ in range(3 + ACTION_SEND_MS_MAX // 10_000):
        await bench.turn()
    assert bench.action(ID).phase == "CANCELLED"
    await bench.turn()
    assert bench.decision().epoch == copies[-1][2]


@pytest.mark.parametrize("manner", [Manner.DEAF, Manner.MUTE])
async def test_a_silent_node_is_sent_nothing(manner):
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    agent.manner = manner
    await bench.turns(3)
    assert (bench.action(ID).sent_epoch, agent.actions) == (None, {})


async def test_an_action_is_to_begin_in_the_time_that_is_left_of_it():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    agent.manner = Manner.REFUSING
    await bench.turns(2)
    bench.agents.agents["n1"].manner = Manner.HONEST
    await bench.turn()
    assert agent.told_within_ms == [ACTION_SEND_MS_MAX - it * 10_000 for it in range(3)]


async def test_what_was_taken_back_is_refused_when_it_arrives_at_last():
    agent, other = FakeAgent("n1"), FakeAgent("n2", shards=())
    bench = WorkBench(agent, other, mode="observe")
    await bench.turns(2)
    bench.ask(ID, kind=SERVICE_RESTART)
    await bench.turn()
    bench.lone.do(MoveAction(ActionOn.NODE, (*CLUSTER, "n1", ID), ActionVerb.APPROVE))
    lose_answers(bench, arrive=False)
    copies = keep_copies(bench)
    await bench.turn()
    assert (bench.action(ID).phase, len(copies)) == ("PENDING_SCHEDULE", 1)
    other.manner = Manner.DEAF
    await bench.turns(2)
    assert (bench.action(ID).phase, bench.action(ID).sent_epoch) == ("PENDING_APPROVE", None)
    assert len(copies) == 1
    assert arrive_late(bench, copies) == {SendAnswer.STALE_EPOCH}
    agent.run_actions()
    assert agent.effects == []
