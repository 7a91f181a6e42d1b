"""What people asked for and what left, but did not arrive: judged again before it is sent again."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ASKED, approve, ask, by_hand, promote, the
from orchestrate_builders import (
    CLUSTER,
    NS,
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

from replicante.limits import ACTION_SEND_MS_MAX
from replicante.model.action_kinds import (
    CORE_FAILOVER,
    SERVICE_RESTART,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
)
from replicante.model.actions import NActionPhase, OAction, OActionPhase
from replicante.model.change import ChangeCode
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight


def asked_failover(world: World) -> None:
    world.put(
        OAction(
            ns_id=NS,
            cluster_id=CLUSTER,
            action_id="o1",
            kind=CORE_FAILOVER,
            args={"to": "n2", "accepted_loss": 0},
            created_ms=world.now_ms,
            created_wall_ms=world.wall_ms,
            phase=OActionPhase.PENDING_SCHEDULE,
        )
    )


def lost_promotion(how: str = "by name") -> tuple[World, str]:
    """It was written down as sent, and no agent has it."""
    world = by_hand()
    kill_store(world)
    if how == "by name":
        promote(world)
    else:
        asked_failover(world)
    result = world.cycle(is_sent=False)
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]
    return world, result.submissions[0].action_id


def return_of_the_primary(world: World) -> None:
    world.nodes["n1"].contact = StoreContact.ANSWERS
    for node in world.nodes.values():
        node.sight = Sight.UP


def is_unsent(world: World, action_id: str) -> bool:
    found = the(world, action_id)
    return (found.sent_epoch, found.sent_to, found.deadline_ms) == (None, None, None)


@pytest.mark.parametrize("how", ["by name", CORE_FAILOVER])
def test_a_promotion_that_did_not_arrive_is_not_sent_again_beside_the_primary(how):
    world, action_id = lost_promotion(how)
    return_of_the_primary(world)
    world.epoch += 1
    result = world.cycle()
    assert result.submissions == () and not result.is_epoch_spent
    assert outcomes(result, ASKED) == ["denied"] and "failure_confirmed" in against(result, ASKED)
    world.work()
    assert world.nodes["n2"].role is ShardRole.SECONDARY
    assert is_unsent(world, action_id)
    assert the(world, action_id).asked == {"approval_granted": {}}


def test_what_may_be_on_its_way_is_taken_back_under_an_epoch_in_which_it_was_not_sent():
    world, action_id = lost_promotion()
    return_of_the_primary(world)
    before = the(world, action_id)
    result = world.cycle(sent_ids=frozenset({action_id}))
    assert result.submissions == () and result.is_epoch_spent
    assert the(world, action_id) == before
    world.epoch += 1
    assert world.cycle().submissions == ()
    assert is_unsent(world, action_id)


def test_what_no_rule_forbids_is_sent_again_at_once_under_its_first_time():
    world, action_id = lost_promotion()
    before = the(world, action_id)
    result = world.cycle(sent_ids=frozenset({action_id}))
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")] and not result.is_epoch_spent
    assert the(world, action_id) == before
    assert outcomes(result, ASKED) == ["done"]


def test_what_was_taken_back_leaves_anew_when_a_person_wants_it_still():
    world, action_id = lost_promotion()
    return_of_the_primary(world)
    world.epoch += 1
    world.cycle()
    kill_store(world)
    assert world.cycle().submissions == ()
    approve(world, action_id)
    result = world.cycle()
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]
    again = the(world, action_id)
    assert again.sent_epoch == world.epoch
    assert again.deadline_ms == world.now_ms + ACTION_SEND_MS_MAX


def test_what_its_agent_has_is_never_taken_back():
    world, action_id = lost_promotion()
    world.nodes["n2"].take(the(world, action_id))
    return_of_the_primary(world)
    world.epoch += 1
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == []
    assert the(world, action_id).phase is NActionPhase.NEW


def test_what_was_done_while_nobody_looked_is_told_as_done():
    world, action_id = lost_promotion()
    world.nodes["n2"].take(the(world, action_id))
    world.work()
    return_of_the_primary(world)
    world.epoch += 1
    world.cycle()
    assert the(world, action_id).phase is NActionPhase.DONE


def without_the_word_of_its_agent(world: World, action_id: str, **changes):
    """The agent answers, but not whether it has it."""
    found = world.inputs().observations
    asked = [
        msgspec.structs.replace(
            it, unknown_actions=tuple(a for a in it.unknown_actions if a != action_id)
        )
        for it in found
    ]
    asked = [msgspec.structs.replace(it, at_ms=world.now_ms + 1_000) for it in asked]
    return world.cycle(observations=tuple(asked), **changes)


def test_without_the_word_of_its_agent_it_is_neither_sent_again_nor_taken_back():
    world, action_id = lost_promotion()
    return_of_the_primary(world)
    before = the(world, action_id)
    world.epoch += 1
    result = without_the_word_of_its_agent(world, action_id)
    assert result.submissions == () and not result.is_epoch_spent
    assert the(world, action_id) == before


def test_at_an_agent_that_keeps_no_epoch_it_ends_and_says_why():
    world, action_id = lost_promotion()
    world.nodes["n2"].is_fenced = False
    return_of_the_primary(world)
    world.epoch += 1
    assert world.cycle().submissions == ()
    ended = the(world, action_id)
    assert ended.phase is NActionPhase.CANCELLED and "keeps no epoch" in ended.error["error_msg"]
    # What arrives after all is asked to end.
    world.nodes["n2"].take(ended)
    assert [it.action_id for it in world.cycle().cancels] == [action_id]


def test_a_restart_of_a_copy_is_not_sent_again_to_the_primary_that_it_became():
    world = by_hand()
    action_id = ask(world, "n2")
    world.cycle(is_sent=False)
    world.nodes["n1"].role, world.nodes["n1"].follows = ShardRole.SECONDARY, "n2"
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    world.nodes["n3"].follows = "n2"
    world.put(msgspec.structs.replace(world.state, appointed={SHARD: "n2"}))
    world.epoch += 1
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["awaits_approval"]
    assert the(world, action_id).phase is NActionPhase.PENDING_APPROVE
    assert ChangeCode.NACTION_ASK in [it.code for it in result.changes]
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n2")]


def test_a_handover_to_a_successor_that_fell_sick_is_taken_back():
    world = by_hand()
    args = {"shard_id": SHARD, "node_id": "n3", "node": "n3:6379"}
    action_id = ask(world, "n1", STORE_SWITCHOVER, args=args)
    world.cycle(is_sent=False)
    world.nodes["n3"].status = NodeStatus.UNHEALTHY
    world.epoch += 1
    result = world.cycle()
    assert result.submissions == () and is_unsent(world, action_id)
    assert ChangeCode.NACTION_DISPATCH_FAIL in [it.code for it in result.changes]
    world.nodes["n3"].status = NodeStatus.HEALTHY
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]


def test_what_was_taken_back_holds_up_no_failover():
    world = replicated()
    ask(world, "n2")
    assert sent_kinds(world.cycle(is_sent=False)) == [(SERVICE_RESTART, "n2")]
    kill_store(world)
    world.epoch += 1
    first, second = world.cycle(), world.cycle()
    assert first.submissions == () and is_unsent(world, "of-n2")
    assert sent_kinds(second) == [(STORE_PROMOTE, "n2")]


def test_a_silent_agent_gets_nothing_and_what_was_sent_to_it_stays_so():
    world, action_id = lost_promotion()
    before = the(world, action_id)
    return_of_the_primary(world)
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    world.epoch += 1
    assert world.cycle().submissions == ()
    assert the(world, action_id) == before


def test_what_a_person_approved_of_this_death_is_sent_again_without_another_question():
    world = by_hand()
    hang_store(world)
    action_id = promote(world)
    world.cycle()
    approve(world, action_id)
    assert sent_kinds(world.cycle(is_sent=False)) == [(STORE_PROMOTE, "n2")]
    world.epoch += 1
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def replaced_meanwhile() -> tuple[World, str]:
    """n2 was to replace n1 and did not hear of it; n4 replaced that one, and is dead now."""
    world = replicated(5, spec=make_spec(mode="observe", policies={"data_loss_offset": 1_000}))
    kill_store(world)
    action_id = promote(world)
    assert sent_kinds(world.cycle(is_sent=False)) == [(STORE_PROMOTE, "n2")]
    return_of_the_primary(world)
    world.nodes["n1"].role, world.nodes["n1"].follows = ShardRole.SECONDARY, "n4"
    world.nodes["n4"].role, world.nodes["n4"].follows = ShardRole.PRIMARY, None
    for it in ("n2", "n3", "n5"):
        world.nodes[it].follows = "n4"
    world.put(msgspec.structs.replace(world.state, appointed={SHARD: "n4"}))
    world.spec, spec = make_spec(mode="paused"), world.spec
    world.cycle()
    world.spec = spec
    kill_store(world, "n4")
    return world, action_id


def test_what_left_and_names_another_primary_than_what_is_judged_leaves_anew():
    world, action_id = replaced_meanwhile()
    result = world.cycle(sent_ids=frozenset({action_id}))
    assert result.submissions == () and result.is_epoch_spent
    assert "identity_right" in against(result, ASKED)
    assert the(world, action_id).args["replaces"] == "n1"
    world.epoch += 1
    assert world.cycle().submissions == () and is_unsent(world, action_id)
    (sent,) = world.cycle().submissions
    assert sent.action_id == action_id and sent.args["replaces"] == "n4"
    world.work()
    world.cycle()
    assert world.state.replaced == {SHARD: {"n4": "n2"}}


def test_at_an_agent_that_keeps_no_epoch_what_names_another_primary_ends():
    world, action_id = replaced_meanwhile()
    world.nodes["n2"].is_fenced = False
    assert world.cycle().submissions == ()
    assert the(world, action_id).phase is NActionPhase.CANCELLED
