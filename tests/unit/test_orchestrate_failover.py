from __future__ import annotations

import msgspec
import pytest
from orchestrate_builders import (
    SHARD,
    World,
    against,
    condition_names,
    hang_store,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import STORE_FENCE, STORE_PROMOTE, STORE_REJOIN
from replicante.model.actions import NAction, NActionPhase
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight


def test_a_healthy_cluster_is_left_alone_and_the_record_says_so():
    result = replicated().cycle()
    assert result.submissions == ()
    assert "n1 is primary" in {it.step: it.reason for it in result.decision.idle}["failover"]


def test_a_refused_primary_is_replaced_in_the_cycle_that_sees_it():
    world = replicated()
    kill_store(world)
    result = world.cycle()
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]
    assert result.submissions[0].sent_epoch == world.epoch, "recorded before it is sent"


def test_the_copy_that_has_most_is_promoted():
    world = replicated()
    world.nodes["n3"].offset = 101
    kill_store(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]


def test_a_silent_primary_is_replaced_after_looks_and_time_not_before():
    world = replicated()
    hang_store(world)
    for _ in range(2):
        result = world.cycle(after_ms=2_000)
        assert outcomes(result, "failover") == ["denied"]
        assert against(result, "failover") == {"failure_confirmed"}
    assert sent_kinds(world.cycle(after_ms=2_000)) == [(STORE_FENCE, "n1")]
    world.work()
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_fast_looks_do_not_shorten_the_time():
    world = replicated()
    hang_store(world)
    for _ in range(20):
        assert world.cycle(after_ms=100).submissions == ()


def test_a_partition_between_us_and_the_primary_is_no_failover():
    world = replicated()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    for _ in range(20):
        result = world.cycle(after_ms=10_000)
        assert result.submissions == ()
        assert {"failure_confirmed", "witnesses_agree"} <= against(result, "failover")
    assert "primary_seen_by_copies_only" in condition_names(result)


def test_one_copy_that_hears_the_primary_outweighs_all_that_do_not():
    world = replicated(5)
    hang_store(world)
    world.nodes["n4"].sight = Sight.UP
    for _ in range(10):
        assert world.cycle(after_ms=10_000).submissions == ()


def test_the_time_for_which_a_copy_heard_the_primary_does_not_count():
    world = replicated(5)
    hang_store(world)
    world.nodes["n4"].sight = Sight.UP
    for _ in range(5):
        world.cycle(after_ms=10_000)
    world.nodes["n4"].sight = Sight.DOWN
    assert world.cycle(after_ms=2_000).submissions == ()


def test_refusal_towards_us_alone_proves_nothing():
    world = replicated()
    world.nodes["n1"].answer = AgentAnswer.REFUSED
    for node_id in ("n2", "n3"):
        world.nodes[node_id].sight = Sight.DOWN
    assert outcomes(world.cycle(), "failover") == ["denied"]


def test_refusal_towards_the_copies_alone_proves_nothing():
    world = replicated()
    kill_store(world)
    world.nodes["n1"].contact = StoreContact.SILENT
    assert outcomes(world.cycle(), "failover") == ["denied"]


def test_without_witnesses_a_person_decides():
    world = replicated()
    hang_store(world)
    for node_id in ("n2", "n3"):
        world.nodes[node_id].sight = Sight.UNKNOWN
    for _ in range(3):
        result = world.cycle(after_ms=2_000)
    assert outcomes(result, "failover") == ["awaits_approval"]
    assert against(result, "failover") == {"witnesses_agree"}
    assert result.submissions == ()


def test_an_approved_failover_is_sent():
    world = replicated()
    hang_store(world)
    for node_id in ("n2", "n3"):
        world.nodes[node_id].sight = Sight.UNKNOWN
    for _ in range(3):
        world.cycle(after_ms=2_000)
    approve(world)
    assert sent_kinds(world.cycle()) == [(STORE_FENCE, "n1")]
    world.work()
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_wish_that_waits_is_withdrawn_when_its_reason_is_gone():
    world = replicated()
    hang_store(world)
    for node_id in ("n2", "n3"):
        world.nodes[node_id].sight = Sight.UNKNOWN
    for _ in range(3):
        world.cycle(after_ms=2_000)
    world.nodes["n1"].contact = StoreContact.ANSWERS
    world.cycle()
    assert [it.phase for it in world.nactions] == [NActionPhase.CANCELLED]


def approve(world: World) -> None:
    (waiting,) = [it for it in world.nactions if it.phase is NActionPhase.PENDING_APPROVE]
    world.put(msgspec.structs.replace(waiting, phase=NActionPhase.PENDING_SCHEDULE))


def test_nobody_beyond_the_bound_is_promoted_and_the_way_out_has_a_price():
    world = replicated()
    world.nodes["n1"].offset = 200
    world.cycle()
    kill_store(world)
    result = world.cycle()
    assert outcomes(result, "failover") == ["denied", "awaits_approval", "awaits_approval"]
    assert against(result, "failover") == {"loss_bounded"}
    option = result.decision.options[0]
    assert option.args == {"shard_id": SHARD, "to": "n2", "accepted_loss": 100}
    assert option.price.known_min == 100


def test_a_declared_bound_is_kept_to_the_unit():
    for bound, expected in ((99, "denied"), (100, "done")):
        world = replicated(spec=make_spec(policies={"data_loss_offset": bound}))
        world.nodes["n1"].offset = 200
        world.cycle()
        kill_store(world)
        assert outcomes(world.cycle(), "failover")[:1] == [expected]


def test_without_a_bound_every_loss_asks():
    world = replicated(spec=make_spec(policies={"data_loss_offset": None}))
    kill_store(world)
    result = world.cycle()
    assert outcomes(result, "failover") == ["awaits_approval"]


@pytest.mark.parametrize(
    ("fault", "reason", "ways_out"),
    [
        ({"role": ShardRole.RECOVERING}, "recovering", 0),
        ({"status": NodeStatus.UNHEALTHY}, "UNHEALTHY", 0),
        ({"history": "h2"}, "another history", 2),
        ({"attributes": {"replicante.io/no-promote": True}}, "no-promote", 2),
        ({"has_address": False}, "member address", 0),
    ],
)
def test_when_nobody_is_eligible_it_stays_and_says_why(fault, reason, ways_out):
    world = replicated()
    for node_id in ("n2", "n3"):
        for name, value in fault.items():
            setattr(world.nodes[node_id], name, value)
    kill_store(world)
    for _ in range(3):
        result = world.cycle(after_ms=5_000)
    assert result.submissions == ()
    assert outcomes(result, "failover") == ["awaits_approval"] * ways_out
    assert "nobody_eligible" in condition_names(result)
    assert all(reason in " ".join(it.reasons) for it in result.decision.candidates)


def test_a_minority_of_copies_asks():
    world = replicated(5)
    for node_id in ("n3", "n4", "n5"):
        world.nodes[node_id].answer = AgentAnswer.TIMEOUT
    world.cycle()
    kill_store(world)
    result = world.cycle()
    assert outcomes(result, "failover") == ["awaits_approval"]
    assert against(result, "failover") == {"majority_kept"}


def failed_over() -> World:
    world = replicated()
    kill_store(world)
    world.cycle()
    world.work()
    world.cycle()
    return world


def test_after_a_failover_the_others_follow_and_the_dead_one_rejoins_one_at_a_time():
    world = failed_over()
    for _ in range(8):
        world.work()
        result = world.cycle(after_ms=3_000)
        assert len(result.submissions) <= 1
    seen = [(it.kind, it.node_id) for it in world.sent]
    assert seen == [(STORE_PROMOTE, "n2"), (STORE_REJOIN, "n3"), (STORE_REJOIN, "n1")]
    assert {node.follows for node in world.nodes.values()} == {None, "n2"}
    assert condition_names(result) == set()


def test_an_old_primary_that_comes_back_as_primary_is_told_to_follow():
    world = failed_over()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    for _ in range(4):
        world.cycle(after_ms=12_000)
        world.work()
    assert "n1" not in [it.node_id for it in world.sent]
    world.nodes["n1"].answer = AgentAnswer.ANSWERED
    world.nodes["n1"].contact = StoreContact.ANSWERS
    world.nodes["n1"].role, world.nodes["n1"].actions = ShardRole.PRIMARY, {}
    world.nodes["n1"].status = NodeStatus.HEALTHY
    result = world.cycle(after_ms=12_000)
    assert "primary_disputed" in condition_names(result)
    assert sent_kinds(result)[-1:] == [(STORE_REJOIN, "n1")]


def test_a_second_failure_in_the_quiet_period_asks():
    world = failed_over()
    for _ in range(8):
        world.work()
        world.cycle(after_ms=3_000)
    kill_store(world, "n2")
    result = world.cycle()
    assert outcomes(result, "failover") == ["awaits_approval"]
    assert against(result, "failover") == {"quiet_period"}
    for _ in range(9):
        world.work()
        world.cycle(after_ms=50_000)
    assert [it.kind for it in world.sent].count(STORE_PROMOTE) == 2


def test_a_flapping_primary_causes_no_flapping_decisions():
    world = replicated()
    for i in range(40):
        if i % 2:
            hang_store(world)
        else:
            world.nodes["n1"].contact = StoreContact.ANSWERS
            world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.UP
        world.cycle(after_ms=2_000)
        world.work()
    assert world.sent == []


def test_a_primary_that_flaps_by_dying_costs_one_failover():
    world = replicated()
    for i in range(40):
        if i % 2:
            kill_store(world)
        else:
            world.nodes["n1"].contact = StoreContact.ANSWERS
            world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.UP
        world.cycle(after_ms=2_000)
        world.work()
    assert [it.kind for it in world.sent].count(STORE_PROMOTE) == 1


def test_a_failover_that_keeps_failing_asks_in_the_end():
    world = replicated(spec=make_spec(policies={"failures_max": 2, "quiet_period": "0s"}))
    kill_store(world)
    for _ in range(20):
        result = world.cycle(after_ms=12_000)
        for node in world.nodes.values():
            for action in list(node.actions):
                if node.actions[action].phase == "NEW":
                    node.end(action, "FAILED")
    assert [it.kind for it in world.sent].count(STORE_PROMOTE) == 2
    assert outcomes(result, "failover") == ["awaits_approval"]
    assert against(result, "failover") == {"attempts_bounded"}


def test_a_claim_by_another_hand_moves_the_appointment_only_after_it_lasted():
    world = replicated()
    n1, n2 = world.nodes["n1"], world.nodes["n2"]
    n1.role, n1.follows = ShardRole.SECONDARY, "n2"
    n2.role, n2.follows = ShardRole.PRIMARY, None
    world.nodes["n3"].follows = "n2"
    for expected in ("n1", "n1", "n2"):
        world.cycle()
        assert world.state.appointed == {SHARD: expected}
    assert world.sent == []


def test_a_claim_beside_a_silent_primary_never_appoints():
    world = replicated()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    for _ in range(10):
        result = world.cycle(after_ms=10_000)
    assert world.state.appointed == {SHARD: "n1"}
    assert "primary_disputed" in condition_names(result)
    assert world.sent == []


def test_a_switchover_by_another_hand_between_two_looks_is_no_death():
    world = replicated()
    n1, n2 = world.nodes["n1"], world.nodes["n2"]
    # n1 was looked at after it was demoted, n2 before it was promoted.
    n1.role, n1.follows = ShardRole.SECONDARY, "n2"
    n2.sight = world.nodes["n3"].sight = Sight.UNKNOWN
    assert outcomes(world.cycle(), "failover") == ["denied"]
    n2.role, n2.follows = ShardRole.PRIMARY, None
    world.nodes["n3"].follows, world.nodes["n3"].sight, n1.sight = "n2", Sight.UP, Sight.UP
    for _ in range(5):
        world.cycle()
    assert world.sent == [] and world.state.appointed == {SHARD: "n2"}


def test_a_primary_that_only_stepped_down_is_replaced_after_the_time_of_a_silent_one():
    world = replicated()
    world.nodes["n1"].role, world.nodes["n1"].follows = ShardRole.SECONDARY, "n2"
    world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.UNKNOWN
    for _ in range(2):
        assert world.cycle(after_ms=2_000).submissions == ()
    assert sent_kinds(world.cycle(after_ms=2_000)) == [(STORE_PROMOTE, "n2")]


def test_a_forgotten_approval_does_not_cost_a_failover():
    world = replicated()
    world.put(
        NAction(
            ns_id="default",
            cluster_id="sessions",
            node_id="n2",
            action_id="a0",
            kind="example.com/backup",
            created_ms=1,
            created_wall_ms=1,
            phase=NActionPhase.PENDING_APPROVE,
        )
    )
    kill_store(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]
    # Not heard of, it is sent again, still past what waits.
    world.nodes["n2"].actions.clear()
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


@pytest.mark.parametrize("is_seen_by", ["us", "a copy"])
def test_a_promotion_that_never_arrived_is_given_up_when_its_primary_is_seen(is_seen_by):
    """Who decided on it died before it was sent, and the next one to lead finds its record."""
    world = replicated()
    hang_store(world)
    world.nodes["n1"].contact = StoreContact.ANSWERS
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    for _ in range(3):
        result = world.cycle(after_ms=2_000, is_sent=False)
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]
    world.nodes["n3"].sight = Sight.UP
    if is_seen_by == "us":
        world.nodes["n1"].answer = AgentAnswer.ANSWERED
    world.epoch += 1
    assert world.cycle().submissions == ()
    assert [it.phase for it in world.nactions] == ["CANCELLED"]


def test_a_promotion_that_never_arrived_is_sent_again_while_its_primary_is_gone():
    world = replicated()
    hang_store(world)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    for _ in range(3):
        world.cycle(after_ms=2_000, is_sent=False)
    world.epoch += 1
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]
