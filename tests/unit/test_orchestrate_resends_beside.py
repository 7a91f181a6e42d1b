"""What left and did not arrive, beside other work: calls of platforms, a mode that holds automation
back, the fence of the primary that is replaced."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ask, promote, the
from by_name_order_asks import order, the_order
from orchestrate_builders import (
    World,
    against,
    hang_store,
    kill_store,
    make_spec,
    replicated,
    sent_kinds,
)

from replicante.limits import ACTION_SEND_MS_MAX
from replicante.model.action_kinds import (
    CORE_FAILOVER,
    PLATFORM_DEPROVISION,
    SERVICE_START,
    STORE_FENCE,
    STORE_PROMOTE,
)
from replicante.model.actions import NActionPhase, OActionPhase, Requester
from replicante.model.discovery import HeldDiscovery
from replicante.model.node import StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.report import SchedulingChoice
from replicante.model.shard import ShardRole, Sight


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


def lost_fence(**declaration) -> tuple[World, str]:
    """n1 hangs; automation wrote down that its process is ended, and no agent has it."""
    world = replicated(4, spec=make_spec(**declaration))
    hang_store(world)
    for _ in range(4):
        result = world.cycle(is_sent=False)
        if result.submissions:
            break
    assert sent_kinds(result) == [(STORE_FENCE, "n1")]
    return world, result.submissions[0].action_id


def observe(world: World) -> None:
    world.spec = make_spec(mode="observe")


def until_sent(world: World, *, seconds: int = 20) -> list[tuple[str, str]]:
    """What leaves first; every lease is given back when it is asked for."""
    for _ in range(seconds):
        result = world.cycle()
        if result.submissions:
            return sent_kinds(result)
        world.epoch += result.is_epoch_spent
    return []


def test_a_failover_that_a_person_asks_for_goes_past_the_lost_fence_of_automation_that_observes():
    world, action_id = lost_fence()
    observe(world)
    order(world, CORE_FAILOVER, to="n2", accepted_loss=0)
    assert until_sent(world) == [(STORE_FENCE, "n1")], "its own, once the lost one is over"
    world.work()
    assert until_sent(world) == [(STORE_PROMOTE, "n2")]
    assert the(world, action_id).phase is NActionPhase.CANCELLED


def test_a_promotion_by_name_goes_past_the_lost_promotion_of_automation_that_observes():
    world = replicated(4)
    kill_store(world)
    assert sent_kinds(world.cycle(is_sent=False)) == [(STORE_PROMOTE, "n2")]
    observe(world)
    promote(world, "n3")
    assert until_sent(world) == [(STORE_PROMOTE, "n3")]


def test_what_automation_sent_ends_in_observe_only_under_an_epoch_in_which_it_was_not_sent():
    world, action_id = lost_fence()
    observe(world)
    world.cycle(after_ms=20_000)
    sent_ids = frozenset({action_id})
    result = world.cycle(sent_ids=sent_ids)
    assert result.submissions == () and result.is_epoch_spent
    assert the(world, action_id).phase is NActionPhase.PENDING_SCHEDULE
    world.epoch += 1
    assert world.cycle().submissions == ()
    assert the(world, action_id).phase is NActionPhase.CANCELLED


def test_a_moment_of_observe_ends_nothing_of_what_automation_sent():
    world, action_id = lost_fence()
    observe(world)
    result = world.cycle()
    assert result.submissions == () and not result.is_epoch_spent
    held = next(it for it in result.decision.proposals if it.action_id == action_id)
    assert str(held.outcome) != "done" and "mode_active" in {
        it.rule for it in held.verdicts if it.ruling != "allow"
    }
    assert SchedulingChoice.MODE_FORBIDS in result.report.choices
    world.spec = make_spec()
    assert sent_kinds(world.cycle()) == [(STORE_FENCE, "n1")]


@pytest.mark.parametrize("mode", ["observe", "paused"])
def test_what_is_carried_out_is_not_sent_again_by_who_observes(mode):
    world = replicated(4)
    kill_store(world)
    (promotion,) = world.cycle(is_sent=False).submissions
    node = world.nodes["n2"]
    node.role, node.follows = ShardRole.PRIMARY, None
    world.spec = make_spec(mode=mode)
    world.epoch += 1
    result = world.cycle()
    assert result.submissions == ()
    assert the(world, promotion.action_id).phase is NActionPhase.PENDING_SCHEDULE


def test_a_failover_does_not_wait_for_a_fence_of_which_the_agent_says_nothing():
    world, action_id = lost_fence()
    observe(world)
    order(world, CORE_FAILOVER, to="n2", accepted_loss=0)
    seen = world.inputs().observations
    told = tuple(msgspec.structs.replace(it, unknown_actions=()) for it in seen)
    told = tuple(msgspec.structs.replace(it, at_ms=world.now_ms + 1_000) for it in told)
    world.cycle(observations=told)
    assert the_order(world).phase is OActionPhase.FAILED
    assert action_id in str(the_order(world).error)


def hung_under_a_silent_agent(*, is_fence_lost: bool) -> World:
    """The promotion of n2 left without a fence and is lost; n1's agent answers again, and its
    process hangs still."""
    world = replicated(4)
    hang_store(world)
    if is_fence_lost:
        world, _ = lost_fence()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    for _ in range(8):
        result = world.cycle(is_sent=False)
        if result.submissions:
            break
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]
    world.nodes["n1"].answer = AgentAnswer.ANSWERED
    world.epoch += 1
    return world


@pytest.mark.parametrize("is_fence_lost", [False, True])
def test_a_process_that_hangs_is_ended_before_a_promotion_goes_again(is_fence_lost):
    world = hung_under_a_silent_agent(is_fence_lost=is_fence_lost)
    assert sent_kinds(world.cycle()) == [(STORE_FENCE, "n1")]
    # While its agent is at it, nobody goes past it.
    assert world.cycle().submissions == ()
    world.work()
    assert world.nodes["n1"].contact is StoreContact.REFUSED
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_promotion_that_its_agent_has_is_waited_for_by_the_fence():
    world = hung_under_a_silent_agent(is_fence_lost=False)
    (promotion,) = (it for it in world.nactions if it.kind == STORE_PROMOTE)
    world.nodes["n2"].take(promotion)
    result = world.cycle()
    assert result.submissions == () and "one_disruption" in against(result, "failover")


def test_a_fence_waits_for_a_promotion_of_which_its_agent_says_nothing():
    world = hung_under_a_silent_agent(is_fence_lost=False)
    seen = world.inputs().observations
    told = tuple(
        msgspec.structs.replace(it, unknown_actions=(), at_ms=world.now_ms + 1_000) for it in seen
    )
    result = world.cycle(observations=told)
    assert (STORE_FENCE, "n1") not in sent_kinds(result)


def test_a_fence_waits_for_a_promotion_that_a_person_asked_for():
    world = hung_under_a_silent_agent(is_fence_lost=False)
    (promotion,) = (it for it in world.nactions if it.kind == STORE_PROMOTE)
    world.put(msgspec.structs.replace(promotion, requester=Requester.CORE_API))
    assert (STORE_FENCE, "n1") not in sent_kinds(world.cycle())


def test_what_was_sent_and_a_rule_asks_about_is_no_question():
    """Nobody could answer it; its step asks once it has ended."""
    policies = {"confirmations": 3, "confirm_for": "3s"}
    world = replicated(4, spec=make_spec(policies=policies))
    kill_store(world)
    (promotion,) = world.cycle(is_sent=False).submissions
    for node_id in ("n2", "n3", "n4"):
        world.nodes[node_id].follows, world.nodes[node_id].sight = None, Sight.UNKNOWN
    world.nodes["n1"].contact, world.nodes["n1"].answer = StoreContact.SILENT, AgentAnswer.TIMEOUT
    told: list[str] = []
    for _ in range(16):
        world.epoch += 1
        result = world.cycle(is_sent=False)
        asked = [it for it in result.decision.proposals if str(it.outcome) == "awaits_approval"]
        for it in asked:
            assert the(world, it.action_id).phase is NActionPhase.PENDING_APPROVE
        told += [it.action_id for it in asked]
    assert the(world, promotion.action_id).phase is NActionPhase.CANCELLED and told


@pytest.mark.parametrize("mode", ["active", "observe"])
def test_a_backup_that_did_not_arrive_is_sent_again_beside_a_call_of_a_platform(mode):
    """No rule and no mode is about what a person asked for and what disturbs nothing."""
    world = with_a_call_under_way(mode="observe")
    world.spec = make_spec(mode=mode)
    action_id = ask(world, "n4", "example.com/backup", sent_epoch=1)
    for _ in range(3):
        world.epoch += 1
        assert [it.action_id for it in world.cycle(is_sent=False).submissions] == [action_id]
    assert the(world, action_id).phase is NActionPhase.PENDING_SCHEDULE


def test_a_start_that_did_not_arrive_is_sent_again_while_discovery_is_held():
    world = replicated(4, spec=make_spec(mode="observe"))
    kill_store(world, "n3")
    world.cycle()
    action_id = ask(world, "n3", SERVICE_START)
    world.cycle(is_sent=False)
    held = HeldDiscovery(nodes=(), reason="too many are missing", since_ms=1, seen_count=1)
    world.discovery = msgspec.structs.replace(world.discovery, held=held)
    world.epoch += 1
    assert [it.action_id for it in world.cycle(is_sent=False).submissions] == [action_id]
    assert the(world, action_id).phase is NActionPhase.PENDING_SCHEDULE
