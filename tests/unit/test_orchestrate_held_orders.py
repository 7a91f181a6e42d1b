"""Switchovers and failovers that people asked for and that something held."""

from __future__ import annotations

import pytest
from by_name_asks import by_hand
from by_name_order_asks import approve_order, order, the_order
from orchestrate_builders import (
    World,
    against,
    kill_store,
    make_spec,
    outcomes,
    sent_kinds,
)

from replicante.limits import ASKED_HELD_MS_MAX
from replicante.model.action_kinds import (
    CORE_FAILOVER,
    CORE_SWITCHOVER,
    CORE_TEST_LOOP,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
)
from replicante.model.actions import OActionPhase
from replicante.model.change import ChangeCode
from replicante.model.node import StoreContact
from replicante.model.shard import Sight


def pause(world: World, is_paused: bool = True) -> None:
    world.spec = make_spec(mode="paused" if is_paused else "observe")


@pytest.mark.parametrize("how", ["a pause", "another order"])
def test_a_failover_that_is_held_does_not_wait_for_the_death_of_the_primary(how):
    world = by_hand()
    if how == "a pause":
        pause(world)
    else:
        order(world, CORE_TEST_LOOP, action_id="o0", target=10)
        world.cycle()
    order(world, CORE_FAILOVER, to="n2", accepted_loss="unknown")
    world.cycle()
    ended = the_order(world)
    assert ended.phase is OActionPhase.FAILED and "ask for a switchover" in ended.error["error_msg"]
    kill_store(world)
    pause(world, False)
    assert world.cycle().submissions == ()


def test_a_failover_that_a_pause_holds_while_the_primary_is_gone_goes_after_it():
    world = by_hand()
    kill_store(world)
    pause(world)
    order(world, CORE_FAILOVER, to="n2", accepted_loss="unknown")
    before = the_order(world)
    world.cycle()
    assert the_order(world) == before, "its time is not running yet"
    pause(world, False)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def held_for_long(kind: str) -> World:
    """Until a pause ends, in which nobody withdrew it."""
    world = by_hand()
    if kind == CORE_FAILOVER:
        kill_store(world)
        order(world, kind, to="n2", accepted_loss="unknown")
    else:
        order(world, kind, to="n2")
    pause(world)
    world.cycle(after_ms=ASKED_HELD_MS_MAX)
    pause(world, False)
    return world


@pytest.mark.parametrize(
    ("kind", "sent"), [(CORE_FAILOVER, STORE_PROMOTE), (CORE_SWITCHOVER, STORE_SWITCHOVER)]
)
def test_what_was_held_for_an_hour_is_asked_about_and_goes_when_it_is_wanted_still(kind, sent):
    world = held_for_long(kind)
    result = world.cycle()
    assert result.submissions == () and outcomes(result, "failover")[0] == "awaits_approval"
    assert against(result, "failover") == {"approval_granted"}
    assert ChangeCode.OACTION_ASK in [it.code for it in result.changes]
    again = world.cycle()
    assert outcomes(again, "failover")[0] == "awaits_approval"
    assert the_order(world).phase is OActionPhase.PENDING_APPROVE
    approve_order(world)
    result = world.cycle()
    assert [it[0] for it in sent_kinds(result)] == [sent]


def test_an_approval_counts_for_an_hour():
    world = held_for_long(CORE_SWITCHOVER)
    world.cycle()
    approve_order(world)
    pause(world)
    world.cycle(after_ms=ASKED_HELD_MS_MAX)
    pause(world, False)
    assert world.cycle().submissions == ()
    assert the_order(world).phase is OActionPhase.PENDING_APPROVE


def test_what_cannot_be_done_any_more_fails_and_is_not_asked_about():
    world = held_for_long(CORE_SWITCHOVER)
    kill_store(world)
    world.cycle()
    ended = the_order(world)
    assert ended.phase is OActionPhase.FAILED and "needs a healthy primary" in str(ended.error)


def test_a_failover_whose_promotion_was_taken_back_ends_with_the_return_of_the_primary():
    world = by_hand()
    kill_store(world)
    order(world, CORE_FAILOVER, to="n2", accepted_loss=0)
    assert sent_kinds(world.cycle(is_sent=False)) == [(STORE_PROMOTE, "n2")]
    world.nodes["n1"].contact = StoreContact.ANSWERS
    for node in world.nodes.values():
        node.sight = Sight.UP
    world.epoch += 1
    world.cycle()
    world.cycle()
    ended = the_order(world)
    assert ended.phase is OActionPhase.FAILED and "is there again" in ended.error["error_msg"]
    assert [it.phase for it in world.nactions] == ["CANCELLED"]


def test_a_failover_whose_promotion_may_be_at_its_agent_does_not_end_for_that():
    world = by_hand()
    kill_store(world)
    order(world, CORE_FAILOVER, to="n2", accepted_loss=0)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]
    world.nodes["n1"].contact = StoreContact.ANSWERS
    world.cycle()
    assert the_order(world).phase is OActionPhase.RUNNING
