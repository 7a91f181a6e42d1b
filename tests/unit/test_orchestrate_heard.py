"""Whom copies hear in the place of a primary that is not there, over chains, links that flap, and
agents that do not tell all: nobody is promoted beside that one unasked, and nothing is stuck."""

from __future__ import annotations

import pytest
from by_name_order_asks import order, the_order
from orchestrate_builders import (
    FakeNode,
    World,
    kill_store,
    make_spec,
    outcomes,
    sent_kinds,
)
from successor_stories import LOOKS, cluster, hears, promoted, untold

from replicante.model.action_kinds import CORE_FAILOVER, STORE_PROMOTE
from replicante.model.actions import OActionPhase
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight


def is_asked(world: World) -> bool:
    """A person is, and nobody is promoted meanwhile."""
    results = [world.cycle() for _ in range(8)]
    assert not any(it.submissions for it in results)
    return outcomes(results[-1], "failover") == ["awaits_approval"]


def taken_over_by_n2(world: World) -> World:
    """Its agent is silent since; n3 and n4 hear it."""
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    for node_id in ("n3", "n4"):
        hears(world, node_id, "n2")
    return world


def test_a_successor_that_copies_were_told_to_follow_is_not_passed_by():
    """n1 is dead, and never said that it is primary no more."""
    world = cluster()
    kill_store(world)
    taken_over_by_n2(world)
    assert is_asked(world)


def test_nor_where_only_one_copy_was():
    """n4 is behind n1 still, and would be promoted."""
    world = cluster()
    taken_over_by_n2(world)
    hears(world, "n4", "n1")
    kill_store(world)
    assert is_asked(world)


def test_a_chain_that_was_there_before_slows_no_failover():
    """n4 hears n3, whose agent is silent: it cannot tell, and does not ask for a person."""
    world = cluster("observe")
    hears(world, "n4", "n3")
    world.cycle()
    world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    kill_store(world)
    world.spec = make_spec(mode="active", policies=LOOKS)
    assert promoted(world) == 4


def test_a_former_primary_in_its_full_copy_says_that_it_is_none():
    world = cluster()
    hears(world, "n1", "n2")
    world.nodes["n1"].role = ShardRole.RECOVERING
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    order(world, CORE_FAILOVER, to="n3", accepted_loss=0)
    assert world.cycle().submissions == ()
    assert the_order(world).phase is OActionPhase.FAILED
    assert is_asked(world)


def test_nor_does_anybody_hear_a_primary_in_it_when_its_source_has_died():
    world = cluster()
    hears(world, "n1", "n2", Sight.REFUSED)
    world.nodes["n1"].role = ShardRole.RECOVERING
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    assert promoted(world) == 4


def test_a_link_that_flaps_ends_in_a_question():
    world = cluster()
    hears(world, "n1", "n2")
    taken_over_by_n2(world)
    for look in range(30):
        is_up = look % 3 != 2
        for node_id in ("n1", "n3", "n4"):
            world.nodes[node_id].sight = Sight.UP if is_up else Sight.DOWN
        result = world.cycle()
        assert result.submissions == ()
    assert outcomes(result, "failover") == ["awaits_approval"]


def test_where_no_agent_tells_whom_a_copy_follows_a_person_is_asked():
    world = cluster()
    untold(world)
    hears(world, "n1", "n2")
    taken_over_by_n2(world)
    assert is_asked(world)


def test_a_primary_that_left_discovery_is_not_whom_copies_of_others_hear():
    """Its address is not known any more; n4 was told to follow n2, which is a copy itself."""
    world = cluster()
    kill_store(world)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    world.nodes.pop("n1")
    world.rediscover()
    hears(world, "n4", "n2")
    assert is_asked(world)
    order(world, CORE_FAILOVER, to="n2", accepted_loss=0)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_one_whose_address_is_not_known_is_not_whom_copies_of_others_hear():
    """It came back to discovery, and its agent has not answered since."""
    world = cluster()
    kill_store(world)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    gone = world.nodes.pop("n1")
    world.rediscover()
    world.cycle(discovered_ms=world.now_ms)
    world.nodes["n1"] = gone
    world.rediscover()
    hears(world, "n4", "n2")
    assert is_asked(world)


def test_nor_is_it_unheard_of_when_it_comes_back_and_dies():
    world = cluster()
    gone = world.nodes.pop("n1")
    world.rediscover()
    for node_id in ("n2", "n3", "n4"):
        world.nodes[node_id].sight = Sight.UP
    world.cycle(discovered_ms=world.now_ms)
    world.nodes["n1"] = gone
    world.rediscover()
    kill_store(world)
    assert promoted(world) in (1, 2, 3)


def test_one_that_stepped_down_and_is_heard_while_its_agent_is_silent_ends_in_a_question():
    world = cluster()
    hears(world, "n1", "n2")
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    assert is_asked(world)


@pytest.mark.parametrize("sight", [Sight.DOWN, Sight.REFUSED])
def test_nothing_of_all_this_slows_a_plain_failover(sight):
    world = cluster()
    kill_store(world)
    for node_id in ("n2", "n3", "n4"):
        world.nodes[node_id].sight = sight
    assert promoted(world) == (1 if sight is Sight.REFUSED else 4)


def test_nor_that_of_a_cluster_of_two():
    world = World(
        FakeNode("n1", role=ShardRole.PRIMARY),
        FakeNode("n2", follows="n1"),
        FakeNode("n3", follows="n1"),
        spec=make_spec(mode="active", policies=LOOKS),
    )
    world.cycle()
    kill_store(world)
    assert promoted(world) == 1
