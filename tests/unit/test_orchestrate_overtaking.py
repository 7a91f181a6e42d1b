"""A failover that a person asks for goes past a switchover whose primary is not seen any more: the
switchover ends first, and never are both on their way."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ASKED, approve, by_hand
from by_name_order_asks import order, the_order
from orchestrate_builders import (
    World,
    against,
    hang_store,
    kill_store,
    outcomes,
    sent_kinds,
)
from owner_stories import served, with_a_switchover_that_waits

from replicante.model.action_kinds import (
    CORE_FAILOVER,
    CORE_SWITCHOVER,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
)
from replicante.model.actions import NAction, NActionPhase, OActionPhase
from replicante.model.node import StoreContact
from replicante.model.observation import AgentAnswer, SeenPhase
from replicante.model.shard import ShardRole, Sight
from replicante.orchestrate.explain import explain


def fail_over(world: World, to: str = "n3") -> None:
    order(world, CORE_FAILOVER, action_id="o2", to=to, accepted_loss=0)


def handed_over(world: World) -> NAction:
    """The node action of the switchover."""
    return next(it for it in world.nactions if it.kind == STORE_SWITCHOVER)


def hung(*, is_taken: bool = True, is_sent: bool = True) -> World:
    """A switchover to n2 is at the agent of n1, whose store hangs since then."""
    world = by_hand()
    order(world, CORE_SWITCHOVER, to="n2")
    result = world.cycle(is_sent=is_sent)
    assert sent_kinds(result) == [(STORE_SWITCHOVER, "n1")]
    if is_taken:
        world.cycle()
        assert handed_over(world).phase is NActionPhase.NEW
    hang_store(world)
    return world


def goes_after_one_look(world: World) -> bool:
    """Not in the look that shows the end of the switchover, but in the next one; and first it ends
    the process of the primary where that hangs."""
    first = world.cycle()
    sent = sent_kinds(world.cycle())
    if sent == [(STORE_FENCE, "n1")]:
        world.work()
        sent = sent_kinds(world.cycle())
    return (first.submissions, first.cancels) == ((), ()) and sent == [(STORE_PROMOTE, "n3")]


def test_a_failover_ends_the_switchover_and_waits_for_what_that_left_at_its_agent():
    world = hung()
    fail_over(world)
    for _ in range(3):
        result = world.cycle()
        assert result.submissions == ()
        assert [it.action_id for it in result.cancels] == [handed_over(world).action_id]
        assert the_order(world).phase is OActionPhase.CANCELLED
        assert "failover o2 was asked for" in the_order(world).error["error_msg"]
        assert the_order(world, "o2").phase is OActionPhase.PENDING_SCHEDULE
        (step,) = [it for it in explain(result.decision).steps if it.action_id == "o2"]
        assert step.outcome == "denied"
        assert any("[one_disruption]" in it for it in explain(result.decision).needs)
    world.nodes["n1"].end(handed_over(world).action_id, SeenPhase.CANCELLED)
    assert goes_after_one_look(world)
    assert handed_over(world).phase is NActionPhase.CANCELLED


def test_what_never_left_is_withdrawn_and_the_failover_goes():
    world = with_a_switchover_that_waits("observe")
    world.nodes["n5"].answer = AgentAnswer.ANSWERED
    world.nodes["n5"].end("of-n5")
    hang_store(world)
    action_id = served(world)
    fail_over(world)
    assert sent_kinds(world.cycle()) == [(STORE_FENCE, "n1")]
    assert the_order(world).phase is OActionPhase.CANCELLED
    world.work()
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]
    ended = next(it for it in world.nactions if it.action_id == action_id)
    assert (ended.phase, ended.sent_epoch) == (NActionPhase.CANCELLED, None)


def test_what_may_be_on_its_way_is_refused_before_the_failover_goes():
    world = hung(is_taken=False, is_sent=False)
    fail_over(world)
    sent_ids = frozenset({handed_over(world).action_id})
    result = world.cycle(sent_ids=sent_ids)
    assert result.submissions == () and result.is_epoch_spent
    assert handed_over(world).phase is NActionPhase.CANCELLED
    world.epoch += 1
    assert goes_after_one_look(world)


def test_what_arrived_all_the_same_is_waited_for():
    world = hung(is_taken=False, is_sent=False)
    fail_over(world)
    world.cycle()
    world.nodes["n1"].take(handed_over(world))
    result = world.cycle()
    assert result.submissions == ()
    assert [it.action_id for it in result.cancels] == [handed_over(world).action_id]
    world.nodes["n1"].end(handed_over(world).action_id, SeenPhase.CANCELLED)
    assert goes_after_one_look(world)


def test_at_a_silent_agent_it_may_run_still_so_a_person_is_asked():
    world = hung()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    fail_over(world)
    assert world.cycle().submissions == ()
    assert the_order(world).phase is OActionPhase.CANCELLED
    asked = next(it for it in world.nactions if it.action_id == served(world, "o2"))
    assert asked.asked == {"one_disruption": {"action_ids": [handed_over(world).action_id]}}
    approve(world, asked.action_id)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]


def come_through(world: World) -> None:
    """The agent did it before it heard of the cancel; nobody looked at n2 since then."""
    world.nodes["n1"].contact = StoreContact.ANSWERS
    world.nodes["n1"].role, world.nodes["n1"].follows = ShardRole.SECONDARY, "n2"
    world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.DOWN
    world.nodes["n1"].end(handed_over(world).action_id)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_switchover_that_came_through_after_all_ends_the_failover(is_known):
    world = hung(is_taken=is_known, is_sent=is_known)
    fail_over(world)
    world.cycle()
    world.nodes["n1"].take(handed_over(world))
    come_through(world)
    for _ in range(3):
        assert world.cycle().submissions == ()
    assert the_order(world, "o2").phase is OActionPhase.FAILED
    assert "ask anew" in the_order(world, "o2").error["error_msg"]


def test_a_primary_that_says_that_it_is_none_is_waited_for():
    """The agent tells that it gave up, and the role may have moved all the same."""
    world = hung()
    fail_over(world)
    world.cycle()
    come_through(world)
    world.nodes["n1"].end(handed_over(world).action_id, SeenPhase.FAILED)
    assert world.cycle().submissions == ()
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    assert world.cycle().submissions == ()
    assert the_order(world, "o2").phase is OActionPhase.FAILED


def test_of_a_primary_that_says_that_it_is_none_the_rules_wait_for_a_confirmation():
    world = by_hand()
    world.nodes["n1"].role, world.nodes["n1"].follows = ShardRole.SECONDARY, "n2"
    world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.DOWN
    fail_over(world)
    result = world.cycle()
    assert result.submissions == () and "failure_confirmed" in against(result, "failover")


def test_nobody_promotes_a_third_one_beside_another_that_is_primary():
    world = by_hand()
    hang_store(world)
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    fail_over(world)
    result = world.cycle()
    assert result.submissions == () and "failure_confirmed" in against(result, "failover")


def test_a_failover_that_no_rule_lets_go_leaves_the_switchover():
    world = hung()
    world.nodes["n3"].sight = Sight.UP
    fail_over(world)
    result = world.cycle()
    assert result.cancels == () and the_order(world).phase is OActionPhase.RUNNING
    (step,) = [it for it in explain(result.decision).steps if it.action_id == "o2"]
    assert step.outcome == "denied" and step.blocked_by[0].rule == "witnesses_agree"


def test_a_failover_leaves_a_switchover_whose_primary_is_there():
    world = hung()
    world.nodes["n1"].contact = StoreContact.ANSWERS
    fail_over(world)
    result = world.cycle()
    assert result.cancels == () and the_order(world).phase is OActionPhase.RUNNING
    world.nodes["n1"].end(handed_over(world).action_id, SeenPhase.FAILED)
    world.cycle()
    assert the_order(world).phase is the_order(world, "o2").phase is OActionPhase.FAILED


def test_a_failover_past_a_dead_primary_ends_a_switchover_that_left():
    world = hung()
    kill_store(world)
    fail_over(world)
    assert world.cycle().submissions == ()
    world.nodes["n1"].end(handed_over(world).action_id, SeenPhase.FAILED)
    assert goes_after_one_look(world)


def test_what_people_asked_the_agent_for_is_not_cancelled():
    world = hung()
    world.put(msgspec.structs.replace(handed_over(world), cause=None))
    world.put(msgspec.structs.replace(the_order(world), phase=OActionPhase.FAILED))
    fail_over(world)
    result = world.cycle()
    assert result.submissions == () and result.cancels == ()
    assert outcomes(result, ASKED) == []


def test_what_a_switchover_left_that_a_person_cancelled_is_waited_for_too():
    world = hung()
    world.put(msgspec.structs.replace(the_order(world), phase=OActionPhase.CANCELLED))
    assert world.cycle().cancels == ()
    fail_over(world)
    assert [it.action_id for it in world.cycle().cancels] == [handed_over(world).action_id]
    world.nodes["n1"].end(handed_over(world).action_id, SeenPhase.CANCELLED)
    assert goes_after_one_look(world)


def test_of_an_agent_that_falls_silent_meanwhile_a_person_is_asked():
    world = hung()
    fail_over(world)
    world.cycle()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    for _ in range(2):
        assert world.cycle().submissions == ()
    assert "one_disruption" in against(world.cycle(), ASKED)
    served(world, "o2")
