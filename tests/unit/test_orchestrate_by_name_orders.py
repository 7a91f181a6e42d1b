"""What people ask of a platform by name is judged before each call, as what convergence wishes."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ASKED, by_hand
from orchestrate_builders import (
    CLUSTER,
    NS,
    FakeNode,
    World,
    against,
    make_spec,
    outcomes,
)

from replicante.model.action_kinds import PLATFORM_DEPROVISION, PLATFORM_PROVISION
from replicante.model.actions import OAction, OActionPhase
from replicante.model.change import ChangeCode, RecordKind
from replicante.model.node import NodeStatus
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole
from replicante.orchestrate.actions.oaction_kinds import platform_failed
from replicante.orchestrate.explain import explain


def take_away(world: World, node_id: str, **fields) -> None:
    order = OAction(
        ns_id=NS,
        cluster_id=CLUSTER,
        action_id="o1",
        kind=PLATFORM_DEPROVISION,
        args={"node_id": node_id},
        created_ms=world.now_ms,
        created_wall_ms=world.wall_ms,
        **{"phase": OActionPhase.PENDING_SCHEDULE, **fields},
    )
    world.put(order)


def the_order(world: World) -> OAction:
    return next(it for it in world.oactions if it.action_id == "o1")


def approve(world: World) -> None:
    assert the_order(world).phase is OActionPhase.PENDING_APPROVE
    world.put(msgspec.structs.replace(the_order(world), phase=OActionPhase.PENDING_SCHEDULE))


def with_a_stranger() -> World:
    """n4 is in no cluster."""
    world = by_hand()
    world.nodes["n4"] = FakeNode("n4", status=NodeStatus.NOT_IN_CLUSTER, role=None)
    world.rediscover()
    world.cycle()
    return world


def codes(result) -> list[ChangeCode | None]:
    return [it.code for it in result.changes if it.kind is RecordKind.OACTION]


def test_a_primary_is_taken_away_only_by_who_was_told_that_it_is_one():
    world = by_hand()
    take_away(world, "n1")
    result = world.cycle()
    assert result.calls == () and codes(result) == [ChangeCode.OACTION_ASK]
    assert outcomes(result, ASKED) == ["awaits_approval"]
    assert against(result, ASKED) == {"primary_not_removed"}
    (step,) = explain(result.decision).steps
    assert step.action_id == "o1" and "is the primary of shard 0" in step.blocked_by[0].reason
    for _ in range(3):
        assert world.cycle().calls == ()
    approve(world)
    (call,) = world.cycle().calls
    assert (call.action_id, call.body["node_id"]) == ("o1", "n1")


def test_who_approved_that_a_copy_goes_did_not_approve_it_of_a_primary():
    world = by_hand()
    take_away(world, "n2")
    world.cycle()
    approve(world)
    world.nodes["n1"].role, world.nodes["n1"].follows = ShardRole.SECONDARY, "n2"
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    world.nodes["n3"].follows = "n2"
    for _ in range(6):
        assert world.cycle(after_ms=3_000).calls == ()
    assert world.state.appointed == {"0": "n2"}
    assert the_order(world).phase is OActionPhase.PENDING_APPROVE


def test_a_node_that_is_in_no_cluster_goes_as_asked():
    world = with_a_stranger()
    take_away(world, "n4")
    (call,) = world.cycle().calls
    assert call.body["node_id"] == "n4"


def test_a_call_that_failed_is_repeated_only_while_it_is_right():
    world = with_a_stranger()
    take_away(world, "n4")
    world.cycle()
    world.put(platform_failed(the_order(world), message="no answer"))
    world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    result = world.cycle()
    assert result.calls == () and against(result, ASKED) == {"information_complete"}
    assert the_order(world).phase is OActionPhase.RUNNING
    world.nodes["n3"].answer = AgentAnswer.ANSWERED
    assert [it.action_id for it in world.cycle().calls] == ["o1"]


def test_one_that_was_made_to_wait_is_asked_about_once():
    world = by_hand()
    take_away(world, "n1", phase=OActionPhase.PENDING_APPROVE)
    world.cycle()
    assert {*the_order(world).asked} == {"approval_granted", "primary_not_removed"}
    approve(world)
    assert len(world.cycle().calls) == 1


def test_a_pause_holds_it_and_asks_nobody():
    world = by_hand()
    world.spec = make_spec(mode="paused")
    take_away(world, "n1")
    result = world.cycle()
    assert result.calls == () and codes(result) == []


def test_one_that_asks_for_nothing_possible_fails_and_asks_nobody():
    world = by_hand()
    world.is_platform_usable = False
    take_away(world, "n1")
    world.cycle()
    assert the_order(world).phase is OActionPhase.FAILED


def test_a_node_that_is_gone_already_needs_no_approval_any_more():
    world = by_hand()
    take_away(world, "n3")
    world.cycle()
    del world.nodes["n3"]
    world.rediscover()
    world.cycle()
    assert the_order(world).phase is OActionPhase.PENDING_APPROVE
    approve(world)
    assert world.cycle().calls == ()
    assert the_order(world).phase is OActionPhase.DONE


@pytest.mark.parametrize("node_id", ["n1", "n4"])
def test_convergence_disturbs_nothing_beside_it_in_the_same_cycle(node_id):
    world = with_a_stranger()
    world.spec = make_spec(expand={"mode": "Join"})
    take_away(world, node_id)
    result = world.cycle()
    assert len(result.calls) + len(result.submissions) <= 1


def test_making_a_node_disturbs_nothing_and_is_not_judged():
    nodes = {"data": {"desired_count": 4, "node_class": "small"}}
    definition = {"store": "redis", "store_version": "6.2", "nodes": nodes}
    world = by_hand(definition=definition, steps={"scale_up": False})
    order = OAction(
        ns_id=NS,
        cluster_id=CLUSTER,
        action_id="o1",
        kind=PLATFORM_PROVISION,
        args={"request": {"node_group_id": "data", "count": 1}},
        created_ms=world.now_ms,
        created_wall_ms=world.wall_ms,
        phase=OActionPhase.PENDING_SCHEDULE,
    )
    world.put(order)
    assert [it.action_id for it in world.cycle().calls] == ["o1"]
