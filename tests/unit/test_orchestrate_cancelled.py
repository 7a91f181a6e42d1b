"""An action that was cancelled, and that its agent has still, disturbs as one that was not."""

from __future__ import annotations

import pytest
from orchestrate_builders import NS, World, against, kill_store, outcomes, replicated, sent_kinds

from replicante.model.action_kinds import SERVICE_RESTART, STORE_PROMOTE
from replicante.model.actions import NAction, NActionPhase
from replicante.model.observation import SeenPhase


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
