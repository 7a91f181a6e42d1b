"""An agent that lies or talks nonsense costs itself its voice, never the cluster its cycle."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrate_builders import condition_names, kill_store, outcomes
from test_orchestrate_over_state import replicated

from replicante.limits import (
    OBSERVATION_BYTES_MAX,
    OBSERVED_ACTION_BYTES_MAX,
    OBSERVED_SHARDS_MAX,
)
from replicante.model.node import NodeDetails, NodeStatus
from replicante.model.observation import (
    AgentAnswer,
    Observation,
    SeenAction,
    SeenNode,
    SeenPhase,
    SeenShard,
)
from replicante.model.shard import Offset, ShardRole
from replicante.orchestrate.looking.trust import trusted


def shard(shard_id="0", **fields):
    return SeenShard(shard_id=shard_id, role=ShardRole.SECONDARY, **fields)


def node(**attributes):
    return SeenNode(status=NodeStatus.HEALTHY, details=NodeDetails(attributes=attributes))


LIES = {
    "no node": {"node": None},
    "a shard without a name": {"shards": (shard(""),)},
    "a shard with a line end in its name": {"shards": (shard("a\nb"),)},
    "a shard with a name too long to keep": {"shards": (shard("x" * 129),)},
    "a shard with half a character": {"shards": (shard("\ud800"),)},
    "a shard twice": {"shards": (shard(), shard())},
    "too many shards": {"shards": tuple(shard(f"s{i}") for i in range(OBSERVED_SHARDS_MAX + 1))},
    "an offset beyond 64 bits": {"shards": (shard(commit_offset=Offset(value=1 << 70)),)},
    "a number that is none": {"node": node(x=math.nan)},
    "a lone surrogate": {"node": node(x="\ud800")},
    "a novel": {"node": node(x="x" * OBSERVATION_BYTES_MAX)},
}


def lying(world, node_id, **lie):
    return tuple(
        msgspec.structs.replace(it, **lie) if it.node_id == node_id else it
        for it in world.inputs().observations
    )


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_garbage_and_the_cycle_is_stored(lie):
    world = replicated()
    world.now_ms += 1_000
    result = world.cycle(observations=lying(world, "n3", **LIES[lie]))
    assert "agent_garbage" in condition_names(result)
    assert {it.node_id: str(it.node_status) for it in world.stored().nodes} == {
        "n1": "HEALTHY",
        "n2": "HEALTHY",
        "n3": "UNREACHABLE",
    }


@pytest.mark.parametrize("name", ["TOPIC/PARTITION", "a b", "../../etc", "ключ#1", "{0}", "%2F"])
def test_a_shard_is_named_as_its_store_names_it(name):
    world = replicated()
    world.now_ms += 1_000
    world.cycle(observations=lying(world, "n3", shards=(shard(name),)))
    assert name in {it.shard_id for it in world.stored().shards if it.node_id == "n3"}


def test_names_that_fit_alone_and_not_together_are_garbage():
    long = "x" * 128
    answered = Observation(
        node_id=long,
        at_ms=1,
        answer=AgentAnswer.ANSWERED,
        node=node(),
        shards=(shard(long),),
    )
    assert trusted(answered, scope=("n", "c")).answer is AgentAnswer.ANSWERED
    assert trusted(answered, scope=(long, long)).answer is AgentAnswer.GARBAGE


def test_a_lying_agent_does_not_keep_the_others_from_being_decided_on():
    world = replicated()
    kill_store(world)
    result = world.cycle(observations=lying(world, "n3", shards=(shard(""),)))
    assert outcomes(result, "failover") == ["awaits_approval"], "one of two copies is no majority"


@pytest.mark.parametrize(
    "action",
    [
        {"action_id": "a b"},
        {"action_id": "x" * 200},
        {"payload": "x" * OBSERVED_ACTION_BYTES_MAX},
        {"args": {"x": math.inf}},
    ],
)
def test_an_action_that_cannot_be_stored_is_left_out_alone(action):
    world = replicated()
    fields = {"action_id": "a", "kind": "a/b", "phase": SeenPhase.DONE, "created_wall_ms": 1}
    seen = SeenAction(**{**fields, **action})
    result = world.cycle(observations=lying(world, "n3", actions=(seen,)))
    assert "agent_garbage" not in condition_names(result)
    assert world.actions() == []


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


texts = st.text(st.characters() | st.just("\ud800"), max_size=5)


@given(values, texts, st.sampled_from(AgentAnswer))
def test_what_is_trusted_can_be_stored_whatever_it_was(value, text, answer):
    found = trusted(
        msgspec.structs.replace(
            OBSERVATION,
            answer=answer,
            message=text,
            node=node(x=value),
            shards=(shard(text),),
        ),
        scope=("default", "sessions"),
    )
    found.encode()
    if found.answer is not AgentAnswer.ANSWERED:
        assert (found.node, found.shards) == (None, None)


OBSERVATION = replicated().inputs().observations[0]
