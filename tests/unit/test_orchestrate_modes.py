"""Modes, windows, other controllers, unfenced agents, approval: who may act at all, in whole
cycles."""

from __future__ import annotations

import pytest
from orchestrate_builders import (
    CLUSTER,
    NS,
    FakeNode,
    World,
    against,
    condition_names,
    hang_store,
    kill_store,
    make_spec,
    outcomes,
    replicated,
)

from replicante.errors import Invalid
from replicante.model.modes import read_mode
from replicante.model.namespace import Namespace, read_namespace
from replicante.model.node import NodeStatus
from replicante.model.violations import Violations
from replicante.orchestrate.safety import rules


def virgin(node_id):
    return FakeNode(node_id, status=NodeStatus.NOT_IN_CLUSTER, role=None)


def test_observe_says_what_would_have_been_done():
    world = replicated(spec=make_spec(mode="observe"))
    kill_store(world)
    result = world.cycle()
    assert result.submissions == () and world.nactions == []
    assert outcomes(result, "failover") == ["would_do"]
    assert against(result, "failover") == {"mode_active"}


def test_every_rule_judges_every_proposal_also_when_nothing_is_done():
    world = replicated(spec=make_spec(mode="observe"))
    kill_store(world)
    for record in world.cycle().decision.proposals:
        assert [it.rule for it in record.verdicts] == [rule.name for rule in rules.RULES]
        assert all(it.reason for it in record.verdicts)


def test_an_ended_mode_acts_no_more():
    until = {"mode": "active", "until": "2026-12-05T00:00:30Z"}
    world = replicated(spec=make_spec(mode=until))
    world.cycle(after_ms=30_000)
    kill_store(world)
    assert outcomes(world.cycle(), "failover") == ["would_do"]


def test_planned_work_waits_for_its_window_a_recovery_does_not():
    window = {"days": ["mon"], "start": "02:00", "duration": "1h"}
    declared = {"maintenance_windows": [window], "expand": {"mode": "Join"}}
    world = replicated(spec=make_spec(**declared))
    world.nodes["n4"] = virgin("n4")
    world.rediscover()
    assert against(world.cycle(), "cluster_expand") == {"maintenance_window"}
    kill_store(world)
    assert outcomes(world.cycle(), "failover") == ["done"]


def test_beside_sentinel_roles_are_left_alone():
    world = replicated(controllers=("sentinel",))
    kill_store(world)
    for _ in range(5):
        result = world.cycle(after_ms=10_000)
    assert world.sent == [] and "no_foreign_controller" in against(result, "failover")
    assert "foreign_controller" in condition_names(result)


def test_unfenced_agents_are_acted_on_only_when_that_is_declared():
    for is_allowed, expected in ((False, "denied"), (True, "done")):
        world = replicated(spec=make_spec(allow_unfenced=is_allowed), is_fenced=False)
        kill_store(world)
        result = world.cycle()
        assert outcomes(result, "failover") == [expected]
        assert result.decision.unfenced == ("n1", "n2", "n3")


def test_required_approval_holds_every_act():
    world = replicated(spec=make_spec(approval="required"))
    kill_store(world)
    for _ in range(3):
        result = world.cycle(after_ms=20_000)
        assert outcomes(result, "failover") == ["awaits_approval"]
    assert result.submissions == () and len(world.nactions) == 1
    assert (world.nactions[0].ns_id, world.nactions[0].cluster_id) == (NS, CLUSTER)


def test_the_protective_policy_travels_with_every_role():
    spec = make_spec(
        policies={"protect_writes": True},
        initialise={"mode": "SingleNode"},
        expand={"mode": "Join"},
        graces={"init": "1s", "expand": "1s"},
    )
    world = World(virgin("n1"), virgin("n2"), virgin("n3"), spec=spec)
    for _ in range(8):
        world.cycle()
        world.work()
    kill_store(world)
    for _ in range(8):
        world.cycle(after_ms=3_000)
        world.work()
    assert len({it.kind for it in world.sent}) == 4
    assert all(it.args["protect_writes"] is True for it in world.sent)


def test_looks_come_closer_while_something_is_suspected_or_moves():
    world = replicated()
    assert world.cycle().next_look_ms == 60_000
    hang_store(world)
    assert world.cycle().next_look_ms == 250
    for _ in range(3):
        result = world.cycle(after_ms=2_000)
    assert (len(world.sent), result.next_look_ms) == (1, 250)


def within(mode):
    return Namespace(name=NS, mode=read_mode(mode, ("spec", "mode"), Violations()))


@pytest.mark.parametrize(
    ("of_namespace", "of_cluster", "in_force"),
    [
        ("active", "active", "active"),
        ("active", "observe", "observe"),
        ("observe", "active", "observe"),
        ("paused", "active", "paused"),
        ("paused", "observe", "paused"),
        ("observe", "paused", "paused"),
    ],
)
def test_the_stricter_of_cluster_and_namespace_is_in_force(of_namespace, of_cluster, in_force):
    world = replicated(spec=make_spec(mode=of_cluster))
    world.namespace = within(of_namespace)
    kill_store(world)
    result = world.cycle()
    assert result.decision.mode == in_force
    if in_force != of_cluster:
        assert result.decision.mode_reason.startswith("of the namespace: ")


def test_a_pause_of_a_namespace_says_who_why_and_ends_in_watching():
    world = replicated()
    pause = {"mode": "paused", "actor": "ann", "reason": "move", "until": "2026-12-05T00:00:30Z"}
    world.namespace = within(pause)
    decision = world.cycle().decision
    assert (decision.mode, decision.mode_reason) == ("paused", "of the namespace: ann: move")
    decision = world.cycle(after_ms=60_000).decision
    assert decision.mode == "observe"
    assert decision.mode_reason == "of the namespace: paused ended by itself"


def test_a_stored_namespace_without_a_mode_withholds_nothing():
    spec = Namespace(name=NS).to_spec()
    del spec["mode"]
    assert Namespace.from_spec(spec).mode is None
    assert Namespace.from_spec(within("paused").to_spec()) == within("paused")


def test_a_mode_of_a_namespace_that_is_none_is_refused():
    violations = Violations()
    document = {"id": NS, "mode": {"mode": "off", "until": "tomorrow", "x": 1}}
    read_namespace(document, metadata_name=None, violations=violations)
    with pytest.raises(Invalid) as refused:
        violations.raise_if_any()
    paths = {it["path"] for it in refused.value.details["violations"]}
    assert paths == {"spec.mode.mode", "spec.mode.until", "spec.mode.x"}
