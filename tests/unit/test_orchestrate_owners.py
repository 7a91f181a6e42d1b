"""What serves an orchestrator action goes no further than that one."""

from __future__ import annotations

import msgspec
import pytest
from orchestrate_builders import (
    CLUSTER,
    NS,
    SHARD,
    World,
    condition_names,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.limits import ROLE_CHANGE_TIMEOUT_MS
from replicante.model.action_kinds import (
    CORE_FAILOVER,
    CORE_SWITCHOVER,
    SERVICE_RESTART,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
)
from replicante.model.actions import NAction, NActionPhase, OAction, OActionPhase
from replicante.model.change import ChangeCode
from replicante.model.observation import AgentAnswer
from replicante.model.shard import Sight


def asked(kind=CORE_SWITCHOVER, **args) -> OAction:
    return OAction(
        ns_id=NS,
        cluster_id=CLUSTER,
        action_id="o1",
        kind=kind,
        args={"shard_id": SHARD, **args},
        created_ms=1,
        created_wall_ms=1,
        phase=OActionPhase.PENDING_SCHEDULE,
    )


def undelivered() -> World:
    """A switchover is recorded as sent, and did not arrive at the primary's agent."""
    world = replicated()
    world.put(asked())
    assert sent_kinds(world.cycle(is_sent=False)) == [(STORE_SWITCHOVER, "n1")]
    return world


def unsent() -> World:
    """The same, before it left."""
    world = undelivered()
    world.put(msgspec.structs.replace(the_switchover(world), sent_epoch=None, deadline_ms=None))
    return world


def served_by_nobody() -> NAction:
    return NAction(
        ns_id=NS,
        cluster_id=CLUSTER,
        node_id="n1",
        action_id="a0",
        kind=SERVICE_RESTART,
        created_ms=1,
        created_wall_ms=1,
        phase=NActionPhase.PENDING_SCHEDULE,
    )


def end_owner(world: World, phase=OActionPhase.CANCELLED) -> None:
    (owner,) = world.oactions
    world.put(msgspec.structs.replace(owner, phase=phase, finished_ms=world.now_ms))


def the_switchover(world: World) -> NAction:
    (found,) = [it for it in world.nactions if it.kind == STORE_SWITCHOVER]
    return found


@pytest.mark.parametrize("story", [undelivered, unsent])
def test_cancelling_a_switchover_stops_what_was_not_delivered(story):
    world = story()
    end_owner(world)
    for _ in range(3):
        assert world.cycle().submissions == ()
    ended = the_switchover(world)
    assert ended.phase is NActionPhase.CANCELLED
    assert "orchestrator action" in ended.error["error_msg"]
    assert ChangeCode.NACTION_CANCEL in {it.code for it in world.log}
    assert world.nodes["n1"].applied == []


def test_a_switchover_that_times_out_stops_what_was_not_delivered():
    world = undelivered()
    result = world.cycle(after_ms=ROLE_CHANGE_TIMEOUT_MS)
    assert [it.phase for it in world.oactions] == [OActionPhase.FAILED]
    assert result.submissions == ()
    assert the_switchover(world).phase is NActionPhase.CANCELLED


def test_cancelling_a_failover_stops_its_promotion():
    world = replicated()
    kill_store(world)
    world.spec = make_spec(mode="observe")
    world.put(asked(CORE_FAILOVER, accepted_loss=10))
    assert sent_kinds(world.cycle(is_sent=False)) == [(STORE_PROMOTE, "n2")]
    end_owner(world)
    assert world.cycle().submissions == ()


def test_what_convergence_had_asked_about_serves_the_person_who_asks_for_the_same():
    world = replicated(spec=make_spec(approval="required"))
    kill_store(world)
    world.cycle()
    (question,) = world.nactions
    world.put(asked(CORE_FAILOVER, accepted_loss=10, to="n2"))
    (sent,) = world.cycle(is_sent=False).submissions
    assert (sent.action_id, sent.cause) == (question.action_id, "o1")
    end_owner(world)
    assert world.cycle().submissions == ()
    ended = next(it for it in world.nactions if it.action_id == question.action_id)
    assert ended.phase is NActionPhase.CANCELLED


@pytest.mark.parametrize("mode", ["observe", "paused"])
def test_it_is_stopped_in_every_mode(mode):
    world = undelivered()
    world.spec = make_spec(mode=mode)
    end_owner(world)
    assert world.cycle().submissions == ()
    assert the_switchover(world).phase is NActionPhase.CANCELLED


def test_what_arrived_after_all_is_cancelled_at_its_agent():
    world = undelivered()
    end_owner(world)
    world.cycle()
    late = the_switchover(world)
    assert late.sent_epoch is not None
    world.nodes["n1"].take(late)
    result = world.cycle()
    assert [it.action_id for it in result.cancels] == [late.action_id]


def test_what_left_under_this_epoch_ends_the_epoch_so_that_no_copy_of_it_is_obeyed():
    world = undelivered()
    end_owner(world)
    sent_ids = frozenset({the_switchover(world).action_id})
    assert world.cycle(sent_ids=sent_ids).is_epoch_spent


def test_at_a_silent_agent_it_may_run_still_so_automation_asks():
    world = undelivered()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    end_owner(world)
    assert world.cycle().submissions == ()
    assert the_switchover(world).phase is NActionPhase.CANCELLED
    assert list(world.state.sent) == [the_switchover(world).action_id]


def test_what_its_agent_has_goes_on_to_its_end():
    world = replicated()
    world.put(asked())
    world.cycle()
    world.cycle()
    assert the_switchover(world).phase is NActionPhase.NEW
    end_owner(world)
    assert world.cycle().cancels == ()
    world.work()
    world.cycle()
    assert the_switchover(world).phase is NActionPhase.DONE
    assert world.state.appointed == {SHARD: "n2"}


def test_what_serves_nobody_or_an_owner_that_goes_on_is_left():
    world = undelivered()
    world.put(served_by_nobody())
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]
    assert {it.phase for it in world.nactions} == {NActionPhase.PENDING_SCHEDULE}


# --- an owner whose node action waits for a person ---------------------------------


def doubtful() -> World:
    """A restart may run on n3, whose agent fell silent; a failover is asked for by name."""
    world = replicated(spec=make_spec(mode="observe"))
    world.put(msgspec.structs.replace(served_by_nobody(), node_id="n3"))
    assert sent_kinds(world.cycle(is_sent=False)) == [(SERVICE_RESTART, "n3")]
    world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    kill_store(world)
    world.put(asked(CORE_FAILOVER, accepted_loss=10))
    result = world.cycle()
    assert result.submissions == () and outcomes(result, "failover")[0] == "awaits_approval"
    assert "action_awaits_approval" in condition_names(result)
    return world


def the_promotion(world: World) -> NAction:
    (found,) = [it for it in world.nactions if it.kind == STORE_PROMOTE]
    return found


def test_an_owner_waits_with_its_node_action_for_a_person():
    world = doubtful()
    assert world.oactions[0].phase is OActionPhase.RUNNING
    world.cycle()
    waiting = the_promotion(world)
    assert waiting.phase is NActionPhase.PENDING_APPROVE
    world.put(msgspec.structs.replace(waiting, phase=NActionPhase.PENDING_SCHEDULE))
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]
    world.work()
    world.cycle()
    assert world.oactions[0].phase is OActionPhase.DONE


def test_what_serves_an_owner_is_judged_again_when_it_is_sent():
    """A copy hears the primary before a person answers."""
    world = doubtful()
    world.put(msgspec.structs.replace(the_promotion(world), phase=NActionPhase.PENDING_SCHEDULE))
    world.nodes["n2"].sight = Sight.UP
    result = world.cycle()
    assert result.submissions == () and outcomes(result, "asked") == ["denied"]
    assert the_promotion(world).phase is NActionPhase.PENDING_APPROVE


def test_an_approval_of_what_serves_a_cancelled_owner_sends_nothing():
    world = doubtful()
    world.put(msgspec.structs.replace(the_promotion(world), phase=NActionPhase.PENDING_SCHEDULE))
    end_owner(world)
    assert world.cycle().submissions == ()


@pytest.mark.parametrize("is_late", [False, True])
def test_the_question_ends_with_its_owner(is_late):
    world = doubtful()
    if not is_late:
        end_owner(world)
    world.cycle(after_ms=ROLE_CHANGE_TIMEOUT_MS if is_late else 1_000)
    assert the_promotion(world).phase is NActionPhase.CANCELLED
    assert world.oactions[0].phase.is_final


def test_an_owner_whose_node_action_a_person_ended_has_failed():
    world = doubtful()
    rejected = msgspec.structs.replace(
        the_promotion(world), phase=NActionPhase.CANCELLED, finished_ms=world.now_ms
    )
    world.put(rejected)
    world.cycle(cancelled=())
    assert world.oactions[0].phase is OActionPhase.FAILED
    assert "ended" in world.oactions[0].error["error_msg"]
