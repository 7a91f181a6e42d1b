"""Who calls itself primary and was replaced by nobody keeps its data: whole cycles."""

from __future__ import annotations

import msgspec
import pytest
from orchestrate_builders import (
    SHARD,
    FakeNode,
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
from replicante.model.actions import NActionPhase
from replicante.model.converge_state import ConvergeState
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight

BOUNDED = {"policies": {"data_loss_offset": 0}}
NOWHERE = "nowhere"
"""Whom a server follows that was started anew and was told nothing yet."""


def empty(node_id: str) -> FakeNode:
    return FakeNode(node_id, role=ShardRole.PRIMARY, offset=0, history="empty")


def real(node_id: str, **fields) -> FakeNode:
    return FakeNode(node_id, role=ShardRole.PRIMARY, offset=9_000_000, history="real", **fields)


def copy_of(node_id: str, primary: str) -> FakeNode:
    return FakeNode(node_id, follows=primary, offset=9_000_000, history="real")


def hidden(*, mode: str = "active", copy: str = "n3", right: str = "n2") -> World:
    """n1 is an empty primary; the agent of the right one is silent in the first look."""
    world = World(
        empty("n1"),
        real(right, answer=AgentAnswer.TIMEOUT),
        copy_of(copy, right),
        spec=make_spec(mode=mode, **BOUNDED),
    )
    world.cycle()
    world.cycle()
    return world


def live(world: World, *, count: int = 8) -> list[tuple[str, str]]:
    """What is sent in a while, everything carried out."""
    sent: list[tuple[str, str]] = []
    for _ in range(count):
        sent += sent_kinds(world.cycle(after_ms=12_000))
        world.work()
    return sent


@pytest.mark.parametrize(("copy", "right"), [("n3", "n2"), ("n2", "n3")])
def test_the_right_primary_is_not_demoted_because_another_one_was_seen_first(copy, right):
    world = hidden(copy=copy, right=right)
    assert world.state.appointed == {}, "who is alone among those who told is appointed by nobody"
    world.nodes[right].answer = AgentAnswer.ANSWERED
    assert live(world) == []
    assert "primary_disputed" in condition_names(world.cycle())
    assert [world.nodes[it].offset for it in (right, copy)] == [9_000_000] * 2


def test_a_claim_that_was_only_observed_counts_no_more_when_automation_is_switched_on():
    world = hidden(mode="observe")
    world.nodes["n2"].answer = AgentAnswer.ANSWERED
    world.cycle()
    world.spec = make_spec(mode="active", **BOUNDED)
    assert live(world) == []


def test_a_primary_that_discovery_learns_of_later_waits_for_a_person_and_so_does_its_copy():
    world = World(empty("n1"), spec=make_spec(**BOUNDED))
    world.cycle()
    assert world.state.appointed == {SHARD: "n1"}
    world.nodes |= {"n2": copy_of("n2", "n3"), "n3": real("n3")}
    world.rediscover()
    result = world.cycle()
    assert outcomes(result, "rejoin") == ["awaits_approval"]
    assert against(result, "rejoin") == {"claims_respected"}
    (asked,) = [it for it in result.decision.proposals if it.step == "rejoin"]
    assert asked.node_id == "n3" and "9000000 bytes of history real" in asked.loss.text
    assert live(world) == []


def test_what_a_person_approves_of_a_claim_is_done_and_then_its_copy_moves():
    world = World(empty("n1"), spec=make_spec(**BOUNDED))
    world.cycle()
    world.nodes |= {"n2": copy_of("n2", "n3"), "n3": real("n3")}
    world.rediscover()
    world.cycle()
    (waiting,) = [it for it in world.nactions if it.phase is NActionPhase.PENDING_APPROVE]
    world.put(msgspec.structs.replace(waiting, phase=NActionPhase.PENDING_SCHEDULE))
    assert live(world) == [(STORE_REJOIN, "n3"), (STORE_REJOIN, "n2")]
    assert world.state.claimed == {}


@pytest.mark.parametrize("is_first", [True, False])
def test_the_wrong_one_that_a_person_has_follow_is_believed_to_have_yielded(is_first):
    n1, n2 = empty("n1"), real("n2", answer=AgentAnswer.TIMEOUT)
    world = World(n1, *([n2] if is_first else []), spec=make_spec(**BOUNDED))
    world.cycle()
    world.nodes["n2"], n2.answer = n2, AgentAnswer.ANSWERED
    world.rediscover()
    world.cycle()
    n1.role, n1.follows, n1.history = ShardRole.SECONDARY, "n2", "real"
    assert live(world) == []
    assert world.state.appointed == {SHARD: "n2"} and world.state.claimed == {}


def test_a_look_torn_by_a_failover_by_hand_demotes_nobody():
    world = replicated(spec=make_spec(**BOUNDED))
    n1, n2, n3 = world.nodes.values()
    n2.role, n2.follows, n3.follows = ShardRole.PRIMARY, None, "n2"
    result = world.cycle()
    assert sent_kinds(result) == [] and outcomes(result, "rejoin") == ["awaits_approval"]
    n1.role, n1.follows = ShardRole.SECONDARY, "n2"
    assert live(world) == [] and world.state.appointed == {SHARD: "n2"}
    assert (world.state.claimed, world.state.replaced) == ({}, {})
    assert {it.phase for it in world.nactions} == {NActionPhase.CANCELLED}


def test_a_right_primary_that_is_started_anew_is_not_taken_for_one_that_yielded():
    world = World(empty("n1"), spec=make_spec(**BOUNDED))
    world.cycle()
    world.nodes |= {"n2": real("n2"), "n3": copy_of("n3", "n2")}
    world.rediscover()
    world.cycle()
    n2, n3 = world.nodes["n2"], world.nodes["n3"]
    n2.role, n2.follows, n2.sight = ShardRole.SECONDARY, NOWHERE, Sight.DOWN
    n3.sight = Sight.DOWN
    assert live(world) == []
    assert against(world.cycle(), "rejoin") == {"claims_respected"}


def test_an_appointed_primary_that_is_started_anew_beside_an_empty_one_keeps_its_data():
    world = replicated(spec=make_spec(**BOUNDED))
    n1, n2, n3 = world.nodes.values()
    n2.role, n2.follows, n2.history, n2.offset = ShardRole.PRIMARY, None, "empty", 0
    n1.role, n1.follows, n1.sight, n3.sight = ShardRole.SECONDARY, NOWHERE, Sight.DOWN, Sight.DOWN
    assert live(world) == []
    assert world.state.claimed == {SHARD: ("n1",)}


def test_a_right_primary_that_died_or_hangs_is_neither_ended_nor_started_behind_another():
    for fault in (kill_store, hang_store):
        world = World(empty("n1"), spec=make_spec(**BOUNDED))
        world.cycle()
        world.nodes |= {"n2": real("n2"), "n3": copy_of("n3", "n2")}
        world.rediscover()
        world.cycle()
        fault(world, "n2")
        world.nodes["n3"].sight = Sight.DOWN
        assert live(world) == []
        assert against(world.cycle(), "rejoin") == {"claims_respected"}


def test_a_copy_of_a_node_that_was_never_seen_is_not_torn_from_it():
    world = hidden()
    world.nodes["n3"].sight = Sight.DOWN
    world.nodes["n4"] = copy_of("n4", "n3")
    world.nodes["n4"].sight = Sight.DOWN
    world.rediscover()
    assert live(world) == []
    result = world.cycle()
    assert outcomes(result, "rejoin") == ["awaits_approval", "denied"]
    assert against(result, "rejoin") == {"claims_respected"}


def test_a_claim_that_fell_silent_leaves_the_other_one_disputed():
    world = World(empty("n1"), real("n2"), spec=make_spec(**BOUNDED))
    world.cycle()
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    for _ in range(5):
        result = world.cycle()
    assert "primary_disputed" in condition_names(result) and world.state.appointed == {}


def test_a_node_that_was_never_seen_does_not_stand_in_the_way_of_a_failover():
    world = World(
        FakeNode("n1", role=ShardRole.PRIMARY),
        *(FakeNode(it, follows="n1") for it in ("n2", "n3")),
        FakeNode("n4", follows="n1", answer=AgentAnswer.TIMEOUT),
    )
    world.cycle()
    assert world.state.appointed == {}
    kill_store(world)
    sent = live(world)
    assert sent == [(STORE_PROMOTE, "n2"), (STORE_REJOIN, "n3"), (STORE_REJOIN, "n1")]
    assert world.state.appointed == {SHARD: "n2"}


def test_a_primary_that_nobody_was_appointed_is_replaced_by_what_it_had_when_it_started_anew():
    world = World(
        FakeNode("n1", role=ShardRole.PRIMARY),
        *(FakeNode(it, follows="n1") for it in ("n2", "n3")),
        FakeNode("n4", follows="n1", answer=AgentAnswer.TIMEOUT),
    )
    world.cycle()
    n1, n2, n3, _ = world.nodes.values()
    n1.role, n1.follows, n1.history = ShardRole.SECONDARY, NOWHERE, "new"
    n1.sight = n2.sight = n3.sight = Sight.DOWN
    assert live(world, count=6)[0] == (STORE_PROMOTE, "n2")


def replaced() -> World:
    """n2 was promoted in the place of n1, whose agent is silent since then."""
    world = replicated(spec=make_spec(**BOUNDED))
    kill_store(world)
    world.cycle()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    live(world)
    assert world.state.replaced == {SHARD: {"n1": "n2"}}
    return world


def come_back(world: World, role: ShardRole, follows: str | None) -> None:
    n1 = world.nodes["n1"]
    n1.answer, n1.contact, n1.status = (
        AgentAnswer.ANSWERED,
        StoreContact.ANSWERS,
        NodeStatus.HEALTHY,
    )
    n1.role, n1.follows, n1.sight = role, follows, Sight.DOWN


@pytest.mark.parametrize(
    ("role", "follows"), [(ShardRole.PRIMARY, None), (ShardRole.SECONDARY, NOWHERE)]
)
def test_one_that_we_replaced_rejoins_by_itself_however_late_it_comes_back(role, follows):
    world = replaced()
    come_back(world, role, follows)
    result = world.cycle(after_ms=600_000)
    assert sent_kinds(result) == [(STORE_REJOIN, "n1")]
    world.work()
    world.cycle()
    assert (world.state.claimed, world.state.replaced) == ({}, {})


def test_one_that_waited_as_a_replica_of_nobody_before_it_claims_is_still_known_as_replaced():
    world = replaced()
    come_back(world, ShardRole.SECONDARY, NOWHERE)
    world.cycle(is_sent=False)
    world.records = {key: it for key, it in world.records.items() if not hasattr(it, "action_id")}
    come_back(world, ShardRole.PRIMARY, None)
    assert (STORE_REJOIN, "n1") in live(world)


def test_one_that_we_replaced_and_that_hangs_is_ended_and_then_rejoins():
    world = replaced()
    come_back(world, ShardRole.PRIMARY, None)
    world.cycle(observations=())
    hang_store(world)
    kinds = live(world)
    assert kinds[0] == (STORE_FENCE, "n1") and kinds[1] == (STORE_REJOIN, "n1")


def test_one_whose_successor_died_too_is_still_known():
    world = replicated(5, spec=make_spec(policies={"data_loss_offset": 0, "quiet_period": "0s"}))
    for node_id, successor in (("n1", "n2"), ("n2", "n3")):
        kill_store(world, node_id)
        assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, successor)]
        world.nodes[node_id].answer = AgentAnswer.TIMEOUT
        live(world)
    assert world.state.replaced == {SHARD: {"n1": "n2", "n2": "n3"}}
    come_back(world, ShardRole.PRIMARY, None)
    assert live(world) == [(STORE_REJOIN, "n1")]


def test_a_claim_that_waits_for_a_person_keeps_nobody_who_waits_for_none():
    world = replaced()
    world.nodes["n0"] = real("n0")
    world.rediscover()
    world.cycle(after_ms=60_000)
    assert against(world.cycle(), "rejoin") == {"claims_respected"}
    come_back(world, ShardRole.PRIMARY, None)
    assert live(world) == [(STORE_REJOIN, "n1")]


def test_one_that_followed_and_claims_later_by_another_hand_waits_for_a_person():
    world = replaced()
    come_back(world, ShardRole.PRIMARY, None)
    live(world)
    assert world.nodes["n1"].follows == "n2"
    world.nodes["n1"].role, world.nodes["n1"].follows = ShardRole.PRIMARY, None
    assert live(world) == []
    assert against(world.cycle(), "rejoin") == {"claims_respected"}


def test_a_memory_of_the_code_before_is_read_and_keeps_its_bytes():
    state = ConvergeState(ns_id="default", cluster_id="c", appointed={SHARD: "n1"})
    value = state.to_value()
    assert not {"replaced", "claimed"} & value.keys()
    assert ConvergeState.from_value(value) == state
