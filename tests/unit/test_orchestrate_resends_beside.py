"""What left and did not arrive, beside other work: calls of platforms, a mode that holds automation
back, the fence of the primary that is replaced."""

from __future__ import annotations

import msgspec
from by_name_asks import ask, promote, the
from orchestrate_builders import (
    World,
    kill_store,
    make_spec,
    replicated,
    sent_kinds,
)
from owner_stories import order, the_order

from replicante.limits import ACTION_SEND_MS_MAX
from replicante.model.action_kinds import (
    PLATFORM_DEPROVISION,
    STORE_PROMOTE,
)
from replicante.model.actions import NActionPhase, OActionPhase


def with_a_call_under_way(**spec) -> World:
    """A person had n5 taken away, and its platform is at it."""
    world = replicated(5, spec=make_spec(**spec))
    order(world, PLATFORM_DEPROVISION, node_id="n5")
    world.cycle()
    waiting = the_order(world)
    ready = msgspec.structs.replace(
        waiting, phase=OActionPhase.PENDING_SCHEDULE, approved_ms=world.now_ms
    )
    world.put(ready)
    world.cycle()
    assert the_order(world).phase is OActionPhase.RUNNING
    return world


def test_a_promotion_that_did_not_arrive_is_sent_again_beside_a_call_of_a_platform():
    world = with_a_call_under_way()
    kill_store(world)
    assert sent_kinds(world.cycle(is_sent=False)) == [(STORE_PROMOTE, "n2")]
    world.epoch += 1
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_promotion_by_name_that_did_not_arrive_is_judged_beside_a_call_of_a_platform():
    """It waits for the end of the order, as one that leaves for the first time; it is taken back,
    so that it is not taken for one that is under way."""
    world = replicated(5, spec=make_spec(mode="observe"))
    kill_store(world)
    action_id = promote(world)
    assert sent_kinds(world.cycle(is_sent=False)) == [(STORE_PROMOTE, "n2")]
    order(world, PLATFORM_DEPROVISION, node_id="n2")
    world.put(msgspec.structs.replace(the_order(world), phase=OActionPhase.RUNNING))
    world.epoch += 1
    result = world.cycle()
    judged = next(it for it in result.decision.proposals if it.action_id == action_id)
    assert result.submissions == () and str(judged.outcome) == "denied"
    assert "nobody_elses_work" in {it.rule for it in judged.verdicts if it.ruling == "deny"}
    assert the(world, action_id).sent_epoch is None


def test_the_time_of_what_did_not_arrive_ends_beside_a_call_of_a_platform():
    world = with_a_call_under_way(mode="observe")
    action_id = ask(world, "n4", "example.com/backup", sent_epoch=1, deadline_ms=world.now_ms)
    world.epoch += 1
    assert world.cycle(after_ms=ACTION_SEND_MS_MAX).submissions == ()
    assert the(world, action_id).phase is NActionPhase.CANCELLED


def test_what_did_not_leave_yet_waits_for_the_call_of_a_platform():
    world = with_a_call_under_way(mode="observe")
    ask(world, "n4", "example.com/backup")
    assert world.cycle().submissions == ()
