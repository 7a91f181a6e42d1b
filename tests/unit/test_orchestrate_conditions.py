"""What is wrong with a cluster, by name: it holds in its situation, says why, and clears itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from orchestrate_builders import SHARD, FakeNode, World, condition_names, hang_store

from replicante.model.node import WRITES_REFUSED, NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer, Observation
from replicante.model.shard import ShardRole, Sight

TOLD = "Sentinels name n2:6379; this server was not told and refuses every write"


@dataclass
class Node(FakeNode):
    otherwise: dict = field(default_factory=dict)
    """What an observation of it says in the place of what it is."""

    def observe(self, at_ms: int, asked: list[str]) -> Observation:
        return msgspec.structs.replace(super().observe(at_ms, asked), **self.otherwise)


def running() -> World:
    """n1 is primary, two follow it; seen once, and nothing is wrong."""
    world = World(
        Node("n1", role=ShardRole.PRIMARY), Node("n2", follows="n1"), Node("n3", follows="n1")
    )
    assert condition_names(world.cycle()) == set()
    return world


def agent_unreachable(world):
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    return "n2", {"answer": "timeout"}


def agent_unfenced(world):
    world.nodes["n2"].is_fenced = False
    return "n2", {"is_fenced": False}


def node_unhealthy(world):
    world.nodes["n2"].status = NodeStatus.UNHEALTHY
    return "n2", {"status": "UNHEALTHY", "reason": None}


def node_status_unknown(world):
    world.nodes["n2"].status = NodeStatus.UNKNOWN
    return "n2", {"status": "UNKNOWN", "reason": None}


def primary_suspect(world):
    hang_store(world)
    witnesses = {"n2": "down", "n3": "down"}
    evidence = {"node_id": "n1", "claimants": [], "proof": "none", "witnesses": witnesses}
    return f"shard/{SHARD}", evidence


def offset_went_back(world):
    before = world.nodes["n1"].offset
    world.nodes["n1"].offset = before - 1
    return f"shard/{SHARD}", {"before": before, "after": before - 1}


def data_incomplete(world):
    world.nodes["n2"].otherwise = {"store_attributes": None, "store_error": "status 500"}
    return "n2", {"not_read": ["store"]}


def writes_refused(world):
    world.nodes["n1"].otherwise = {"store_attributes": {WRITES_REFUSED: TOLD}}
    return "n1", {"told": TOLD}


SITUATIONS: dict[str, Callable] = {
    it.__name__: it
    for it in (
        agent_unreachable,
        agent_unfenced,
        node_unhealthy,
        node_status_unknown,
        primary_suspect,
        offset_went_back,
        data_incomplete,
        writes_refused,
    )
}


def end(world: World) -> None:
    """Of whatever is wrong."""
    for node in world.nodes.values():
        node.answer, node.is_fenced, node.status = AgentAnswer.ANSWERED, True, NodeStatus.HEALTHY
        node.contact, node.sight, node.otherwise = StoreContact.ANSWERS, Sight.UP, {}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_condition_holds_in_its_situation_with_evidence_and_clears_by_itself(name):
    world = running()
    subject, evidence = SITUATIONS[name](world)
    (found,) = [it for it in world.cycle().conditions if it.name == name]
    if name == "offset_went_back":
        told = {it: copy["commit_offset"]["value"] for it, copy in found.evidence.items()}
    else:
        told = found.evidence
    assert (found.subject, told) == (subject, evidence)
    assert found.message and found.since_ms == world.now_ms
    end(world)
    assert name not in condition_names(world.cycle())


def test_refused_writes_are_told_with_the_way_out_and_change_nothing_else():
    world = running()
    writes_refused(world)
    for _ in range(3):
        result = world.cycle()
        assert result.submissions == () and result.decision.proposals == ()
    (found,) = result.conditions
    assert found.message == f"{TOLD}: have Sentinel reach it, or rejoin it"
    assert world.state.appointed == {SHARD: "n1"}


@pytest.mark.parametrize(
    "otherwise",
    [
        {"store_attributes": None, "store_error": "status 500"},
        {"store_attributes": {WRITES_REFUSED: None}},
        {"store_attributes": {}},
    ],
    ids=["not_fresh", "takes_them", "does_not_tell"],
)
def test_refused_writes_are_told_of_by_a_fresh_word_only(otherwise):
    world = running()
    writes_refused(world)
    assert "writes_refused" in condition_names(world.cycle())
    world.nodes["n1"].otherwise = otherwise
    assert "writes_refused" not in condition_names(world.cycle())
