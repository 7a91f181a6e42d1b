"""What of a person's words is judged is what is sent, and what is remembered."""

from __future__ import annotations

import pytest
from by_name_asks import ASKED, approve, ask, by_hand, codes, promote, the
from orchestrate_builders import (
    SHARD,
    FakeNode,
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
    CLUSTER_REMOVE,
    SERVICE_RESTART,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_REJOIN,
    STORE_SWITCHOVER,
)
from replicante.model.actions import Requester
from replicante.model.change import ChangeCode
from replicante.model.node import NodeStatus
from replicante.model.observation import SeenAction, SeenPhase
from replicante.model.shard import ShardRole


def with_a_dead_primary() -> World:
    world = replicated(4, spec=make_spec(steps={"failover": False}))
    kill_store(world)
    return world


@pytest.mark.parametrize(
    "kind, node_id, named, other",
    [
        (STORE_SWITCHOVER, "n1", "n2", "n3"),
        (STORE_REJOIN, "n3", "n1", "n4"),
        (CLUSTER_REMOVE, "n1", "n4", "n3"),
    ],
)
def test_an_address_that_is_not_that_of_the_named_node_is_refused(kind, node_id, named, other):
    world = by_hand()
    world.nodes["n4"] = FakeNode("n4", status=NodeStatus.NOT_IN_CLUSTER, role=None)
    world.rediscover()
    world.cycle()
    args = {"shard_id": SHARD, "node_id": named, "node": f"{other}:6379"}
    ask(world, node_id, kind, args=args)
    result = world.cycle()
    (record,) = [it for it in result.decision.proposals if it.step == ASKED]
    assert result.submissions == () and record.outcome == "denied"
    (told,) = [it.reason for it in record.verdicts if it.rule == "identity_right"]
    assert f"{other}:6379" in told and named in told


def test_an_address_that_nobody_is_known_by_contradicts_a_known_node_alone():
    world = by_hand()
    args = {"shard_id": SHARD, "node_id": "n9", "node": "n9:6379"}
    ask(world, "n1", CLUSTER_REMOVE, args=args)
    assert "identity_right" not in against(world.cycle(), ASKED)
    args = {"shard_id": SHARD, "node_id": "n1", "node": "elsewhere:6379"}
    ask(world, "n3", STORE_REJOIN, args=args)
    result = world.cycle()
    (record,) = [it for it in result.decision.proposals if it.node_id == "n3"]
    assert "identity_right" in {it.rule for it in record.verdicts if it.ruling == "deny"}


def test_a_promotion_without_args_is_remembered_as_what_it_was_judged_to_be():
    world = with_a_dead_primary()
    ask(world, "n2", STORE_PROMOTE)
    result = world.cycle()
    (sent,) = result.submissions
    assert sent.args == {"shard_id": SHARD, "replaces": "n1"} == the(world, "of-n2").args
    assert codes(result) == [None, ChangeCode.NACTION_DISPATCH]
    world.work()
    world.cycle()
    assert world.state.appointed == {SHARD: "n2"}
    assert world.state.claimed == {} and world.state.replaced == {SHARD: {"n1": "n2"}}


def test_whom_a_promotion_says_to_replace_exempts_no_copy():
    world = with_a_dead_primary()
    ask(world, "n2", STORE_PROMOTE, args={"shard_id": SHARD, "replaces": "n3", "offset": 7})
    (sent,) = world.cycle().submissions
    assert sent.args == {"shard_id": SHARD, "replaces": "n1", "offset": 7}
    world.work()
    world.cycle()
    assert world.state.replaced == {SHARD: {"n1": "n2"}}


def test_where_no_primary_is_known_nobody_counts_as_replaced_by_what_a_person_wrote():
    copies = [FakeNode(it, follows=None) for it in ("n1", "n2", "n3")]
    world = World(*copies, spec=make_spec(mode="observe"))
    world.cycle()
    action_id = promote(world)
    world.cycle()
    approve(world, action_id)
    (sent,) = world.cycle().submissions
    assert "replaces" not in sent.args
    world.work()
    world.cycle()
    assert world.state.appointed == {SHARD: "n2"} and not world.state.replaced.get(SHARD)


def test_a_node_that_is_named_alone_is_sent_with_its_address():
    world = by_hand()
    ask(world, "n1", STORE_SWITCHOVER, args={"node_id": "n2", "timeout_ms": 5})
    (sent,) = world.cycle().submissions
    whole = {"shard_id": SHARD, "node_id": "n2", "node": "n2:6379", "timeout_ms": 5}
    assert sent.args == whole == the(world, "of-n1").args
    world.work()
    world.cycle()
    assert world.state.appointed == {SHARD: "n2"}


def test_an_address_alone_is_remembered_as_its_node():
    world = by_hand()
    ask(world, "n1", STORE_SWITCHOVER, args={"node": "n2:6379"})
    world.cycle()
    world.work()
    world.cycle()
    assert world.state.appointed == {SHARD: "n2"} and world.state.claimed == {}


def test_a_fence_is_sent_as_that_of_its_own_node():
    world = by_hand()
    hang_store(world)
    action_id = ask(world, "n1", STORE_FENCE, args={"replaces": "n3"})
    world.cycle()
    approve(world, action_id)
    (sent,) = world.cycle().submissions
    assert sent.args == {"shard_id": SHARD, "replaces": "n1"}


def test_args_that_no_rule_reads_are_left_as_they_were_written():
    world = replicated(5, spec=make_spec(mode="observe"))
    ask(world, "n2", SERVICE_RESTART)
    result = world.cycle()
    assert sent_kinds(result) == [(SERVICE_RESTART, "n2")] and result.submissions[0].args is None


def test_what_waits_keeps_what_was_written():
    world = with_a_dead_primary()
    world.nodes["n1"].status = NodeStatus.HEALTHY
    written = {"shard_id": SHARD, "replaces": "n3"}
    ask(world, "n2", STORE_PROMOTE, args=written)
    world.nodes["n2"].history = "another"
    result = world.cycle()
    assert outcomes(result, ASKED) == ["awaits_approval"] and the(world, "of-n2").args == written


def test_what_an_agent_was_told_directly_exempts_only_the_primary_that_is_known():
    world = with_a_dead_primary()
    world.cycle()
    world.nodes["n2"].actions["direct"] = SeenAction(
        action_id="direct",
        kind=STORE_PROMOTE,
        phase=SeenPhase.NEW,
        args={"shard_id": SHARD, "replaces": "n3"},
        metadata={},
        created_wall_ms=world.wall_ms,
    )
    world.cycle()
    assert the(world, "direct").requester is Requester.AGENT_API
    world.work()
    world.cycle()
    assert world.state.appointed == {SHARD: "n2"} and world.nodes["n2"].role is ShardRole.PRIMARY
    assert "n3" not in world.state.replaced.get(SHARD, {})
    assert world.state.claimed == {SHARD: ("n1",)}
