"""A declared protection of writes that is changed reaches the nodes of a running cluster."""

from __future__ import annotations

import pytest
from orchestrate_builders import (
    CLUSTER,
    FakeNode,
    World,
    kill_store,
    make_spec,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import STORE_PROMOTE, STORE_PROTECT
from replicante.model.node import NodeStatus
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight

STEP = "protect_writes"


def running(*, is_protecting: bool | None, is_wanted: bool, **declared) -> World:
    """Three nodes that have what was declared before; n1 leads."""
    spec = make_spec(policies={"protect_writes": is_wanted}, **declared)
    world = replicated(spec=spec)
    for node in world.nodes.values():
        node.is_protecting = is_protecting
    return world


def told(world: World) -> dict[str, bool | None]:
    return {node.node_id: node.is_protecting for node in world.nodes.values()}


@pytest.mark.parametrize("is_wanted", [True, False])
def test_it_reaches_one_node_after_another_and_the_primary_last(is_wanted):
    world = running(is_protecting=not is_wanted, is_wanted=is_wanted)
    for _ in range(8):
        world.cycle()
        world.work()
    assert [(it.kind, it.node_id) for it in world.sent] == [
        (STORE_PROTECT, "n2"),
        (STORE_PROTECT, "n3"),
        (STORE_PROTECT, "n1"),
    ]
    assert all(it.args == {"protect_writes": is_wanted} for it in world.sent)
    assert told(world) == dict.fromkeys(("n1", "n2", "n3"), is_wanted)
    for _ in range(3):
        assert world.cycle(after_ms=60_000).submissions == ()


def test_the_next_node_waits_until_the_one_before_tells_that_it_has_it():
    world = running(is_protecting=False, is_wanted=True)
    first = world.cycle()
    for _ in range(5):
        assert world.cycle().submissions == (), "the action runs"
    world.nodes["n2"].end(first.submissions[0].action_id)
    for _ in range(20):
        sent = world.cycle().submissions
        assert {it.node_id for it in sent} <= {"n2"}, "it is done, and nothing is seen of it"
    world.work()
    assert sent_kinds(world.cycle()) == [(STORE_PROTECT, "n3")]


def test_a_primary_that_no_copy_hears_is_not_made_to_refuse_every_write():
    world = running(is_protecting=False, is_wanted=True)
    for node_id in ("n2", "n3"):
        world.nodes[node_id].is_protecting = True
        world.nodes[node_id].sight = Sight.DOWN
    result = world.cycle()
    assert result.submissions == ()
    idle = next(it.reason for it in result.decision.idle if it.step == STEP)
    assert "no copy hears n1" in idle
    world.nodes["n3"].sight = Sight.UP
    assert sent_kinds(world.cycle()) == [(STORE_PROTECT, "n1")]


def test_a_copy_that_is_still_being_made_is_no_witness_for_the_primary():
    world = running(is_protecting=False, is_wanted=True)
    for node_id in ("n2", "n3"):
        node = world.nodes[node_id]
        node.is_protecting, node.role = True, ShardRole.RECOVERING
        node.status = NodeStatus.JOINING_CLUSTER
    assert world.cycle().submissions == ()


@pytest.mark.parametrize("is_machine_gone", [False, True])
def test_one_that_is_under_way_stands_in_the_way_of_no_recovery(is_machine_gone):
    world = running(is_protecting=True, is_wanted=True)
    world.nodes["n1"].is_protecting = False
    assert sent_kinds(world.cycle()) == [(STORE_PROTECT, "n1")]
    kill_store(world)
    if is_machine_gone:
        world.nodes["n1"].answer = AgentAnswer.REFUSED
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_who_does_not_tell_is_not_asked():
    world = running(is_protecting=None, is_wanted=True)
    result = world.cycle()
    assert result.submissions == ()
    assert any(it.step == STEP for it in result.decision.idle)


def test_it_waits_while_the_state_of_a_node_is_not_known():
    world = running(is_protecting=False, is_wanted=True)
    kill_store(world, "n2")
    assert [it for it in world.cycle().submissions if it.kind == STORE_PROTECT] == []
    for _ in range(12):
        world.work()
        world.cycle(after_ms=10_000)
    assert told(world) == dict.fromkeys(("n1", "n2", "n3"), True)


def test_it_is_planned_work_that_may_be_switched_off():
    world = running(is_protecting=False, is_wanted=True, steps={STEP: False})
    assert world.cycle().submissions == ()
    closed = [{"days": ["mon"], "start": "03:00", "duration": "1m"}]
    world = running(is_protecting=False, is_wanted=True, maintenance_windows=closed)
    assert world.cycle().submissions == ()


def test_another_node_waits_for_the_whole_of_the_first():
    """Only one is ever proposed: what goes wrong there happens to no other."""
    world = World(
        *(FakeNode(f"n{i}", role=None, status=NodeStatus.NOT_IN_CLUSTER) for i in (1, 2)),
        spec=make_spec(policies={"protect_writes": True}),
    )
    assert world.cycle().submissions == () and world.spec.cluster_id == CLUSTER
    world = running(is_protecting=False, is_wanted=True)
    result = world.cycle()
    assert len([it for it in result.decision.proposals if it.step == STEP]) == 1
