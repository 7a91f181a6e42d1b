"""An action that was cancelled, and that its agent has still, disturbs as one that was not."""

from __future__ import annotations

import msgspec
import pytest
from by_name_order_asks import order, the_order
from orchestrate_builders import NS, World, against, kill_store, outcomes, replicated, sent_kinds

from replicante.model.action_kinds import CORE_SWITCHOVER, SERVICE_RESTART, STORE_PROMOTE
from replicante.model.actions import NAction, NActionPhase, OActionPhase
from replicante.model.observation import AgentAnswer, SeenPhase


def cancelled(world: World, kind: str) -> NAction:
    """A person's action on n3, cancelled by that person when its agent had begun."""
    action = NAction(
        ns_id=NS,
        cluster_id="sessions",
        node_id="n3",
        action_id="a1",
        kind=kind,
        created_ms=1,
        created_wall_ms=1,
        sent_epoch=1,
        finished_ms=2,
        phase=NActionPhase.CANCELLED,
    )
    world.put(action)
    world.nodes["n3"].take(action, SeenPhase.RUNNING)
    return action


def test_nothing_disturbs_beside_it_until_its_agent_has_ended_it():
    world = replicated()
    action = cancelled(world, SERVICE_RESTART)
    kill_store(world)
    result = world.cycle()
    assert result.submissions == () and outcomes(result, "failover") == ["denied"]
    assert against(result, "failover") == {"one_disruption"}
    assert [it.action_id for it in result.cancels] == [action.action_id]
    world.nodes["n3"].end(action.action_id, SeenPhase.CANCELLED)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


@pytest.mark.parametrize("kind", ["example.com/backup", "agent.replicante.io/test.loop"])
def test_one_that_disturbs_nothing_stands_in_nobodys_way(kind):
    world = replicated()
    cancelled(world, kind)
    kill_store(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def cancelled_at_a_silent_agent() -> World:
    """A promotion left for n2, which fell silent; then a person cancelled it."""
    world = replicated(4)
    kill_store(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    (sent,) = world.nactions
    world.put(msgspec.structs.replace(sent, phase=NActionPhase.CANCELLED, finished_ms=1))
    return world


def test_one_at_a_silent_agent_may_run_still_so_a_person_is_asked():
    world = cancelled_at_a_silent_agent()
    for _ in range(5):
        result = world.cycle(after_ms=30_000)
        assert result.submissions == ()
    assert against(result, "failover") == {"one_disruption"}
    assert outcomes(result, "failover") == ["awaits_approval"]


def test_what_its_agent_has_no_more_is_forgotten():
    world = cancelled_at_a_silent_agent()
    world.cycle(after_ms=30_000)
    world.nodes["n2"].answer, world.nodes["n2"].actions = AgentAnswer.ANSWERED, {}
    assert world.cycle(after_ms=600_000).submissions == ()
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]
    world.work()
    world.cycle()
    assert STORE_PROMOTE not in {it.kind for it in world.state.sent.values()}


def test_what_its_agent_has_still_is_waited_for():
    world = cancelled_at_a_silent_agent()
    world.cycle(after_ms=30_000)
    world.nodes["n2"].answer = AgentAnswer.ANSWERED
    result = world.cycle()
    assert result.submissions == () and outcomes(result, "failover") == ["denied"]
    assert [it.node_id for it in result.cancels] == ["n2"]


def test_one_at_a_node_that_left_discovery_is_forgotten():
    world = cancelled_at_a_silent_agent()
    world.cycle(after_ms=30_000)
    del world.nodes["n2"]
    world.rediscover()
    world.cycle()
    world.cycle(after_ms=30_000)
    assert {it.node_id for it in world.state.sent.values()} == {"n3"}


def test_what_disturbs_nothing_is_not_remembered():
    world = replicated()
    world.put(
        NAction(
            ns_id=NS,
            cluster_id="sessions",
            node_id="n3",
            action_id="a1",
            kind="example.com/backup",
            created_ms=1,
            created_wall_ms=1,
            phase=NActionPhase.PENDING_SCHEDULE,
        )
    )
    assert [it.kind for it in world.cycle().submissions] == ["example.com/backup"]
    assert world.state.sent == {}


def test_an_agent_in_doubt_is_not_believed_that_it_has_it_no_more():
    """Two processes answer for n1, in turn, and one of them has it: a person is asked whether to go
    past that node, which no look would come to while one shows it and the next one its end."""
    world = replicated(4, incarnation="a", boot="1")
    order(world, CORE_SWITCHOVER, to="n2")
    world.cycle()
    (left,) = world.nactions
    world.put(msgspec.structs.replace(left, phase=NActionPhase.CANCELLED, finished_ms=1))
    world.put(msgspec.structs.replace(the_order(world), phase=OActionPhase.CANCELLED))
    kill_store(world)
    node = world.nodes["n1"]
    kept, asked = dict(node.actions), []
    for look in range(12):
        node.actions = {} if look % 2 else dict(kept)
        node.boot, node.incarnation = ("2", "b") if look % 2 else ("1", "a")
        result = world.cycle(after_ms=3_000)
        assert result.submissions == ()
        assert look < 2 or left.action_id in world.state.sent
        asked += outcomes(result, "failover")
    assert "awaits_approval" in asked
