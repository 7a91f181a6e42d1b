"""What a person asks for past a primary whose successor may not have been seen yet; and a primary
that left discovery, or of which two nodes say that it is theirs."""

from __future__ import annotations

import pytest
from by_name_asks import promote, the
from by_name_order_asks import order, the_order
from orchestrate_builders import (
    SHARD,
    FakeNode,
    World,
    against,
    kill_store,
    make_spec,
    outcomes,
    sent_kinds,
)
from successor_stories import LOOKS, cluster

from replicante.model.action_kinds import CORE_FAILOVER, CORE_SWITCHOVER, STORE_PROMOTE
from replicante.model.actions import NActionPhase, OActionPhase
from replicante.model.node import StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight


def taken_over(world: World) -> World:
    """By another hand; nobody hears anybody."""
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    world.nodes["n1"].role, world.nodes["n1"].follows = ShardRole.SECONDARY, "n2"
    for node_id in ("n3", "n4"):
        world.nodes[node_id].sight = Sight.DOWN
    world.cycle()
    return world


def fail_over(world: World) -> None:
    order(world, CORE_FAILOVER, action_id="o2", to="n3", accepted_loss=0)


@pytest.mark.parametrize("is_n1_dead", [True, False])
def test_a_successor_that_was_seen_a_look_ago_is_not_passed_by_on_a_persons_word(is_n1_dead):
    world = taken_over(cluster())
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    if is_n1_dead:
        kill_store(world)
    else:
        world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    fail_over(world)
    assert world.cycle().submissions == ()
    order_now = the_order(world, "o2")
    assert order_now.phase is OActionPhase.FAILED
    assert "n2, not seen now, may be primary" in str(order_now.error)


def test_nor_one_of_two_claimants_of_before():
    world = cluster()
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    world.cycle()
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    kill_store(world)
    fail_over(world)
    assert world.cycle().submissions == ()
    assert "n2" in str(the_order(world, "o2").error)


def test_a_switchover_that_was_lost_may_have_come_through():
    world = cluster()
    order(world, CORE_SWITCHOVER, to="n2")
    world.cycle()
    world.cycle()
    world.work()
    world.nodes["n1"].actions.clear()
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    kill_store(world)
    world.epoch += 1
    world.cycle()
    assert world.nactions[0].phase is NActionPhase.LOST
    fail_over(world)
    assert world.cycle().submissions == ()
    assert "primary no more" in str(the_order(world, "o2").error)


def test_who_asks_by_name_is_told_who_may_be_primary():
    world = taken_over(cluster("observe"))
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    kill_store(world)
    action_id = promote(world, "n3")
    assert world.cycle().submissions == ()
    asked = the(world, action_id)
    assert asked.phase is NActionPhase.PENDING_APPROVE
    assert asked.asked["failure_confirmed"]["successors"] == ["n2"]


def test_a_primary_of_which_nothing_speaks_against_its_death_is_passed_by_at_once():
    world = cluster("observe")
    kill_store(world)
    fail_over(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]


def gone_from_discovery(mode: str) -> World:
    world = cluster(mode)
    kill_store(world)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    world.nodes.pop("n1")
    world.rediscover()
    return world


@pytest.mark.parametrize("mode", ["active", "observe"])
def test_a_primary_that_left_discovery_is_missed_still(mode):
    world = gone_from_discovery(mode)
    for _ in range(6):
        result = world.cycle(discovered_ms=world.now_ms)
    assert world.state.appointed == {SHARD: "n1"}
    assert "primary_gone" in {it.name for it in result.conditions}
    assert outcomes(result, "failover")[0] != "denied" or mode == "observe"
    fail_over(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]
    world.work()
    world.cycle()
    assert world.state.appointed == {SHARD: "n3"}


def test_nobody_is_promoted_while_a_copy_hears_one_that_left_discovery():
    world = gone_from_discovery("active")
    world.nodes["n2"].sight = Sight.UP
    for _ in range(6):
        result = world.cycle(discovered_ms=world.now_ms)
        assert result.submissions == ()
    assert against(result, "failover") == {"witnesses_agree"}


def two_last_words() -> World:
    """Nobody is appointed, for one agent never told; n1 died, n2 took over by hand, and died."""
    world = World(
        FakeNode("n1", role=ShardRole.PRIMARY),
        *[FakeNode(it, follows="n1") for it in ("n2", "n3", "n4")],
        FakeNode("n5", follows="n1", answer=AgentAnswer.TIMEOUT),
        spec=make_spec(mode="observe", policies=LOOKS),
    )
    world.cycle()
    kill_store(world)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    for node_id in ("n3", "n4"):
        world.nodes[node_id].follows, world.nodes[node_id].sight = "n2", Sight.UP
    world.cycle()
    kill_store(world, "n2")
    world.nodes["n2"].contact = StoreContact.REFUSED
    return world


def test_a_shard_that_two_nodes_led_and_none_leads_is_told_of():
    world = two_last_words()
    result = world.cycle()
    (told,) = [it for it in result.conditions if it.name == "primary_unknown"]
    assert "n1, n2" in told.message
    fail_over(world)
    world.cycle()
    assert "by name" in str(the_order(world, "o2").error)


def test_of_such_a_shard_a_person_may_promote_by_name():
    world = two_last_words()
    action_id = promote(world, "n3")
    world.cycle()
    assert the(world, action_id).phase is NActionPhase.PENDING_APPROVE


def test_a_switchover_waits_for_nobody_who_is_not_known():
    world = two_last_words()
    order(world, CORE_SWITCHOVER)
    world.cycle()
    assert the_order(world).phase is OActionPhase.FAILED
