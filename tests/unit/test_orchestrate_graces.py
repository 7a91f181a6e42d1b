"""A grace begins with what leaves for its agent: then there is an effect to wait for."""

from __future__ import annotations

from by_name_asks import approve
from by_name_order_asks import the_order
from orchestrate_builders import (
    SHARD,
    World,
    against,
    kill_store,
    make_spec,
    replicated,
    sent_kinds,
)
from owner_stories import end_the_restart, served, with_a_switchover_that_waits

from replicante.model.action_kinds import STORE_PROMOTE, STORE_SWITCHOVER
from replicante.model.actions import NActionPhase, OActionPhase
from replicante.model.shard import Sight

GRACE = f"failover:{SHARD}"


def test_a_switchover_that_never_left_costs_its_failover_no_grace():
    world = with_a_switchover_that_waits()
    end_the_restart(world)
    kill_store(world)
    result = world.cycle()
    assert the_order(world).phase is OActionPhase.FAILED
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]


def test_the_grace_of_a_switchover_begins_when_it_leaves():
    world = with_a_switchover_that_waits()
    assert GRACE not in world.state.graces
    end_the_restart(world)
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]
    assert world.state.graces[GRACE] == world.now_ms


def test_the_grace_of_a_switchover_that_was_approved_begins_when_it_leaves():
    world = with_a_switchover_that_waits("observe")
    approve(world, served(world))
    assert sent_kinds(world.cycle(after_ms=60_000)) == [(STORE_SWITCHOVER, "n1")]
    assert world.state.graces == {GRACE: world.now_ms}


def approved_long_after() -> World:
    """What convergence had asked about is approved when the grace of the question is over."""
    world = replicated(4, spec=make_spec(approval="required"))
    kill_store(world)
    world.cycle()
    (question,) = world.nactions
    world.cycle(after_ms=60_000)
    approve(world, question.action_id)
    return world


def test_the_grace_of_what_was_approved_late_begins_when_it_leaves():
    world = approved_long_after()
    assert GRACE not in world.state.graces
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]
    assert world.state.graces[GRACE] == world.now_ms


def test_it_is_not_sent_and_begun_anew_by_a_repeat():
    world = approved_long_after()
    world.cycle(is_sent=False)
    began_ms = world.now_ms
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]
    assert world.state.graces[GRACE] == began_ms
    assert {it.phase for it in world.nactions} == {NActionPhase.PENDING_SCHEDULE}


def test_after_what_was_approved_late_its_effect_is_observed_first():
    world = approved_long_after()
    world.cycle()
    world.work()
    for name in ("n3", "n4"):
        node = world.nodes[name]
        node.follows, node.sight, node.history = "n2", Sight.UP, "of-n2"
    world.cycle()
    kill_store(world, "n2")
    assert "grace_over" in against(world.cycle(), "failover")
