"""Nobody goes past a primary in the look that shows the end of a change of that primary: the copies
may have been looked at before. And what looks proved of a primary that hung says nothing of the
successor of one that handed over."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ASKED, by_hand, promote, the
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

LOOKS = {"confirmations": 3, "confirm_for": "3s", "data_loss_offset": 1000}


def handed_over(world: World) -> NAction:
    return next(it for it in world.nactions if it.kind == STORE_SWITCHOVER)


def hung(mode: str = "active", *, is_late: bool = False) -> World:
    """A switchover to n2 left for n1, whose store hangs since then. is_late: it is on its way."""
    world = replicated(4, spec=make_spec(mode=mode, policies=LOOKS))
    order(world, CORE_SWITCHOVER, to="n2")
    world.cycle(is_sent=not is_late)
    hang_store(world)
    return world


def fail_over(world: World) -> None:
    order(world, CORE_FAILOVER, action_id="o2", to="n4", accepted_loss=0)


def hand_over(world: World, phase: SeenPhase = SeenPhase.DONE, *, tells: bool = True) -> None:
    """n1 goes on and did it after n2 was looked at. tells: to whom it follows."""
    node = world.nodes["n1"]
    node.contact, node.role, node.sight = StoreContact.ANSWERS, ShardRole.SECONDARY, Sight.UP
    node.follows = "n2" if tells else None
    node.end(handed_over(world).action_id, phase)


def be_primary(world: World) -> None:
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None


def overtaken(mode: str = "active", *, is_late: bool = False) -> World:
    """A failover overtook the switchover, which is at its agent; nobody saw n1 for long."""
    world = hung(mode, is_late=is_late)
    fail_over(world)
    for look in range(12):
        assert world.cycle(is_sent=False).submissions == ()
        if look == 0:
            world.nodes["n1"].take(handed_over(world))
    assert the_order(world).phase is OActionPhase.CANCELLED
    return world


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("is_late", [True, False])
def test_automation_promotes_nobody_in_the_look_in_which_the_switchover_came_through(
    is_late, tells
):
    world = overtaken(is_late=is_late)
    hand_over(world, tells=tells)
    result = world.cycle()
    assert result.submissions == ()
    assert world.state.appointed == {SHARD: "n2"}
    assert "one_disruption" in against(result, "failover")
    be_primary(world)
    for _ in range(6):
        assert STORE_PROMOTE not in dict(sent_kinds(world.cycle()))


def test_a_promotion_by_name_does_not_leave_in_that_look_either():
    world = hung("observe", is_late=True)
    fail_over(world)
    world.cycle(is_sent=False)
    world.nodes["n1"].take(handed_over(world))
    promote(world, "n3")
    for _ in range(8):
        assert world.cycle(is_sent=False).submissions == ()
    hand_over(world)
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["denied"]
    be_primary(world)
    assert world.cycle().submissions == ()
    assert the(world, "of-n3").sent_epoch is None


def test_the_rule_alone_holds_a_promotion_by_name_for_that_look():
    """The agent told that it gave up."""
    world = overtaken("observe")
    world.put(msgspec.structs.replace(the_order(world, "o2"), phase=OActionPhase.CANCELLED))
    promote(world, "n3")
    world.nodes["n1"].end(handed_over(world).action_id, SeenPhase.CANCELLED)
    result = world.cycle()
    assert result.submissions == () and against(result, ASKED) == {"one_disruption"}
    assert the(world, "of-n3").phase is NActionPhase.PENDING_SCHEDULE
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]


def test_what_arrived_after_it_was_cancelled_is_remembered_at_an_agent_that_falls_silent():
    world = overtaken(is_late=True)
    action_id = handed_over(world).action_id
    assert action_id in world.state.sent
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    assert world.cycle().submissions == ()
    assert "one_disruption" in against(world.cycle(), "failover")


def test_what_may_be_on_its_way_is_remembered_until_it_is_refused():
    world = by_hand()
    order(world, CORE_SWITCHOVER, to="n2")
    world.cycle(is_sent=False)
    action = handed_over(world)
    world.put(msgspec.structs.replace(action, phase=NActionPhase.CANCELLED, finished_ms=1))
    world.put(msgspec.structs.replace(the_order(world), phase=OActionPhase.CANCELLED))
    kill_store(world)
    promote(world, "n3")
    result = world.cycle(sent_ids=frozenset({action.action_id}))
    assert result.submissions == () and result.is_epoch_spent
    assert action.action_id in world.state.sent and outcomes(result, ASKED) == ["denied"]
    world.epoch += 1
    result = world.cycle()
    assert result.submissions == () and not result.is_epoch_spent
    assert action.action_id not in world.state.sent
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]


def test_what_ended_at_its_agent_is_not_on_its_way():
    world = hung("observe")
    action = handed_over(world)
    world.put(msgspec.structs.replace(action, phase=NActionPhase.CANCELLED, finished_ms=1))
    world.nodes["n1"].end(action.action_id, SeenPhase.CANCELLED)
    assert not world.cycle(sent_ids=frozenset({action.action_id})).is_epoch_spent
    assert action.action_id not in world.state.sent


@pytest.mark.parametrize("there", ["n1", "n3"])
def test_a_late_handover_behind_which_the_role_moved_on_appoints_nobody(there):
    world = overtaken("observe", is_late=True)
    hand_over(world)
    world.nodes[there].role, world.nodes[there].follows = ShardRole.PRIMARY, None
    world.cycle()
    assert world.state.appointed == {SHARD: "n1"}


def looks_until_promoted(world: World, then=lambda look: None) -> int:
    for look in range(1, 12):
        if STORE_PROMOTE in dict(sent_kinds(world.cycle())):
            return look
        then(look)
    raise AssertionError("no failover came")


def step_down(world: World) -> None:
    node = world.nodes["n1"]
    node.contact, node.role, node.follows = StoreContact.ANSWERS, ShardRole.SECONDARY, None
    for other in ("n2", "n3", "n4"):
        world.nodes[other].sight = Sight.DOWN


def suspected() -> World:
    """n1 is not seen: its agent told nothing in as many looks as a death needs, but no copy that
    could take over was fit."""
    world = replicated(4, spec=make_spec(policies=LOOKS, steps={"failover": False}))
    hang_store(world)
    for _ in range(8):
        world.cycle()
    world.spec = make_spec(policies=LOOKS)
    return world


def test_looks_from_before_it_said_that_it_is_none_prove_nothing_of_its_successor():
    world = suspected()
    step_down(world)
    assert world.cycle().submissions == ()
    assert looks_until_promoted(world) == 3


def test_one_that_steps_down_again_and_again_is_failed_over_once_confirmed():
    world = suspected()
    step_down(world)
    world.cycle()

    def turn(look: int) -> None:
        world.nodes["n1"].answer = AgentAnswer.TIMEOUT if look % 2 else AgentAnswer.ANSWERED

    assert looks_until_promoted(world, turn) == 3


def test_a_primary_that_only_steps_down_is_failed_over_as_fast_as_a_silent_one():
    world = replicated(4, spec=make_spec(policies=LOOKS))
    step_down(world)
    assert looks_until_promoted(world) == 4


def test_its_death_after_it_stepped_down_proves_nothing_of_its_successor():
    world = replicated(4, spec=make_spec(policies=LOOKS))
    step_down(world)
    world.cycle()
    kill_store(world)
    assert world.cycle().submissions == ()
    assert looks_until_promoted(world) == 2


def test_the_successor_of_a_switchover_is_suspected_for_itself():
    world = hung()
    for _ in range(6):
        world.cycle()
    hand_over(world, tells=False)
    world.cycle()
    assert world.state.appointed == {SHARD: "n2"}
    assert {it.count for it in world.state.suspicions.values()} == {1}


def test_automation_waits_for_a_failover_that_overtook_a_switchover():
    world = overtaken()
    world.nodes["n1"].end(handed_over(world).action_id, SeenPhase.CANCELLED)
    result = world.cycle()
    assert result.submissions == () and "one_disruption" in against(result, "failover")
    assert sent_kinds(world.cycle()) == [(STORE_FENCE, "n1")]
    world.work()
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n4")]


def test_a_failover_waits_while_the_process_of_the_primary_is_being_ended():
    world = replicated(4, spec=make_spec(policies=LOOKS))
    hang_store(world)
    for _ in range(4):
        result = world.cycle()
    assert sent_kinds(result) == [(STORE_FENCE, "n1")]
    fail_over(world)
    assert world.cycle().submissions == ()
    assert the_order(world, "o2").phase is OActionPhase.PENDING_SCHEDULE
    world.work()
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n4")]


def test_a_failover_does_not_wait_for_a_fence_at_an_agent_that_is_silent():
    world = replicated(4, spec=make_spec(policies=LOOKS))
    hang_store(world)
    for _ in range(4):
        world.cycle()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    fail_over(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n4")]


def test_a_person_is_asked_at_once_where_the_primary_died_with_its_switchover():
    world = hung()
    world.cycle()
    kill_store(world)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    for _ in range(14):
        result = world.cycle()
        assert result.submissions == ()
    assert the_order(world).phase is OActionPhase.RUNNING
    assert outcomes(result, "failover") == ["awaits_approval"]
    assert against(result, "failover") == {"one_disruption"}
    (waiting,) = [it for it in world.nactions if it.kind == STORE_PROMOTE]
    ready = msgspec.structs.replace(waiting, phase=NActionPhase.PENDING_SCHEDULE)
    world.put(msgspec.structs.replace(ready, approved_ms=world.now_ms))
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, waiting.node_id)]
