"""A primary that is started anew behind its agent's back, as a copy of nobody, is replaced."""

from __future__ import annotations

import pytest
from orchestrate_builders import (
    SHARD,
    World,
    against,
    kill_store,
    make_spec,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import STORE_PROMOTE
from replicante.model.node import StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight


def restart_store(world: World, node_id: str = "n1") -> None:
    """By whoever supervises it: as a copy of nobody, in a history of its own."""
    node = world.nodes[node_id]
    node.role, node.contact, node.history = ShardRole.SECONDARY, StoreContact.ANSWERS, "anew"
    for copy in world.nodes.values():
        if copy.follows == node_id:
            copy.sight = Sight.DOWN


@pytest.mark.parametrize("is_seen_dead", [True, False])
def test_a_primary_that_was_started_anew_is_replaced_by_what_it_was(is_seen_dead):
    """It counts in another history now: what its successor is measured by is what it told last."""
    world = replicated(spec=make_spec(policies={"data_loss_offset": 5}))
    world.nodes["n1"].offset = 104
    world.cycle()
    if is_seen_dead:
        kill_store(world)
        world.nodes["n2"].answer = world.nodes["n3"].answer = AgentAnswer.TIMEOUT
        world.cycle()
        world.nodes["n2"].answer = world.nodes["n3"].answer = AgentAnswer.ANSWERED
    restart_store(world)
    assert world.cycle().submissions == (), "what says that it is no primary is asked again"
    for _ in range(3):
        if world.sent == []:
            result = world.cycle(after_ms=2_000)
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]
    (loss,) = [it.loss for it in result.decision.proposals if it.action_kind == STORE_PROMOTE]
    assert loss.known_min == 4
    world.work()
    for _ in range(2):
        world.cycle()
    assert world.state.appointed == {SHARD: "n2"} and world.state.led == {}


def test_what_a_restarted_primary_had_bounds_the_loss_of_its_successor():
    world = replicated(spec=make_spec(policies={"data_loss_offset": 3}))
    world.nodes["n1"].offset = 104
    world.cycle()
    restart_store(world)
    for _ in range(5):
        result = world.cycle(after_ms=2_000)
    assert world.sent == [] and "loss_bounded" in against(result, "failover")


def test_what_a_restarted_copy_had_bounds_the_loss_too():
    """n2 had more than the primary told, and is started anew before it could take over."""
    world = replicated(spec=make_spec(policies={"data_loss_offset": 3}))
    restart_store(world)
    world.nodes["n2"].offset = 104
    world.cycle()
    world.nodes["n2"].history = "anew, too"
    for _ in range(5):
        result = world.cycle(after_ms=2_000)
    assert world.sent == [] and "loss_bounded" in against(result, "failover")
