"""Roles that people change by hand, past the verbs that would look first: judged all the same."""

from __future__ import annotations

import pytest
from by_name_asks import ASKED, approve, ask, by_hand, promote, the
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
    SERVICE_STOP,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_REJOIN,
    STORE_SWITCHOVER,
)
from replicante.model.actions import NActionPhase
from replicante.model.node import NodeStatus
from replicante.model.observation import AgentAnswer, SeenShard
from replicante.model.shard import ShardRole, Sight, Upstream
from replicante.orchestrate.explain import explain


def test_a_promotion_beside_a_healthy_primary_waits_and_says_why():
    world = by_hand()
    action_id = promote(world)
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["denied"]
    (step,) = explain(result.decision).steps
    assert (step.action_id, step.step) == (action_id, ASKED)
    blocked = next(it for it in step.blocked_by if it.rule == "failure_confirmed")
    assert "n1" in blocked.reason and "switchover" in blocked.reason
    assert any("[failure_confirmed]" in it for it in explain(result.decision).needs)


def test_no_approval_promotes_beside_a_healthy_primary():
    world = by_hand()
    action_id = promote(world)
    for _ in range(3):
        world.cycle()
        approve(world, action_id)
        assert world.cycle().submissions == ()
    assert world.nodes["n2"].applied == []


def test_a_promotion_that_was_held_beside_the_primary_does_not_wait_for_its_death():
    world = by_hand()
    action_id = promote(world)
    world.cycle()
    kill_store(world)
    for _ in range(5):
        assert world.cycle(after_ms=5_000).submissions == ()
    assert "approval_granted" in the(world, action_id).asked
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_promotion_past_a_primary_that_is_not_known_to_be_dead_asks_for_that_very_death():
    world = by_hand()
    hang_store(world)
    action_id = promote(world)
    result = world.cycle()
    assert result.submissions == () and against(result, ASKED) == {"failure_confirmed"}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_what_was_approved_of_one_silence_counts_for_no_other():
    world = by_hand()
    hang_store(world)
    action_id = promote(world)
    world.cycle()
    approve(world, action_id)
    world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.UP
    assert world.cycle().submissions == ()
    hang_store(world)
    assert world.cycle().submissions == ()
    assert the(world, action_id).phase is NActionPhase.PENDING_APPROVE


def test_nobody_approves_past_a_copy_that_hears_the_primary():
    world = by_hand()
    hang_store(world)
    world.nodes["n3"].sight = Sight.UP
    action_id = promote(world)
    for _ in range(3):
        assert world.cycle().submissions == ()
        approve(world, action_id)


def test_a_promotion_past_a_dead_primary_goes_as_asked_where_nothing_is_lost():
    world = by_hand()
    kill_store(world)
    promote(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_promotion_names_its_price_and_a_person_may_pay_it():
    world = by_hand()
    world.nodes["n1"].offset = 200
    world.cycle()
    kill_store(world)
    action_id = promote(world)
    result = world.cycle()
    assert result.submissions == () and against(result, ASKED) == {"loss_bounded"}
    assert the(world, action_id).asked["loss_bounded"]["known_min"] == 100
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


@pytest.mark.parametrize("hindrance", ["role", "status"])
def test_a_copy_that_is_not_whole_is_promoted_by_nobody(hindrance):
    world = by_hand()
    kill_store(world)
    node = world.nodes["n2"]
    if hindrance == "role":
        node.role = ShardRole.RECOVERING
    else:
        node.status = NodeStatus.UNHEALTHY
    promote(world)
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["denied"]
    assert "candidate_fit" in against(result, ASKED)


def test_a_copy_of_another_history_is_promoted_by_the_word_of_a_person():
    world = by_hand()
    world.nodes["n2"].history = "h2"
    kill_store(world)
    action_id = promote(world)
    result = world.cycle()
    assert against(result, ASKED) == {"candidate_fit", "loss_bounded"}
    assert the(world, action_id).asked["candidate_fit"] == {"overrides": ["other_history"]}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_whom_it_says_to_replace_does_not_hide_the_primary():
    world = by_hand()
    ask(world, "n2", STORE_PROMOTE, args={"replaces": "n3"})
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["denied"]


def test_whom_a_fence_says_to_replace_does_not_hide_the_primary():
    world = by_hand()
    ask(world, "n1", STORE_FENCE, args={"shard_id": SHARD, "replaces": "n3"})
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["denied"]


@pytest.mark.parametrize("kind", [STORE_PROMOTE, STORE_REJOIN, STORE_SWITCHOVER, STORE_FENCE])
def test_beside_another_controller_nobody_changes_roles_by_hand(kind):
    world = replicated(spec=make_spec(mode="observe"), controllers=("sentinel",))
    kill_store(world)
    ask(world, "n2", kind, args={"shard_id": SHARD, "node_id": "n3", "node": "n3:6379"})
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["denied"]
    assert "no_foreign_controller" in against(result, ASKED)


def test_a_claim_is_ended_by_hand_only_by_who_was_told_of_it():
    world = by_hand()
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    args = {"shard_id": SHARD, "node_id": "n1", "node": "n1:6379"}
    action_id = ask(world, "n2", STORE_REJOIN, args=args)
    result = world.cycle()
    assert result.submissions == () and "claims_respected" in against(result, ASKED)
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(STORE_REJOIN, "n2")]


def test_a_switchover_asked_of_the_agent_goes_as_asked():
    world = by_hand()
    args = {"shard_id": SHARD, "node_id": "n3", "node": "n3:6379"}
    ask(world, "n1", STORE_SWITCHOVER, args=args)
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]


def test_who_approved_to_end_one_copy_of_a_claim_did_not_approve_it_of_two():
    n1, n2, n3 = (FakeNode(it, follows="n2") for it in ("n1", "n2", "n3"))
    n1.role, n1.follows, n2.role, n2.follows = ShardRole.PRIMARY, None, ShardRole.PRIMARY, None
    n2.answer = AgentAnswer.TIMEOUT
    world = World(n1, n2, n3, spec=make_spec(mode="observe"))
    world.cycle()
    action_id = ask(world, "n3", SERVICE_STOP)
    world.cycle()
    assert the(world, action_id).asked["claims_respected"] == {"follows": {"0": "n2:6379"}}
    approve(world, action_id)
    upstream = Upstream(address="n2:6379", sight=Sight.UP)
    n3.beside = (SeenShard(shard_id="1", role=ShardRole.SECONDARY, upstream=upstream),)
    assert world.cycle().submissions == ()
    told = the(world, action_id).asked["claims_respected"]
    assert told == {"follows": {"0": "n2:6379", "1": "n2:6379"}}
