"""People have a node follow another one under other names than `store.rejoin`: judged as that."""

from __future__ import annotations

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
from replicante.model.node import NodeStatus, StoreContact
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
