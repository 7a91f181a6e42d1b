"""People have a node follow another one under other names than `store.rejoin`: judged as that."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ASKED, approve, ask, by_hand, the
from orchestrate_builders import (
    SHARD,
    FakeNode,
    World,
    against,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import (
    CLUSTER_JOIN,
    SERVICE_START,
    STORE_PROMOTE,
    STORE_REJOIN,
)
from replicante.model.actions import NActionPhase, Requester
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer, SeenPhase
from replicante.model.shard import ShardRole

EVERY = [CLUSTER_JOIN, STORE_REJOIN]


def disputed() -> World:
    """n1 is appointed, and n2 claims."""
    world = by_hand()
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    world.cycle()
    return world


def follow(world: World, node_id: str, leader: str, kind: str) -> str:
    return ask(world, node_id, kind, args={"node": f"{leader}:6379"})


@pytest.mark.parametrize("kind", EVERY)
def test_the_appointed_primary_joins_a_claimant_only_by_approval(kind):
    world = disputed()
    action_id = follow(world, "n1", "n2", kind)
    assert world.cycle().submissions == ()
    assert the(world, action_id).asked["primary_not_removed"] == {"why": ["primary 0"]}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(kind, "n1")]


@pytest.mark.parametrize("kind", EVERY)
def test_a_claim_is_ended_by_joining_only_by_approval(kind):
    world = disputed()
    action_id = follow(world, "n2", "n1", kind)
    result = world.cycle()
    (record,) = [it for it in result.decision.proposals if it.action_id == action_id]
    assert result.submissions == () and not record.loss.is_none
    assert the(world, action_id).asked["claims_respected"] == {"shards": [SHARD]}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(kind, "n2")]


def test_a_copy_that_is_in_use_is_missed_while_it_joins_anew():
    world = replicated(2, spec=make_spec(mode="observe"))
    follow(world, "n2", "n1", CLUSTER_JOIN)
    result = world.cycle()
    assert result.submissions == () and against(result, ASKED) == {"majority_kept"}


def test_a_blank_node_joins_without_a_question():
    world = disputed()
    world.nodes["n4"] = FakeNode("n4", status=NodeStatus.NOT_IN_CLUSTER, role=None)
    world.rediscover()
    world.cycle()
    action_id = follow(world, "n4", "n1", CLUSTER_JOIN)
    result = world.cycle()
    (record,) = [it for it in result.decision.proposals if it.action_id == action_id]
    assert sent_kinds(result) == [(CLUSTER_JOIN, "n4")] and record.loss.is_none


def test_a_dead_primary_is_started_as_a_copy_only_by_approval():
    world = by_hand()
    kill_store(world)
    world.cycle()
    action_id = follow(world, "n1", "n2", SERVICE_START)
    result = world.cycle()
    (record,) = [it for it in result.decision.proposals if it.action_id == action_id]
    assert result.submissions == () and record.is_disruptive and not record.loss.is_none
    assert the(world, action_id).asked["primary_not_removed"] == {"why": ["primary 0"]}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(SERVICE_START, "n1")]


def test_a_dead_claimant_is_started_as_a_copy_only_by_approval():
    world = disputed()
    kill_store(world, "n2")
    world.cycle()
    action_id = follow(world, "n2", "n1", SERVICE_START)
    assert world.cycle().submissions == ()
    assert the(world, action_id).asked["claims_respected"] == {"shards": [SHARD]}


def test_a_dead_copy_is_started_behind_its_primary_without_a_question():
    world = by_hand()
    kill_store(world, "n3")
    world.cycle()
    follow(world, "n3", "n1", SERVICE_START)
    assert sent_kinds(world.cycle()) == [(SERVICE_START, "n3")]


@pytest.mark.parametrize("args", [None, {"node": None}])
def test_a_start_behind_whom_it_followed_last_is_free(args):
    world = by_hand()
    kill_store(world)
    ask(world, "n1", SERVICE_START, args=args)
    result = world.cycle()
    assert sent_kinds(result) == [(SERVICE_START, "n1")] and outcomes(result, ASKED) == []


@pytest.mark.parametrize("kind", [CLUSTER_JOIN, SERVICE_START])
def test_a_question_about_following_holds_up_no_failover_of_its_node(kind):
    world = replicated(2)
    follow(world, "n2", "n1", kind)
    assert world.cycle().submissions == ()
    kill_store(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_claim_is_accepted_by_starting_the_dead_primary_behind_it():
    world = disputed()
    kill_store(world)
    world.cycle()
    action_id = follow(world, "n1", "n2", SERVICE_START)
    world.cycle()
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(SERVICE_START, "n1")]
    started = world.nodes["n1"]
    started.contact, started.role, started.follows = (
        StoreContact.ANSWERS,
        ShardRole.SECONDARY,
        "n2",
    )
    started.end(action_id)
    for _ in range(4):
        world.cycle(after_ms=20_000)
    assert world.state.appointed == {SHARD: "n2"} and world.state.claimed == {}


def two_down() -> World:
    world = replicated(5, spec=make_spec(mode="observe"))
    for it in ("n4", "n5"):
        world.nodes[it].contact = StoreContact.REFUSED
    world.cycle()
    follow(world, "n4", "n1", SERVICE_START)
    assert sent_kinds(world.cycle()) == [(SERVICE_START, "n4")]
    return world


@pytest.mark.parametrize("kind", [SERVICE_START, STORE_REJOIN])
def test_nothing_disturbs_beside_a_start_behind_a_named_node_without_a_question(kind):
    world = two_down()
    action_id = follow(world, "n5", "n1", kind)
    assert world.cycle().submissions == ()
    assert the(world, action_id).asked == {"one_disruption": {"action_ids": ["of-n4"]}}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(kind, "n5")]


def test_when_the_start_has_ended_the_next_one_goes_without_a_question():
    world = two_down()
    world.work()
    follow(world, "n5", "n1", SERVICE_START)
    assert sent_kinds(world.cycle()) == [(SERVICE_START, "n5")]


def test_a_start_that_was_cancelled_at_a_silent_agent_may_run_still():
    world = two_down()
    world.nodes["n4"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    cancelled = the(world, "of-n4")
    world.put(msgspec.structs.replace(cancelled, phase=NActionPhase.CANCELLED))
    action_id = follow(world, "n5", "n1", SERVICE_START)
    assert world.cycle().submissions == ()
    assert the(world, action_id).asked["one_disruption"] == {"action_ids": ["of-n4"]}


def test_a_start_of_automation_costs_no_failover():
    """It follows the primary that replaced it, and holds nothing that anybody needs."""
    world = replicated(5)
    args = {"node": "n1:6379"}
    ask(world, "n5", SERVICE_START, args=args, requester=Requester.CORE_DECLARATIVE)
    begun = msgspec.structs.replace(the(world, "of-n5"), phase=NActionPhase.RUNNING, sent_epoch=1)
    world.put(begun)
    world.nodes["n5"].take(begun, SeenPhase.RUNNING)
    kill_store(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]
