"""What people ask of the orchestrator, for the tests of how it is judged. Not a test file."""

from __future__ import annotations

import msgspec
from by_name_asks import ask
from orchestrate_builders import CLUSTER, NS, World, make_spec, replicated

from replicante.model.action_kinds import PLATFORM_DEPROVISION
from replicante.model.actions import NActionPhase, OAction, OActionPhase
from replicante.model.observation import AgentAnswer
from replicante.orchestrate.actions.oaction_kinds import platform_answered


def order(world: World, kind: str, *, action_id="o1", timeout_ms=None, **args) -> None:
    world.put(
        OAction(
            ns_id=NS,
            cluster_id=CLUSTER,
            action_id=action_id,
            kind=kind,
            args=args,
            created_ms=world.now_ms,
            created_wall_ms=world.wall_ms,
            phase=OActionPhase.PENDING_SCHEDULE,
            timeout_ms=timeout_ms,
        )
    )


def the_order(world: World, action_id: str = "o1") -> OAction:
    return next(it for it in world.oactions if it.action_id == action_id)


def approve_order(world: World, action_id: str = "o1") -> None:
    waiting = the_order(world, action_id)
    assert waiting.phase is OActionPhase.PENDING_APPROVE
    ready = msgspec.structs.replace(waiting, phase=OActionPhase.PENDING_SCHEDULE)
    world.put(msgspec.structs.replace(ready, approved_ms=world.now_ms))


def served(world: World, action_id: str = "o1") -> str:
    """The node action of the order, which waits for a person."""
    (found,) = [it for it in world.nactions if it.cause == action_id]
    assert found.phase is NActionPhase.PENDING_APPROVE
    return found.action_id


def about_to_take_away(world: World, node_id: str) -> World:
    """The platform is called for it in the next cycle."""
    order(world, PLATFORM_DEPROVISION, node_id=node_id)
    world.cycle()
    approve_order(world)
    return world


def taking_away(world: World, node_id: str) -> World:
    """The platform takes it away, and has said so."""
    about_to_take_away(world, node_id)
    assert len(world.cycle().calls) == 1
    world.put(platform_answered(the_order(world), expected=None))
    world.cycle()
    return world


def with_a_restart_under_way(mode: str = "observe", **spec) -> World:
    """Of n5, whose agent is silent: what disturbs is a question from then on."""
    world = replicated(5, spec=make_spec(mode=mode, **spec))
    ask(world, "n5")
    world.cycle()
    world.nodes["n5"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    return world


def end_the_restart(world: World) -> None:
    world.nodes["n5"].answer = AgentAnswer.ANSWERED
    world.nodes["n5"].end("of-n5")
