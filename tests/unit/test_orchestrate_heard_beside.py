"""What copies hear of others beside a primary that they hear, or that is dead: no hearsay makes a
question of a primary that is heard, none of it is without end, and none grows without bound."""

from __future__ import annotations

import pytest
from by_name_asks import ask, the
from by_name_order_asks import order, the_order
from orchestrate_builders import SHARD, against, kill_store, outcomes, sent_kinds
from successor_stories import cluster, hears, promoted, untold

from replicante.limits import HEARD_NAMES_MAX
from replicante.model.action_kinds import CORE_FAILOVER, STORE_PROMOTE, STORE_SWITCHOVER
from replicante.model.actions import NActionPhase, OActionPhase
from replicante.model.converge_state import Suspicion
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight
from replicante.orchestrate.roles.suspicions import heard_key, without


@pytest.mark.parametrize("role", [ShardRole.OTHER, ShardRole.RECOVERING])
def test_a_role_that_says_nothing_of_a_copy_ends_no_veto(role):
    """An agent may have words of its own for what a primary is."""
    world = cluster()
    world.nodes["n1"].role, world.nodes["n1"].follows = role, None
    for _ in range(8):
        result = world.cycle()
        assert result.submissions == ()
    assert "failure_confirmed" in against(result, "failover")


def test_one_copy_that_was_told_to_follow_another_one_raises_no_question_of_who_is_heard():
    world = cluster()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    hears(world, "n4", "outside")
    for look in range(20):
        if look == 5:
            hears(world, "n4", "n1")
        result = world.cycle()
        assert result.submissions == ()
        assert {"failure_confirmed", "witnesses_agree"} <= against(result, "failover")
    order(world, CORE_FAILOVER, to="n2", accepted_loss=0)
    assert world.cycle().submissions == ()
    assert the_order(world).phase is OActionPhase.FAILED


def test_nor_does_a_claim_that_another_copy_hears():
    world = cluster()
    world.nodes["n3"].role, world.nodes["n3"].follows = ShardRole.PRIMARY, None
    hears(world, "n4", "n3")
    world.cycle()
    world.nodes["n1"].answer = world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    for _ in range(12):
        result = world.cycle()
        assert result.submissions == ()
        assert {"failure_confirmed", "witnesses_agree"} <= against(result, "failover")


def test_who_was_started_anew_behind_another_one_is_measured_by_what_it_told_as_the_primary():
    """From an old copy of its data, in the same history."""
    world = cluster()
    n1, n2, n3, n4 = world.nodes.values()
    n1.offset, n2.offset = 5_000, 3_000
    n2.sight = n3.sight = n4.sight = Sight.DOWN
    world.cycle()
    n1.role, n1.follows, n1.sight, n1.offset = ShardRole.SECONDARY, "n2", Sight.DOWN, 100
    for _ in range(8):
        result = world.cycle()
        assert result.submissions == ()
    assert "loss_bounded" in against(result, "failover")


def test_one_that_stepped_down_itself_outlives_no_promotion():
    world = cluster()
    world.nodes["n1"].role, world.nodes["n1"].follows = ShardRole.SECONDARY, None
    assert promoted(world)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    world.work()
    world.cycle()
    assert world.state.appointed == {SHARD: "n2"}


def test_the_lost_switchover_of_a_former_primary_says_nothing_of_the_new_one():
    world = cluster()
    args = {"shard_id": SHARD, "node_id": "n3", "node": "n3:6379"}
    ask(world, "n1", STORE_SWITCHOVER, action_id="sw", args=args)
    world.cycle()
    world.cycle()
    assert the(world, "sw").phase is NActionPhase.NEW
    # Another hand, meanwhile: n2 is the primary, n1 follows it, and all of it is appointed.
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    for node_id in ("n1", "n3", "n4"):
        hears(world, node_id, "n2")
    for _ in range(4):
        world.cycle()
    assert world.state.appointed == {SHARD: "n2"}
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    world.nodes["n1"].actions.clear()
    world.epoch += 1
    for _ in range(8):
        result = world.cycle()
        assert result.submissions == ()
    assert the(world, "sw").phase is NActionPhase.LOST
    assert {"failure_confirmed", "witnesses_agree"} <= against(result, "failover")


def test_a_link_whose_end_nobody_tells_does_not_veto_past_a_primary_that_refuses():
    world = cluster()
    hears(world, "n4", "n3")
    untold(world)
    kill_store(world)
    world.nodes["n4"].follows, world.nodes["n4"].sight = "n3", Sight.UP
    results = [world.cycle() for _ in range(8)]
    assert not any(it.submissions for it in results)
    assert outcomes(results[-1], "failover") == ["awaits_approval"]


def test_many_names_that_are_heard_in_turn_are_one_question_and_no_growth():
    world = cluster()
    hears(world, "n1", "n2", Sight.DOWN)
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    for look in range(60):
        hears(world, "n4", f"10.0.0.{look}")
        result = world.cycle()
        assert result.submissions == ()
    assert outcomes(result, "failover") == ["awaits_approval"]
    assert len(world.state.suspicions) <= HEARD_NAMES_MAX + 4


def test_a_name_that_nobody_hears_any_more_is_forgotten():
    world = cluster()
    hears(world, "n1", "n2", Sight.DOWN)
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    hears(world, "n4", "10.0.0.1")
    for _ in range(6):
        world.cycle()
    world.nodes["n4"].sight = Sight.DOWN
    sent = [it for _ in range(6) for it in sent_kinds(world.cycle())]
    assert [it[0] for it in sent] == [STORE_PROMOTE]


def test_shards_whose_names_begin_alike_are_told_apart():
    other = heard_key("a:b", "n9")
    kept = {other: Suspicion(since_ms=1, count=1, last_ms=1)}
    assert without(kept, "a") == kept and without(kept, "a:b") == {}
