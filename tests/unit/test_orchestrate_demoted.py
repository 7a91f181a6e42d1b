"""A primary that said that it is none any more: its death proves nothing of its successor, whatever
was seen in between. And what its agent tells late of a handover is not believed beside copies that
hear it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from by_name_order_asks import order, the_order
from orchestrate_builders import (
    SHARD,
    World,
    against,
    kill_store,
    outcomes,
    sent_kinds,
)
from successor_stories import cluster

from replicante.model.action_kinds import CORE_SWITCHOVER, STORE_PROMOTE
from replicante.model.actions import NActionPhase, OActionPhase
from replicante.model.node import StoreContact
from replicante.model.observation import AgentAnswer, SeenPhase
from replicante.model.shard import ShardRole, Sight
from replicante.orchestrate.cycle import run_cycle
from replicante.orchestrate.roles.suspicions import demotion_key


def take_over(world: World, node_id: str = "n2", former: str = "n1") -> None:
    """By another hand."""
    world.nodes[node_id].role, world.nodes[node_id].follows = ShardRole.PRIMARY, None
    world.nodes[former].role, world.nodes[former].follows = ShardRole.SECONDARY, node_id
    world.nodes[former].sight = Sight.UP


def looks_until_promoted(world: World) -> int:
    for look in range(1, 14):
        if STORE_PROMOTE in dict(sent_kinds(world.cycle())):
            return look
    return 0


@pytest.mark.parametrize("looks", [1, 2])
def test_a_successor_that_was_seen_does_not_hide_that_the_primary_said_it_is_none(looks):
    world = cluster()
    take_over(world)
    for node_id in ("n3", "n4"):
        world.nodes[node_id].sight = Sight.DOWN
    for _ in range(looks):
        world.cycle()
    assert world.state.appointed == {SHARD: "n1"}
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    kill_store(world)
    assert looks_until_promoted(world) == 3


def test_a_copy_behind_it_does_not_hide_that_the_primary_said_it_is_none():
    world = cluster()
    take_over(world)
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    for _ in range(5):
        assert world.cycle().submissions == ()
    kill_store(world)
    assert looks_until_promoted(world) == 3


def test_nor_after_our_own_switchover_that_its_agent_calls_failed():
    world = cluster()
    order(world, CORE_SWITCHOVER, to="n2")
    world.cycle()
    action_id = world.nactions[0].action_id
    world.work()
    world.nodes["n1"].end(action_id, SeenPhase.FAILED)
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    for _ in range(2):
        assert world.cycle(after_ms=6000).submissions == ()
    assert world.state.appointed == {SHARD: "n1"}
    kill_store(world)
    assert looks_until_promoted(world) == 3


def test_its_word_is_forgotten_when_it_is_primary_again():
    world = cluster()
    world.nodes["n1"].role = ShardRole.SECONDARY
    world.cycle()
    assert demotion_key(SHARD) in world.state.suspicions
    world.nodes["n1"].role = ShardRole.PRIMARY
    world.cycle()
    assert demotion_key(SHARD) not in world.state.suspicions
    kill_store(world)
    assert looks_until_promoted(world) == 1


def test_its_word_is_forgotten_when_its_successor_is_appointed():
    world = cluster()
    take_over(world)
    for node_id in ("n3", "n4"):
        world.nodes[node_id].follows = "n2"
    for _ in range(3):
        world.cycle()
    assert world.state.appointed == {SHARD: "n2"}
    assert demotion_key(SHARD) not in world.state.suspicions
    kill_store(world, "n2")
    assert "failure_confirmed" not in against(world.cycle(), "failover")


def test_the_death_of_one_of_two_claimants_does_not_prove_that_of_the_other():
    world = cluster()
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    world.cycle()
    assert demotion_key(SHARD) not in world.state.suspicions
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    kill_store(world)
    assert looks_until_promoted(world) == 4


def test_the_last_word_of_one_that_was_replaced_slows_no_failover():
    world = cluster()
    kill_store(world)
    assert looks_until_promoted(world) == 1
    world.work()
    for node_id in ("n3", "n4"):
        world.nodes[node_id].follows, world.nodes[node_id].sight = "n2", Sight.UP
    world.cycle(after_ms=400_000)
    assert world.state.appointed == {SHARD: "n2"}
    kill_store(world, "n2")
    assert "failure_confirmed" not in against(world.cycle(), "failover")


def gone_to_n3() -> World:
    """n1 yielded to n3, which every copy hears and whose agent is silent."""
    world = cluster()
    take_over(world, "n3")
    world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    for node_id in ("n2", "n4"):
        world.nodes[node_id].follows = "n3"
    return world


def test_a_person_is_asked_past_a_node_that_every_copy_hears():
    world = gone_to_n3()
    for _ in range(6):
        result = world.cycle()
        assert result.submissions == ()
    assert against(result, "failover") == {"witnesses_agree"}
    assert outcomes(result, "failover") == ["awaits_approval"]


def test_a_person_is_asked_while_one_copy_hears_it():
    """A link that is down for one look says nothing of the node that others hear."""
    world = gone_to_n3()
    for number in range(8):
        world.nodes["n4"].sight = Sight.DOWN if number % 2 else Sight.UP
        world.nodes["n1"].answer = AgentAnswer.ANSWERED if number % 3 else AgentAnswer.TIMEOUT
        result = world.cycle()
        assert result.submissions == ()
    assert outcomes(result, "failover") == ["awaits_approval"]


def test_nobody_is_asked_where_no_copy_hears_it_any_more():
    world = gone_to_n3()
    for _ in range(6):
        world.cycle()
    for node_id in ("n1", "n2", "n4"):
        world.nodes[node_id].sight = Sight.DOWN
    assert looks_until_promoted(world) == 3


def test_an_address_that_is_none_of_a_node_is_asked_about_too():
    """A migration: the primary was made a copy of one that no discovery names."""
    world = cluster()
    for node_id in world.nodes:
        world.nodes[node_id].role, world.nodes[node_id].follows = ShardRole.SECONDARY, "elsewhere"
        world.nodes[node_id].sight = Sight.UP
    for _ in range(6):
        result = world.cycle()
        assert result.submissions == ()
    assert outcomes(result, "failover") == ["awaits_approval"]


def chained(*, sight: Sight) -> World:
    """n1 was made a copy of n2, whose agent is silent; n3 and n4 are behind n1, as before."""
    world = cluster()
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    world.nodes["n1"].role, world.nodes["n1"].follows = ShardRole.SECONDARY, "n2"
    world.nodes["n1"].sight = sight
    return world


def test_who_is_behind_one_that_hears_nobody_hears_no_primary():
    assert looks_until_promoted(chained(sight=Sight.REFUSED)) == 4
    assert looks_until_promoted(chained(sight=Sight.DOWN)) == 4


def test_who_went_over_to_another_history_is_followed_by_who_did_so_too():
    """As Redis has it after a handover: the successor gives its history a new name, which all that
    follow take on; what the former one told as the primary compares with nobody any more."""
    world = chained(sight=Sight.REFUSED)
    for node_id in ("n1", "n4"):
        world.nodes[node_id].history, world.nodes[node_id].offset = "of-n2", 150
    sent = [it for _ in range(6) for it in sent_kinds(world.cycle())]
    assert sent == [(STORE_PROMOTE, "n4")]


def test_who_is_behind_one_that_hears_another_one_hears_that_one():
    world = chained(sight=Sight.UP)
    for _ in range(6):
        result = world.cycle()
        assert result.submissions == ()
    (asked,) = [it for it in result.decision.proposals if it.step == "failover"]
    (told,) = [it for it in asked.verdicts if it.rule == "witnesses_agree"]
    assert (str(asked.outcome), told.evidence["heard"]) == ("awaits_approval", ["n2"])


def test_a_copy_that_hears_it_while_its_agent_is_silent_does_not_end_its_word():
    world = chained(sight=Sight.DOWN)
    world.cycle()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    world.nodes["n1"].answer = AgentAnswer.ANSWERED
    kill_store(world)
    assert looks_until_promoted(world) == 3


def test_when_its_successor_has_died_automation_goes_on():
    world = chained(sight=Sight.UP)
    for _ in range(6):
        world.cycle()
    world.nodes["n1"].sight = Sight.REFUSED
    assert looks_until_promoted(world) == 3


def handed_over_unseen() -> World:
    """n1 handed over to n2; what was sent is cancelled, and neither agent answers yet."""
    world = cluster()
    order(world, CORE_SWITCHOVER, to="n2")
    world.cycle()
    world.work()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    action = world.nactions[0]
    world.put(msgspec.structs.replace(action, phase=NActionPhase.CANCELLED, finished_ms=1))
    world.put(msgspec.structs.replace(the_order(world), phase=OActionPhase.CANCELLED))
    world.epoch += 1
    return world


def test_a_late_handover_is_not_believed_beside_copies_that_hear_the_former_primary():
    """Somebody handed back, and the store of n1 does not answer its own agent."""
    world = handed_over_unseen()
    take_over(world, "n1", former="n2")
    for node_id in ("n2", "n3", "n4"):
        world.nodes[node_id].follows, world.nodes[node_id].sight = "n1", Sight.UP
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    world.nodes["n1"].answer = world.nodes["n2"].answer = AgentAnswer.ANSWERED
    world.nodes["n1"].contact = StoreContact.SILENT
    for _ in range(6):
        assert world.cycle().submissions == ()
        assert world.state.appointed == {SHARD: "n1"}


def test_a_late_handover_is_believed_beside_copies_behind_one_that_says_it_is_none():
    world = handed_over_unseen()
    world.cycle()
    world.nodes["n1"].answer = AgentAnswer.ANSWERED
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    assert world.state.appointed == {SHARD: "n2"}


def test_a_late_end_is_told_once_though_the_agent_does_not_tell_its_queue():
    world = handed_over_unseen()
    world.cycle()
    world.nodes["n1"].answer = AgentAnswer.ANSWERED
    told, ended_ms = [], []
    for _ in range(3):
        world.now_ms += 1000
        world.wall_ms += 1000
        inputs = world.inputs()
        looks = tuple(msgspec.structs.replace(it, queue=None) for it in inputs.observations)
        result = run_cycle(replace(inputs, observations=looks))
        world.commit(result)
        told += [it for it in result.report.notes if "although it was cancelled" in it.message]
        ended_ms.append(world.state.recovered_ms)
    assert len(told) == 1 and len(set(ended_ms)) == 1
    assert OActionPhase.CANCELLED is the_order(world).phase
