"""Changes of roles beside a node that a platform is taking away, in the cycle of its call and
later."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ASKED, ask, by_hand, promote, the
from by_name_order_asks import (
    about_to_take_away,
    approve_order,
    end_the_restart,
    order,
    taking_away,
    the_order,
    with_a_restart_under_way,
)
from orchestrate_builders import (
    SHARD,
    World,
    against,
    hang_store,
    kill_store,
    make_spec,
    member,
    outcomes,
    replicated,
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
from replicante.orchestrate.actions.oaction_kinds import platform_failed


def asks_role(world: World, node_id: str, kind: str, other: str) -> None:
    args = {"shard_id": SHARD, "node_id": other, "node": member(other)}
    ask(world, node_id, kind, args=args)


def test_a_failover_passes_over_a_node_that_is_being_taken_away():
    world = taking_away(replicated(4), "n2")
    kill_store(world)
    result = world.cycle()
    assert sent_kinds(result) == [(STORE_PROMOTE, "n3")]
    (found,) = [it for it in result.decision.candidates if it.node_id == "n2"]
    assert "o1 takes it away; cancel that" in found.reasons[0]


def test_a_call_that_failed_may_have_been_heard():
    world = about_to_take_away(replicated(4), "n2")
    world.cycle()
    world.put(platform_failed(the_order(world), message="no answer"))
    kill_store(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]


def test_a_node_whose_order_was_cancelled_takes_over():
    world = taking_away(replicated(2), "n2")
    kill_store(world)
    for _ in range(2):
        result = world.cycle(after_ms=20_000)
        assert result.submissions == ()
    assert any("takes it away" in it.reason for it in result.decision.idle)
    ended = msgspec.structs.replace(the_order(world), phase=OActionPhase.CANCELLED)
    world.put(ended)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


@pytest.mark.parametrize("kind", [CORE_SWITCHOVER, CORE_FAILOVER])
def test_nobody_is_handed_over_to_a_node_that_is_being_taken_away(kind):
    world = taking_away(replicated(4, spec=make_spec(mode="observe")), "n2")
    if kind == CORE_FAILOVER:
        kill_store(world)
    order(world, kind, action_id="o2", to="n2", accepted_loss="unknown")
    assert world.cycle().submissions == ()
    assert the_order(world, "o2").phase is OActionPhase.FAILED
    assert "takes it away" in the_order(world, "o2").error["error_msg"]


def test_a_switchover_that_waited_is_not_released_to_a_node_that_is_being_taken_away():
    world = with_a_restart_under_way()
    asks_role(world, "n1", STORE_SWITCHOVER, "n2")
    world.cycle()
    assert the(world, "of-n1").phase is NActionPhase.PENDING_APPROVE
    taking_away(world, "n2")
    end_the_restart(world)
    result = world.cycle()
    assert result.submissions == () and "candidate_fit" in against(result, ASKED)


def test_a_primary_that_is_being_taken_away_may_hand_over():
    world = taking_away(by_hand(), "n1")
    order(world, CORE_SWITCHOVER, action_id="o2", to="n2")
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]


@pytest.mark.parametrize(
    ("node_id", "kind", "other"),
    [("n2", STORE_REJOIN, "n1"), ("n1", STORE_SWITCHOVER, "n2")],
)
def test_what_a_person_asks_of_roles_waits_beside_a_call_of_a_platform(node_id, kind, other):
    world = about_to_take_away(by_hand(), "n3")
    asks_role(world, node_id, kind, other)
    result = world.cycle()
    assert len(result.calls) == 1 and result.submissions == ()
    assert outcomes(result, ASKED) == ["done", "denied"]


def test_a_switchover_waits_for_the_cycle_after_a_call_and_does_not_fail():
    world = about_to_take_away(by_hand(), "n3")
    order(world, CORE_SWITCHOVER, action_id="o2", to="n2")
    result = world.cycle()
    assert len(result.calls) == 1 and result.submissions == ()
    assert the_order(world, "o2").phase is OActionPhase.PENDING_SCHEDULE
    # Still unanswered: it is called again, and nothing disturbs beside that.
    assert world.cycle().submissions == ()
    world.put(msgspec.structs.replace(the_order(world), payload={"requested": True}))
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]


def test_a_promotion_by_name_goes_beside_a_call_of_a_platform():
    world = replicated(5, spec=make_spec(mode="observe"))
    kill_store(world)
    about_to_take_away(world, "n3")
    promote(world)
    result = world.cycle()
    assert len(result.calls) == 1 and sent_kinds(result) == [(STORE_PROMOTE, "n2")]


def test_a_primary_that_hangs_is_ended_in_the_cycle_in_which_it_is_taken_away():
    world = replicated(5)
    hang_store(world)
    order(world, PLATFORM_DEPROVISION, node_id="n1")
    for _ in range(2):
        assert world.cycle(after_ms=5_000).submissions == ()
    approve_order(world)
    result = world.cycle(after_ms=5_000)
    assert len(result.calls) == 1 and sent_kinds(result) == [(STORE_FENCE, "n1")]


def test_automation_asks_nothing_of_a_node_in_the_cycle_in_which_it_is_taken_away():
    world = about_to_take_away(replicated(5), "n3")
    kill_store(world, "n3")
    result = world.cycle()
    assert len(result.calls) == 1 and result.submissions == ()
    assert "one_disruption" in against(result, "rejoin")
