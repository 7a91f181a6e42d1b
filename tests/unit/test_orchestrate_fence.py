"""A primary that hangs under an agent that answers is ended before, or after, it is replaced."""

from __future__ import annotations

import pytest
from orchestrate_builders import (
    World,
    against,
    hang_store,
    kill_store,
    make_spec,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import STORE_FENCE, STORE_PROMOTE, STORE_REJOIN
from replicante.model.node import StoreContact
from replicante.model.observation import AgentAnswer, SeenPhase
from replicante.model.shard import Sight


def hung(*, looks: int = 3) -> tuple[World, list]:
    """A world in which n1 hangs, and what was sent in the looks since."""
    world = replicated()
    hang_store(world)
    sent = []
    for _ in range(looks):
        sent += sent_kinds(world.cycle(after_ms=2_000))
    return world, sent


def test_a_primary_that_hangs_is_ended_before_another_takes_over():
    world, sent = hung()
    assert sent == [(STORE_FENCE, "n1")]
    assert world.cycle().submissions == (), "nobody takes over while the end is under way"
    world.work()
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_nothing_that_a_copy_hears_is_ended():
    world = replicated()
    hang_store(world)
    world.nodes["n3"].sight = Sight.UP
    for _ in range(10):
        result = world.cycle(after_ms=10_000)
        assert result.submissions == ()
        assert {"failure_confirmed", "witnesses_agree"} <= against(result, "failover")


def test_nothing_is_ended_that_nobody_may_replace():
    world = replicated(spec=make_spec(policies={"data_loss_offset": 0}))
    world.nodes["n1"].offset = 200
    world.cycle()
    hang_store(world)
    for _ in range(5):
        result = world.cycle(after_ms=2_000)
    assert world.sent == []
    assert "loss_bounded" in against(result, "failover")


@pytest.mark.parametrize("end", [SeenPhase.FAILED, SeenPhase.DONE])
def test_an_agent_that_does_not_end_it_does_not_stand_in_the_way(end):
    world, _ = hung()
    (fence,) = world.nodes["n1"].actions
    world.nodes["n1"].end(fence, end)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_an_agent_that_falls_silent_meanwhile_does_not_stand_in_the_way():
    world, _ = hung()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    assert world.cycle(after_ms=2_000).submissions == (), "the first silence may be a lost answer"
    assert sent_kinds(world.cycle(after_ms=2_000)) == [(STORE_PROMOTE, "n2")]


def test_one_lost_answer_of_its_agent_does_not_let_it_go_on():
    """It is lost in the look that confirms the silence of the store."""
    world, sent = hung(looks=2)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    result = world.cycle(after_ms=2_000)
    assert (sent, result.submissions) == ([], ())
    assert against(result, "failover") == {"information_complete"}
    world.nodes["n1"].answer = AgentAnswer.ANSWERED
    assert sent_kinds(world.cycle(after_ms=2_000)) == [(STORE_FENCE, "n1")]


@pytest.mark.parametrize("answer", [AgentAnswer.TIMEOUT, AgentAnswer.GARBAGE, AgentAnswer.REFUSED])
def test_an_agent_that_stays_silent_holds_a_failover_up_for_one_look(answer):
    world, _ = hung(looks=2)
    world.nodes["n1"].answer = answer
    sent = [sent_kinds(world.cycle(after_ms=2_000)) for _ in range(2)]
    assert sent == [[], [(STORE_PROMOTE, "n2")]]


def test_where_all_connections_are_refused_nobody_waits_for_a_lost_answer():
    world, _ = hung(looks=2)
    kill_store(world)
    world.nodes["n1"].answer = AgentAnswer.REFUSED
    assert sent_kinds(world.cycle(after_ms=2_000)) == [(STORE_PROMOTE, "n2")]


def test_an_agent_without_epochs_is_not_asked_to_end_anything():
    world = replicated()
    hang_store(world)
    world.nodes["n1"].is_fenced = False
    for _ in range(3):
        result = world.cycle(after_ms=2_000)
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]


def test_a_primary_that_goes_on_is_left_alone():
    world, _ = hung(looks=2)
    world.nodes["n1"].contact = StoreContact.ANSWERS
    world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.UP
    for _ in range(5):
        world.cycle(after_ms=2_000)
    assert world.sent == []


def test_a_replaced_primary_whose_agent_comes_back_is_ended_before_it_goes_on():
    world = replicated()
    hang_store(world)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    for _ in range(4):
        world.cycle(after_ms=2_000)
        world.work()
    world.nodes["n1"].answer = AgentAnswer.ANSWERED
    sent = []
    for _ in range(6):
        sent += [it for it in sent_kinds(world.cycle(after_ms=12_000)) if it[1] == "n1"]
        world.work()
    assert sent == [(STORE_FENCE, "n1"), (STORE_REJOIN, "n1")]


def test_a_copy_that_hangs_is_not_ended():
    world = replicated()
    world.nodes["n3"].contact = StoreContact.SILENT
    for _ in range(5):
        world.cycle(after_ms=12_000)
    assert world.sent == []
