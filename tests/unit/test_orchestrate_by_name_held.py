"""What a person approved and a rule holds, what is held for long, and two promotions by hand."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ASKED, approve, ask, by_hand, promote, the
from by_name_order_asks import (
    end_the_restart,
    order,
    served,
    the_order,
    with_a_restart_under_way,
)
from orchestrate_builders import (
    SHARD,
    FakeNode,
    World,
    against,
    hang_store,
    kill_store,
    member,
    outcomes,
    sent_kinds,
)

from replicante.model.action_kinds import (
    CORE_FAILOVER,
    CORE_SWITCHOVER,
    PLATFORM_DEPROVISION,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_REJOIN,
    STORE_SWITCHOVER,
)
from replicante.model.actions import NActionPhase, OActionPhase
from replicante.model.node import NodeStatus
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole
from replicante.orchestrate.actions.oaction_kinds import platform_failed

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def with_an_approved_failover(mode: str = "active", *, to: str = "n2") -> World:
    world = with_a_restart_under_way(mode, policies={"data_loss_offset": 1_000})
    kill_store(world)
    order(world, CORE_FAILOVER, to=to, accepted_loss=0, timeout_ms=DAY_MS)
    world.cycle()
    # The grace of the step is over then.
    world.cycle(after_ms=20_000)
    approve(world, served(world))
    return world


def primaries(world: World) -> list[str]:
    return [it.node_id for it in world.nodes.values() if it.role is ShardRole.PRIMARY]


def test_an_approved_failover_whose_successor_is_sick_holds_up_no_recovery():
    world = with_an_approved_failover()
    world.nodes["n2"].status = NodeStatus.UNHEALTHY
    end_the_restart(world)
    sent = []
    for _ in range(2):
        sent += sent_kinds(world.cycle(after_ms=15_000))
    assert sent == [(STORE_PROMOTE, "n3")]
    world.work()
    world.cycle()
    assert the_order(world).phase is OActionPhase.FAILED
    assert primaries(world) == ["n1", "n3"]


def test_who_approved_a_successor_has_that_one_and_not_the_choice_of_automation():
    world = with_an_approved_failover(to="n4")
    end_the_restart(world)
    assert sent_kinds(world.cycle(after_ms=5_000)) == [(STORE_PROMOTE, "n4")]


def test_an_approved_failover_is_sent_once_its_successor_is_well_and_nobody_was_faster():
    world = with_an_approved_failover("observe")
    world.nodes["n2"].status = NodeStatus.UNHEALTHY
    assert world.cycle(after_ms=60_000).submissions == ()
    world.nodes["n2"].status = NodeStatus.HEALTHY
    assert sent_kinds(world.cycle(after_ms=60_000)) == [(STORE_PROMOTE, "n2")]


def test_an_approved_switchover_whose_successor_is_sick_holds_up_no_rejoin():
    world = with_a_restart_under_way("active")
    order(world, CORE_SWITCHOVER, to="n2")
    world.cycle()
    approve(world, served(world))
    world.nodes["n2"].status = NodeStatus.UNHEALTHY
    kill_store(world, "n4")
    end_the_restart(world)
    assert sent_kinds(world.cycle(after_ms=15_000)) == [(STORE_REJOIN, "n4")]
    assert the_order(world).phase is OActionPhase.RUNNING


def test_a_switchover_that_left_holds_up_what_it_did():
    world = with_a_restart_under_way("active")
    order(world, CORE_SWITCHOVER, to="n2")
    world.cycle()
    approve(world, served(world))
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]
    end_the_restart(world)
    kill_store(world, "n4")
    result = world.cycle(after_ms=15_000)
    assert result.submissions == () and "nobody_elses_work" in against(result, "rejoin")


def test_an_approval_of_what_serves_a_failover_counts_for_an_hour():
    world = with_an_approved_failover("observe")
    action_id = next(it.action_id for it in world.nactions if it.cause == "o1")
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    for _ in range(3):
        world.cycle(after_ms=3 * HOUR_MS)
    world.nodes["n2"].answer = AgentAnswer.ANSWERED
    result = world.cycle()
    assert result.submissions == () and "approval_granted" in the(world, action_id).asked
    assert served(world) == action_id
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def with_a_stranger() -> World:
    """n4 is in no cluster, and a platform did not take the order to take it away."""
    world = by_hand()
    world.nodes["n4"] = FakeNode("n4", status=NodeStatus.NOT_IN_CLUSTER, role=None)
    world.rediscover()
    world.cycle()
    order(world, PLATFORM_DEPROVISION, node_id="n4", timeout_ms=DAY_MS)
    assert len(world.cycle().calls) == 1
    world.put(platform_failed(the_order(world), message="no answer"))
    return world


def test_a_call_that_began_is_repeated_after_an_hour_and_asks_nobody():
    world = with_a_stranger()
    for _ in range(4):
        assert len(world.cycle(after_ms=HOUR_MS).calls) == 1


def test_what_holds_a_call_that_may_have_left_is_told_as_no_question():
    world = with_a_stranger()
    world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    result = world.cycle()
    assert result.calls == () and outcomes(result, ASKED) == ["denied"]
    assert against(result, ASKED) == {"information_complete"}


def with_a_promotion_under_way() -> World:
    world = by_hand()
    kill_store(world)
    promote(world)
    promote(world, "n3")
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]
    return world


def test_two_promotions_of_one_shard_do_not_run_beside_each_other():
    world = with_a_promotion_under_way()
    for _ in range(3):
        result = world.cycle()
        assert result.submissions == () and outcomes(result, ASKED) == ["denied"]
        assert "one_disruption" in against(result, ASKED)
    world.work()
    for _ in range(3):
        assert world.cycle().submissions == ()
    assert primaries(world) == ["n1", "n2"]


def test_a_promotion_that_was_cancelled_ends_at_its_agent_first():
    world = with_a_promotion_under_way()
    world.cycle()
    first = the(world, "of-n2")
    world.put(msgspec.structs.replace(first, phase=NActionPhase.CANCELLED))
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["denied"]
    assert "which is asked to end it" in result.decision.proposals[-1].verdicts[-4].reason
    del world.nodes["n2"].actions["of-n2"]
    assert world.cycle().submissions == ()
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]


def test_of_a_promotion_at_an_agent_that_is_silent_a_person_decides():
    world = with_a_promotion_under_way()
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    assert the(world, "of-n3").phase is NActionPhase.PENDING_APPROVE
    approve(world, "of-n3")
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]


@pytest.mark.parametrize("shard_id", ["0", None])
def test_a_switchover_by_name_is_no_question_beside_another(shard_id):
    world = by_hand()
    args = {"shard_id": shard_id, "node_id": "n2", "node": member("n2")}
    ask(world, "n1", STORE_SWITCHOVER, args=args)
    world.cycle()
    kill_store(world)
    promote(world, "n3")
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["denied"]


def test_a_promotion_beside_a_fence_is_a_question():
    world = by_hand()
    hang_store(world)
    ask(world, "n1", STORE_FENCE, args={"shard_id": SHARD}, phase=NActionPhase.PENDING_APPROVE)
    world.cycle()
    approve(world, "of-n1")
    assert sent_kinds(world.cycle()) == [(STORE_FENCE, "n1")]
    promote(world)
    world.cycle()
    assert the(world, "of-n2").phase is NActionPhase.PENDING_APPROVE
