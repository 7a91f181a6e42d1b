"""What convergence sent and what did not arrive: it is judged again before it is sent again."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ASKED, approve, ask, the
from orchestrate_builders import (
    SHARD,
    World,
    against,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import SERVICE_RESTART, STORE_PROMOTE, STORE_REJOIN
from replicante.model.actions import NActionPhase
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight


def lost_promotion(count: int = 4, **declaration) -> tuple[World, str]:
    """Automation wrote down that n2 is promoted, and no agent has it."""
    world = replicated(count, spec=make_spec(**declaration))
    kill_store(world)
    result = world.cycle(is_sent=False)
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]
    return world, result.submissions[0].action_id


def becomes_primary(world: World, node_id: str, *, of: tuple[str, ...] = ()) -> None:
    node = world.nodes[node_id]
    node.contact, node.role, node.follows = StoreContact.ANSWERS, ShardRole.PRIMARY, None
    for it in of:
        world.nodes[it].follows, world.nodes[it].sight = node_id, Sight.UP


@pytest.mark.parametrize("followers", [(), ("n2", "n4")])
def test_a_promotion_is_not_sent_again_beside_another_primary(followers):
    world, action_id = lost_promotion()
    becomes_primary(world, "n3", of=followers)
    world.epoch += 1
    assert world.cycle().submissions == ()
    assert the(world, action_id).phase is NActionPhase.CANCELLED


def test_one_that_may_be_on_its_way_ends_under_an_epoch_in_which_it_was_not_sent():
    world, action_id = lost_promotion()
    becomes_primary(world, "n3", of=("n2", "n4"))
    result = world.cycle(sent_ids=frozenset({action_id}))
    assert result.submissions == () and result.is_epoch_spent
    assert the(world, action_id).phase is NActionPhase.PENDING_SCHEDULE
    world.epoch += 1
    assert world.cycle().submissions == ()
    assert the(world, action_id).phase is NActionPhase.CANCELLED


def test_what_no_rule_forbids_is_sent_again_at_once_under_its_first_time():
    world, action_id = lost_promotion()
    before = the(world, action_id)
    result = world.cycle(sent_ids=frozenset({action_id}))
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")] and not result.is_epoch_spent
    assert the(world, action_id) == before


def test_what_a_person_approved_is_sent_again_without_another_question():
    world = replicated(4, spec=make_spec(approval="required"))
    kill_store(world)
    world.cycle()
    (waiting,) = world.nactions
    approve(world, waiting.action_id)
    assert sent_kinds(world.cycle(is_sent=False)) == [(STORE_PROMOTE, "n2")]
    world.epoch += 1
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_promotion_is_held_while_the_death_that_it_was_of_is_in_doubt_again():
    """Connections were refused everywhere, and now nobody can tell, its agent neither."""
    world, action_id = lost_promotion(policies={"confirmations": 4, "confirm_for": "3s"})
    world.nodes["n1"].contact = StoreContact.SILENT
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    for it in ("n2", "n3", "n4"):
        world.nodes[it].sight = Sight.DOWN
    world.epoch += 1
    result = world.cycle()
    assert result.submissions == () and not result.is_epoch_spent
    assert the(world, action_id).phase is NActionPhase.PENDING_SCHEDULE
    assert [it.action_id for it in result.decision.proposals][-1] == action_id
    world.cycle(is_sent=False)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_what_is_held_ends_with_its_grace_and_the_next_best_copy_is_promoted():
    world, action_id = lost_promotion()
    world.nodes["n2"].status = NodeStatus.UNHEALTHY
    world.epoch += 1
    assert world.cycle().submissions == ()
    assert the(world, action_id).phase is NActionPhase.PENDING_SCHEDULE
    for _ in range(2):
        result = world.cycle(after_ms=10_000, sent_ids=frozenset({action_id}))
    assert result.submissions == () and result.is_epoch_spent
    world.epoch += 1
    assert world.cycle().submissions == ()
    assert the(world, action_id).phase is NActionPhase.CANCELLED
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]


def test_a_promotion_that_was_carried_out_is_asked_again_of_the_agent_that_lost_its_list():
    world, _action_id = lost_promotion()
    becomes_primary(world, "n2", of=("n3", "n4"))
    world.epoch += 1
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]
    world.work()
    world.cycle()
    assert world.state.appointed == {SHARD: "n2"}


def test_a_rejoin_is_not_sent_again_to_the_node_that_became_the_primary():
    world = replicated(4)
    world.nodes["n3"].follows = "n2"
    world.epoch += 1
    result = world.cycle(is_sent=False)
    assert sent_kinds(result) == [(STORE_REJOIN, "n3")]
    becomes_primary(world, "n3", of=("n1", "n2", "n4"))
    world.nodes["n1"].role = ShardRole.SECONDARY
    world.epoch += 1
    assert world.cycle().submissions == ()


def test_nothing_leaves_beside_what_is_sent_again_in_the_same_cycle():
    world = replicated(5)
    world.nodes["n3"].follows = "n2"
    assert sent_kinds(world.cycle(is_sent=False)) == [(STORE_REJOIN, "n3")]
    asked = {"one_disruption": {"action_ids": [world.nactions[0].action_id]}}
    ask(world, "n2", SERVICE_RESTART, asked=asked, approved_ms=world.now_ms)
    result = world.cycle(is_sent=False)
    assert sent_kinds(result) == [(STORE_REJOIN, "n3")]
    assert outcomes(result, ASKED) == ["denied"] and "one_disruption" in against(result, ASKED)


def test_what_a_person_asked_for_and_is_sent_again_lets_nothing_leave_beside_it():
    world = replicated(5, spec=make_spec(mode="observe"))
    ask(world, "n4", SERVICE_RESTART)
    assert sent_kinds(world.cycle(is_sent=False)) == [(SERVICE_RESTART, "n4")]
    asked = {"one_disruption": {"action_ids": ["of-n4"]}}
    ask(world, "n2", SERVICE_RESTART, asked=asked, approved_ms=world.now_ms)
    older = msgspec.structs.replace(the(world, "of-n2"), created_ms=1_000)
    world.put(older)
    assert sent_kinds(world.cycle(is_sent=False)) == [(SERVICE_RESTART, "n4")]


def test_nothing_leaves_beside_a_promotion_of_which_its_agent_is_asked_again():
    world, action_id = lost_promotion(5)
    becomes_primary(world, "n2", of=("n1", "n3", "n4", "n5"))
    world.nodes["n1"].role, world.nodes["n1"].contact = ShardRole.SECONDARY, StoreContact.ANSWERS
    asked = {"one_disruption": {"action_ids": [action_id]}}
    ask(world, "n4", SERVICE_RESTART, asked=asked, approved_ms=world.now_ms)
    world.epoch += 1
    assert sent_kinds(world.cycle(is_sent=False)) == [(STORE_PROMOTE, "n2")]
