"""Orchestrator actions beside what waits, for the tests of what holds what up. Not a test file."""

from __future__ import annotations

from by_name_asks import ask
from by_name_order_asks import order
from orchestrate_builders import World, make_spec, replicated

from replicante.model.action_kinds import CORE_SWITCHOVER
from replicante.model.actions import NActionPhase
from replicante.model.observation import AgentAnswer


def served(world: World, action_id: str = "o1") -> str:
    """The node action of the order, which waits for a person."""
    (found,) = [it for it in world.nactions if it.cause == action_id]
    assert found.phase is NActionPhase.PENDING_APPROVE
    return found.action_id


def with_a_restart_under_way(mode: str = "observe") -> World:
    """Of n5, whose agent is silent: what disturbs is a question from then on."""
    world = replicated(5, spec=make_spec(mode=mode))
    ask(world, "n5")
    world.cycle()
    world.nodes["n5"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    return world


def end_the_restart(world: World) -> None:
    world.nodes["n5"].answer = AgentAnswer.ANSWERED
    world.nodes["n5"].end("of-n5")


def with_a_switchover_that_waits(mode: str = "active") -> World:
    world = with_a_restart_under_way(mode)
    order(world, CORE_SWITCHOVER, to="n2")
    world.cycle()
    served(world)
    return world
