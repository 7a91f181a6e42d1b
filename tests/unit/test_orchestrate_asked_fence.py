"""A failover that a person asks for ends the process of a primary that hangs before it replaces
that one, and nothing that happens to the fence stands in its way."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ask, by_hand, the
from by_name_order_asks import order, the_order
from orchestrate_builders import (
    World,
    hang_store,
    kill_store,
    make_spec,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import CORE_FAILOVER, STORE_FENCE, STORE_PROMOTE
from replicante.model.actions import NActionPhase, OActionPhase
from replicante.model.node import StoreContact
from replicante.model.observation import AgentAnswer, SeenPhase
from replicante.model.shard import Sight


def asked(world: World | None = None, **args) -> World:
    """n1 hangs under an agent that answers, and a person asks for n3."""
    world = by_hand() if world is None else world
    hang_store(world)
    world.cycle()
    order(world, CORE_FAILOVER, **{"to": "n3", "accepted_loss": 0, **args})
    return world


def fenced(**args) -> World:
    world = asked(**args)
    assert sent_kinds(world.cycle()) == [(STORE_FENCE, "n1")]
    assert the_order(world).phase is OActionPhase.RUNNING
    return world


@pytest.mark.parametrize("mode", ["observe", "active"])
def test_the_process_of_a_primary_that_hangs_is_ended_first(mode):
    world = asked(replicated(spec=make_spec(mode=mode)))
    assert sent_kinds(world.cycle()) == [(STORE_FENCE, "n1")]
    assert world.cycle().submissions == (), "nobody takes over while the end is under way"
    world.work()
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]
    world.work()
    world.cycle()
    assert the_order(world).phase is OActionPhase.DONE
    assert world.state.appointed == {"0": "n3"}


@pytest.mark.parametrize("end", [SeenPhase.FAILED, SeenPhase.DONE])
def test_however_the_fence_ends_the_promotion_follows_once(end):
    world = fenced()
    (fence,) = world.nodes["n1"].actions
    world.nodes["n1"].end(fence, end)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]
    for _ in range(5):
        world.work()
        assert world.cycle().submissions == ()


def test_an_agent_that_falls_silent_meanwhile_holds_it_up_for_one_look():
    world = fenced()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    assert world.cycle().submissions == (), "the first silence may be a lost answer"
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]


def test_a_fence_that_its_agent_never_took_does_not_stand_in_the_way():
    world = fenced()
    (sent,) = world.nactions
    world.nodes["n1"].actions.clear()
    world.put(msgspec.structs.replace(sent, phase=NActionPhase.FAILED))
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]


def test_a_primary_that_goes_on_meanwhile_keeps_its_role():
    world = fenced()
    world.nodes["n1"].contact = StoreContact.ANSWERS
    world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.UP
    (fence,) = world.nodes["n1"].actions
    world.nodes["n1"].end(fence, SeenPhase.FAILED)
    for _ in range(3):
        assert world.cycle().submissions == ()
    assert the_order(world).phase is OActionPhase.FAILED
    assert "is there" in str(the_order(world).error)


def test_nothing_is_ended_that_the_one_who_is_named_may_not_replace():
    world = asked(to="n3")
    busy = ask(world, "n3", "test.example.com/wait", phase=NActionPhase.RUNNING, sent_epoch=1)
    world.nodes["n3"].take(the(world, busy))
    assert world.cycle().submissions == ()
    assert the_order(world).phase is OActionPhase.FAILED
    assert "node_is_free" in str(the_order(world).error)


def test_an_agent_without_epochs_is_not_asked_to_end_anything():
    world = by_hand()
    world.nodes["n1"].is_fenced = False
    assert sent_kinds(asked(world).cycle()) == [(STORE_PROMOTE, "n3")]


def test_a_primary_that_is_dead_is_not_ended():
    world = by_hand()
    kill_store(world)
    order(world, CORE_FAILOVER, to="n3", accepted_loss=0)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]
