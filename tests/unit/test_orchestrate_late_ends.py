"""A promotion that a person cancelled, and that its agent carried out all the same, is known."""

from __future__ import annotations

import msgspec
import pytest
from orchestrate_builders import (
    SHARD,
    World,
    kill_store,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import STORE_PROMOTE, STORE_REJOIN
from replicante.model.actions import NActionPhase
from replicante.model.node import StoreContact
from replicante.model.observation import AgentAnswer, SeenPhase
from replicante.model.shard import ShardRole
from replicante.orchestrate.gathering import actions_to_ask


def cancelled_and_done() -> World:
    """n2 was to replace n1 and fell silent; a person cancelled that; it had been carried out."""
    world = replicated(4)
    kill_store(world)
    (sent,) = world.cycle().submissions
    world.work()
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    (action,) = world.nactions
    assert (action.kind, action.action_id) == (STORE_PROMOTE, sent.action_id)
    world.put(msgspec.structs.replace(action, phase=NActionPhase.CANCELLED, finished_ms=1))
    world.cycle()
    return world


def come_back(world: World) -> None:
    world.nodes["n1"].contact = StoreContact.ANSWERS


def live(world: World, count: int = 12) -> list[tuple[str, str]]:
    sent = []
    for _ in range(count):
        sent += sent_kinds(world.cycle(after_ms=12_000))
        world.work()
    return sent


def test_its_agent_is_asked_for_it_until_it_tells_what_became_of_it():
    world = cancelled_and_done()
    (action,) = world.nactions
    assert actions_to_ask([], world.state) == {"n2": (action.action_id,)}
    world.nodes["n2"].answer = AgentAnswer.ANSWERED
    world.cycle()
    assert "n2" not in actions_to_ask([], world.state)


def test_the_former_primary_rejoins_without_a_person():
    world = cancelled_and_done()
    world.nodes["n2"].answer = AgentAnswer.ANSWERED
    result = world.cycle()
    assert world.state.appointed == {SHARD: "n2"}
    assert world.state.replaced[SHARD]["n1"] == "n2"
    assert any("cancelled" in it.message for it in result.report.notes)
    come_back(world)
    assert (STORE_REJOIN, "n1") in live(world)
    assert world.nodes["n1"].role is ShardRole.SECONDARY


def test_the_former_primary_rejoins_though_both_came_back_at_once():
    world = cancelled_and_done()
    world.nodes["n2"].answer = AgentAnswer.ANSWERED
    come_back(world)
    assert (STORE_REJOIN, "n1") in live(world)


def test_a_role_that_moved_on_meanwhile_is_not_moved_back():
    world = cancelled_and_done()
    world.put(msgspec.structs.replace(world.state, appointed={SHARD: "n3"}))
    world.nodes["n2"].answer = AgentAnswer.ANSWERED
    world.cycle()
    assert world.state.appointed == {SHARD: "n3"}


@pytest.mark.parametrize("phase", [SeenPhase.FAILED, SeenPhase.CANCELLED, SeenPhase.RUNNING])
def test_one_that_did_not_end_well_says_nothing(phase):
    world = cancelled_and_done()
    (action,) = world.nactions
    world.nodes["n2"].end(action.action_id, phase)
    world.nodes["n2"].answer = AgentAnswer.ANSWERED
    come_back(world)
    world.cycle()
    assert "n1" not in world.state.replaced.get(SHARD, {})


def test_one_that_is_no_primary_now_took_no_role():
    world = cancelled_and_done()
    node = world.nodes["n2"]
    node.answer, node.role, node.follows = AgentAnswer.ANSWERED, ShardRole.SECONDARY, "n1"
    come_back(world)
    world.cycle()
    assert world.state.appointed == {SHARD: "n1"}


@pytest.mark.parametrize("mark", ["incarnation", "doubt"])
def test_who_may_be_another_agent_is_not_believed(mark):
    world = cancelled_and_done()
    node = world.nodes["n2"]
    node.answer = AgentAnswer.ANSWERED
    if mark == "incarnation":
        (action,) = world.nactions
        world.put(msgspec.structs.replace(action, sent_to="a"))
        node.incarnation = "b"
    else:
        world.cycle(observations=())
        node.boot = "1"
        before = world.inputs()
        first = [msgspec.structs.replace(it, boots=("1", "2", "1")) for it in before.nodes]
        for it in first:
            world.put(msgspec.structs.replace(it, incarnation="a"))
        node.incarnation, node.boot = "a", "1"
    come_back(world)
    result = world.cycle()
    assert "n1" not in world.state.replaced.get(SHARD, {})
    assert "done" not in outcomes(result, "rejoin")
