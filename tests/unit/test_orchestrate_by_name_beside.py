"""What people ask for by name and what waits, beside switchovers, failovers and one another."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ASKED, approve, ask, by_hand, promote, the
from by_name_order_asks import order, the_order
from orchestrate_builders import (
    SHARD,
    World,
    against,
    hang_store,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)
from owner_stories import (
    end_the_restart,
    served,
    with_a_restart_under_way,
    with_a_switchover_that_waits,
)

from replicante.model.action_kinds import (
    CORE_FAILOVER,
    CORE_SWITCHOVER,
    CORE_TEST_LOOP,
    PLATFORM_DEPROVISION,
    SERVICE_RESTART,
    SERVICE_START,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
)
from replicante.model.actions import NActionPhase, OActionPhase
from replicante.model.node import NodeStatus
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight
from replicante.orchestrate.explain import explain


def test_an_approved_failover_goes_past_what_only_waits_on_its_node():
    world = with_a_restart_under_way()
    ask(world, "n2")
    world.cycle()
    kill_store(world)
    order(world, CORE_FAILOVER, to="n2", accepted_loss=0)
    world.cycle()
    approve(world, served(world))
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_promotion_behind_what_only_waits_is_judged_and_told():
    world = by_hand()
    world.nodes["n3"].status = NodeStatus.UNHEALTHY
    ask(world, "n2")
    world.cycle()
    hang_store(world)
    action_id = promote(world, action_id="of-n2-promotion")
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["awaits_approval"] * 2
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_promotion_that_is_held_does_not_hold_what_waits_before_it():
    world = by_hand()
    world.nodes["n3"].status = NodeStatus.UNHEALTHY
    ask(world, "n2")
    world.cycle()
    promote(world, action_id="of-n2-promotion")
    world.cycle()
    approve(world, "of-n2")
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n2")]


def test_a_node_gets_one_action_a_cycle():
    world = by_hand()
    ask(world, "n2", phase=NActionPhase.PENDING_APPROVE)
    world.cycle()
    kill_store(world)
    promote(world, action_id="of-n2-promotion")
    result = world.cycle()
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]
    assert outcomes(result, ASKED) == ["done"]


def approved_order(node_id: str, *, at_cycle: int, count: int = 5) -> World:
    """The primary is silent, and a person has the platform take a node away."""
    world = replicated(count)
    order(world, PLATFORM_DEPROVISION, node_id=node_id)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    for node in world.nodes.values():
        node.sight = Sight.DOWN if node.follows else None
    for _ in range(at_cycle):
        assert world.cycle(after_ms=5_000).submissions == ()
    assert the_order(world).phase is OActionPhase.PENDING_APPROVE
    world.put(msgspec.structs.replace(the_order(world), phase=OActionPhase.PENDING_SCHEDULE))
    return world


def test_a_failover_does_not_wait_for_a_node_that_a_person_has_taken_away():
    world = approved_order("n1", at_cycle=2)
    result = world.cycle(after_ms=5_000)
    assert len(result.calls) == 1 and sent_kinds(result) == [(STORE_PROMOTE, "n2")]


def test_a_node_that_is_asked_of_the_platform_is_not_promoted_in_that_cycle():
    world = approved_order("n2", at_cycle=2, count=2)
    result = world.cycle(after_ms=5_000)
    assert len(result.calls) == 1 and result.submissions == ()
    assert any("takes it away" in it.reason for it in result.decision.idle)


def test_what_serves_a_switchover_is_not_sent_to_a_silent_agent():
    world = with_a_switchover_that_waits("observe")
    action_id = served(world)
    end_the_restart(world)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    result = world.cycle()
    assert result.submissions == () and "information_complete" in against(result, ASKED)
    assert served(world) == action_id
    world.nodes["n1"].answer = AgentAnswer.ANSWERED
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]


def test_who_approved_beside_one_action_did_not_approve_it_beside_two():
    world = replicated(7, spec=make_spec(mode="observe"))
    ask(world, "n4")
    world.cycle()
    ask(world, "n2"), ask(world, "n3")
    world.cycle()
    assert the(world, "of-n3").asked == {"one_disruption": {"action_ids": ["of-n4"]}}
    approve(world, "of-n2"), approve(world, "of-n3")
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n2")]
    assert world.cycle().submissions == ()
    asked = the(world, "of-n3")
    assert asked.phase is NActionPhase.PENDING_APPROVE
    assert asked.asked == {"one_disruption": {"action_ids": ["of-n2", "of-n4"]}}


def test_what_may_run_at_a_silent_agent_is_named_beside_what_runs():
    world = with_a_restart_under_way()
    ask(world, "n4")
    world.cycle()
    approve(world, "of-n4")
    world.cycle()
    ask(world, "n3")
    world.cycle()
    assert the(world, "of-n3").asked["one_disruption"] == {"action_ids": ["of-n4", "of-n5"]}


@pytest.mark.parametrize("is_under_way", [True, False])
def test_a_switchover_that_waits_ends_with_its_primary_and_holds_up_no_failover(is_under_way):
    world = with_a_switchover_that_waits()
    if not is_under_way:
        end_the_restart(world)
    kill_store(world)
    result = world.cycle(after_ms=20_000)
    assert the_order(world).phase is OActionPhase.FAILED
    assert "ask for a failover" in the_order(world).error["error_msg"]
    assert "nobody_elses_work" not in against(result, "failover")
    assert sent_kinds(result) == ([] if is_under_way else [(STORE_PROMOTE, "n2")])
    assert the(world, next(it.action_id for it in world.nactions if it.cause == "o1")).phase is (
        NActionPhase.CANCELLED
    )


def test_a_switchover_that_waits_is_not_released_while_its_primary_is_in_doubt():
    world = with_a_switchover_that_waits("observe")
    end_the_restart(world)
    hang_store(world)
    result = world.cycle()
    assert result.submissions == () and "primary_present" in against(result, ASKED)
    assert the_order(world).phase is OActionPhase.RUNNING
    served(world)


def test_a_switchover_that_waits_ends_when_the_role_moved():
    world = with_a_switchover_that_waits("observe")
    world.nodes["n1"].role, world.nodes["n1"].follows = ShardRole.SECONDARY, "n3"
    world.nodes["n3"].role, world.nodes["n3"].follows = ShardRole.PRIMARY, None
    for name in ("n2", "n4", "n5"):
        world.nodes[name].follows = "n3"
    for _ in range(5):
        world.cycle(after_ms=5_000)
    assert the_order(world).phase is OActionPhase.FAILED


def test_a_failover_that_waits_is_not_sent_against_another_primary():
    world = with_a_restart_under_way()
    kill_store(world)
    order(world, CORE_FAILOVER, to="n2", accepted_loss=0)
    world.cycle()
    served(world)
    world.nodes["n3"].role, world.nodes["n3"].follows = ShardRole.PRIMARY, None
    world.put(msgspec.structs.replace(world.state, appointed={SHARD: "n3"}))
    world.cycle()
    assert the_order(world).phase is OActionPhase.FAILED
    assert "n3 is: ask anew" in the_order(world).error["error_msg"]


def test_nobody_approves_a_third_primary_beside_the_one_that_is_known():
    world = by_hand()
    world.nodes["n3"].role, world.nodes["n3"].follows = ShardRole.PRIMARY, None
    action_id = promote(world)
    for _ in range(3):
        result = world.cycle()
        assert result.submissions == () and outcomes(result, ASKED) == ["denied"]
        assert "failure_confirmed" in against(result, ASKED)
        approve(world, action_id)


def test_a_recovery_goes_past_a_switchover_that_only_waits():
    world = with_a_switchover_that_waits("observe")
    hang_store(world)
    action_id = promote(world, phase=NActionPhase.PENDING_APPROVE)
    result = world.cycle()
    (record,) = [it for it in result.decision.proposals if it.action_id == action_id]
    against_it = {it.rule for it in record.verdicts if it.ruling != "allow"}
    assert record.outcome == "awaits_approval" and "failure_confirmed" in against_it
    assert the_order(world).phase is OActionPhase.RUNNING


def with_a_switchover_that_runs() -> World:
    """It left for the agent of n1, whose store hangs meanwhile."""
    world = by_hand()
    order(world, CORE_SWITCHOVER, to="n2")
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]
    world.cycle()
    hang_store(world)
    return world


def test_a_promotion_beside_a_switchover_that_runs_is_judged_and_told():
    world = with_a_switchover_that_runs()
    action_id = promote(world, "n3")
    result = world.cycle()
    assert result.submissions == () and "nobody_elses_work" in against(result, ASKED)
    (step,) = [it for it in explain(result.decision).steps if it.step == ASKED]
    assert (step.action_id, step.outcome) == (action_id, "denied")
    assert any("switchover is running" in it for it in explain(result.decision).needs)


def beside_an_action_that_runs() -> World:
    """One that changes no roles."""
    world = by_hand()
    order(world, CORE_TEST_LOOP, target=100)
    world.cycle()
    return world


def test_a_promotion_past_a_dead_primary_does_not_wait_for_what_changes_no_roles():
    world = beside_an_action_that_runs()
    kill_store(world)
    promote(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


@pytest.mark.parametrize("taken", ["n2", "n3"])
def test_a_node_that_a_platform_is_taking_away_is_not_promoted_by_name(taken):
    world = by_hand()
    order(world, PLATFORM_DEPROVISION, node_id=taken)
    running = msgspec.structs.replace(the_order(world), phase=OActionPhase.RUNNING)
    world.put(msgspec.structs.replace(running, payload={"requested": True}))
    kill_store(world)
    promote(world)
    result = world.cycle()
    assert sent_kinds(result) == ([] if taken == "n2" else [(STORE_PROMOTE, "n2")])
    assert ("nobody_elses_work" in against(result, ASKED)) is (taken == "n2")


def test_a_promotion_is_asked_about_beside_an_action_that_runs():
    world = beside_an_action_that_runs()
    hang_store(world)
    action_id = promote(world)
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["awaits_approval"]
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_what_disturbs_nothing_waits_for_an_action_that_runs_and_is_not_judged():
    world = beside_an_action_that_runs()
    ask(world, "n2", SERVICE_START)
    result = world.cycle()
    assert result.submissions == () and result.decision.proposals == ()
