"""For every safety rule a situation in which it alone stands in the way: without it, it happens."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from by_name_asks import hanging_primary_asked_to_hand_over
from orchestrate_builders import (
    CLUSTER,
    NS,
    SHARD,
    FakeNode,
    World,
    against,
    double_agent,
    hang_store,
    kill_store,
    make_spec,
    replicated,
)

from replicante.model.action_kinds import (
    CLUSTER_JOIN,
    CLUSTER_REMOVE,
    PLATFORM_PROVISION,
    SERVICE_RESTART,
    STORE_PROMOTE,
)
from replicante.model.actions import NAction, NActionPhase, OAction, OActionPhase
from replicante.model.cluster_declaration import Step
from replicante.model.decision import Loss, Outcome, Ruling
from replicante.model.discovery import HeldDiscovery
from replicante.model.modes import Mode
from replicante.model.node import NodeStatus
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight
from replicante.orchestrate.proposal import Proposal, Purpose, Situation
from replicante.orchestrate.roles.primaries import assess_primaries
from replicante.orchestrate.safety import rules
from replicante.orchestrate.safety.case import Case
from replicante.orchestrate.view import build_view


def wanted(count: int) -> dict:
    return {
        "definition": {
            "store": "redis",
            "store_version": "6.2",
            "nodes": {"data": {"desired_count": count, "node_class": "small"}},
        }
    }


def virgin(node_id):
    return FakeNode(node_id, status=NodeStatus.NOT_IN_CLUSTER, role=None)


def situation_of(world: World, **changes) -> Situation:
    inputs = world.inputs()
    view = build_view(
        spec=inputs.spec,
        discovery=inputs.discovery,
        nodes=inputs.nodes,
        extras=inputs.extras,
        shards=inputs.shards,
        nactions=inputs.nactions,
        oactions=inputs.oactions,
    )
    observations = {it.node_id: it for it in inputs.observations}
    found = Situation(
        namespace=inputs.namespace,
        view=view,
        state=inputs.state,
        observations=observations,
        primaries=assess_primaries(view, inputs.state, observations, now_ms=inputs.now_ms),
        mode=Mode.ACTIVE,
        mode_reason="",
        is_platform_usable=True,
        epoch=inputs.epoch,
        sent_ids=inputs.sent_ids,
        now_ms=inputs.now_ms,
        wall_now_ms=inputs.wall_now_ms,
    )
    return dataclasses.replace(found, **changes)


def judged(proposal: Proposal, situation: Situation) -> set[str]:
    case = Case(proposal=proposal, situation=situation, earlier=(), doing=())
    return {it.rule for it in rules.judge(case) if it.ruling is not Ruling.ALLOW}


def promotion(**changes) -> Proposal:
    fields = {
        "step": Step.FAILOVER,
        "action_kind": STORE_PROMOTE,
        "node_id": "n2",
        "args": {"shard_id": SHARD, "replaces": "n1", "offset": 100},
        "shard_id": SHARD,
        "spared": ("n1",),
        "effect": "",
        "loss": Loss(is_none=False, known_min=0, unit="bytes", text=""),
        "purpose": Purpose.RECOVERY,
    }
    return Proposal(**{**fields, **changes})


def dead_primary(**spec) -> World:
    world = replicated(spec=make_spec(**spec))
    kill_store(world)
    return world


def after_cycle(world: World, step: str = "failover") -> set[str]:
    return against(world.cycle(), step)


def naction(node_id, kind):
    return NAction(
        ns_id=NS,
        cluster_id=CLUSTER,
        node_id=node_id,
        action_id="a1",
        kind=kind,
        created_ms=1,
        created_wall_ms=1,
        phase=NActionPhase.RUNNING,
        sent_epoch=1,
    )


def with_naction(world: World, node_id: str, kind: str) -> World:
    action = naction(node_id, kind)
    world.put(action)
    world.nodes[node_id].take(action, "RUNNING")
    return world


def maintenance_window():
    window = {"days": ["mon"], "start": "02:00", "duration": "1h"}
    world = replicated(spec=make_spec(maintenance_windows=[window], expand={"mode": "Join"}))
    world.nodes["n4"] = virgin("n4")
    world.rediscover()
    return after_cycle(world, "cluster_expand")


def platform_usable():
    world = replicated()
    world.spec, world.is_platform_usable = make_spec(**wanted(5)), False
    return after_cycle(world, "scale_up")


def worker_owns_cluster():
    world = replicated()
    kill_store(world)
    world.cycle(is_sent=False, observations=())
    situation = situation_of(world)
    newer = dataclasses.replace(situation, epoch=situation.state.epoch - 1)
    proposal = Proposal(
        step=Step.SCALE_UP, action_kind=PLATFORM_PROVISION, node_id=None, args={}, effect=""
    )
    assert judged(proposal, situation) == set()
    return judged(proposal, newer)


def identity_right():
    spec = make_spec(**wanted(3), steps={"replace_node": True}, graces={"replace_node": "1s"})
    world = replicated(spec=spec)
    world.nodes["n3"].answer = AgentAnswer.WRONG_IDS
    world.cycle(after_ms=5_000)
    return after_cycle(world, "replace_node")


def discovery_trusted():
    world = replicated()
    world.spec = make_spec(**wanted(5))
    held = HeldDiscovery(nodes=(), reason="empty", since_ms=1, seen_count=1)
    world.discovery = type(world.discovery)(
        ns_id=NS, cluster_id=CLUSTER, nodes=world.discovery.nodes, held=held
    )
    return after_cycle(world, "scale_up")


def information_complete():
    world = replicated(spec=make_spec(expand={"mode": "Join"}))
    world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    world.nodes["n4"] = virgin("n4")
    world.rediscover()
    return after_cycle(world, "cluster_expand")


def failure_confirmed():
    world = replicated()
    hang_store(world)
    return after_cycle(world)


def witnesses_agree():
    world = replicated()
    hang_store(world)
    world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.UNKNOWN
    for _ in range(2):
        world.cycle(after_ms=5_000)
    return after_cycle(world)


def no_foreign_controller():
    world = replicated(controllers=("sentinel",))
    kill_store(world)
    return after_cycle(world)


def agents_fenced():
    world = replicated(is_fenced=False)
    kill_store(world)
    return after_cycle(world)


def agent_remembers():
    world = replicated(incarnation="a", boot="1")
    double_agent(world)
    kill_store(world)
    return after_cycle(world)


def candidate_fit():
    world = replicated()
    world.nodes["n2"].role = ShardRole.RECOVERING
    kill_store(world)
    world.cycle(is_sent=False)
    world.records = {key: it for key, it in world.records.items() if not isinstance(it, NAction)}
    state = msgspec.structs.replace(world.state, graces={}, sent={})
    return judged(promotion(), situation_of(world, state=state))


def loss_bounded():
    world = replicated()
    world.nodes["n1"].offset = 200
    world.cycle()
    kill_store(world)
    return after_cycle(world)


def claims_respected():
    world = replicated()
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    return after_cycle(world, "rejoin")


def initialise_only_virgin():
    world = replicated(spec=make_spec(initialise={"mode": "SingleNode"}))
    for node in world.nodes.values():
        node.status, node.role = NodeStatus.NOT_IN_CLUSTER, None
    return after_cycle(world, "cluster_init")


def grow_from_primary():
    world = replicated()
    world.nodes["n4"] = virgin("n4")
    world.rediscover()
    world.cycle()
    proposal = Proposal(
        step=Step.CLUSTER_EXPAND,
        action_kind=CLUSTER_JOIN,
        node_id="n4",
        args={"node": "n2:6379"},
        touches=("n2",),
        effect="",
    )
    return judged(proposal, situation_of(world))


def majority_kept():
    world = replicated(5)
    for node_id in ("n3", "n4", "n5"):
        world.nodes[node_id].answer = AgentAnswer.TIMEOUT
    world.cycle()
    kill_store(world)
    return after_cycle(world)


def primary_not_removed():
    world = replicated(spec=make_spec(steps={"scale_down": True}))
    proposal = Proposal(
        step=Step.SCALE_DOWN,
        action_kind=CLUSTER_REMOVE,
        node_id="n2",
        args={"node": "n1:6379", "node_id": "n1"},
        touches=("n1",),
        effect="",
    )
    return judged(proposal, situation_of(world))


def one_small_step():
    world = replicated()
    world.spec = make_spec(**wanted(5))
    _, second = [it for it in world.cycle().decision.proposals if it.step == "scale_up"]
    assert second.outcome is Outcome.DENIED
    return {it.rule for it in second.verdicts if it.ruling is not Ruling.ALLOW}


def grace_over():
    world = dead_primary()
    world.nodes["n2"].end(world.cycle().submissions[0].action_id, "FAILED")
    world.cycle()
    return after_cycle(world)


def nobody_elses_work():
    world = replicated()
    world.spec = make_spec(**wanted(5))
    world.put(
        OAction(
            ns_id=NS,
            cluster_id=CLUSTER,
            action_id="o1",
            kind=PLATFORM_PROVISION,
            created_ms=1,
            created_wall_ms=1,
            phase=OActionPhase.PENDING_APPROVE,
        )
    )
    return after_cycle(world, "scale_up")


def one_disruption():
    return after_cycle(with_naction(dead_primary(), "n3", SERVICE_RESTART))


def quiet_period():
    world = dead_primary()
    for _ in range(8):
        world.cycle(after_ms=3_000)
        world.work()
    kill_store(world, "n2")
    return after_cycle(world)


def attempts_bounded():
    world = dead_primary(policies={"failures_max": 1})
    (sent,) = world.cycle().submissions
    world.nodes["n2"].end(sent.action_id, "FAILED")
    world.cycle()
    return against(world.cycle(after_ms=60_000), "failover")


SITUATIONS = {
    "mode_active": lambda: after_cycle(dead_primary(mode="observe")),
    "step_switched_on": lambda: after_cycle(dead_primary(steps={"failover": False})),
    "approval_granted": lambda: after_cycle(dead_primary(approval="required")),
    "worker_owns_cluster": worker_owns_cluster,
    "maintenance_window": maintenance_window,
    "platform_usable": platform_usable,
    "identity_right": identity_right,
    "discovery_trusted": discovery_trusted,
    "information_complete": information_complete,
    "failure_confirmed": failure_confirmed,
    "witnesses_agree": witnesses_agree,
    "primary_present": lambda: after_cycle(hanging_primary_asked_to_hand_over(), "asked"),
    "no_foreign_controller": no_foreign_controller,
    "agents_fenced": agents_fenced,
    "agent_remembers": agent_remembers,
    "candidate_fit": candidate_fit,
    "loss_bounded": loss_bounded,
    "claims_respected": claims_respected,
    "initialise_only_virgin": initialise_only_virgin,
    "grow_from_primary": grow_from_primary,
    "majority_kept": majority_kept,
    "primary_not_removed": primary_not_removed,
    "one_small_step": one_small_step,
    "grace_over": grace_over,
    "nobody_elses_work": nobody_elses_work,
    "one_disruption": one_disruption,
    "node_is_free": lambda: after_cycle(with_naction(dead_primary(), "n2", "example.com/backup")),
    "quiet_period": quiet_period,
    "attempts_bounded": attempts_bounded,
}


def test_every_rule_has_its_situation():
    assert set(SITUATIONS) == {rule.name for rule in rules.RULES}


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_rule_alone_stands_in_the_way(name):
    assert SITUATIONS[name]() == {name}


def test_two_disruptions_are_never_begun_in_one_cycle():
    restart = promotion(action_kind=SERVICE_RESTART, node_id="n3")
    situation = situation_of(dead_primary())
    case = Case(proposal=promotion(), situation=situation, earlier=(), doing=(restart,))
    assert "one_disruption" in {it.rule for it in rules.judge(case) if it.ruling is Ruling.DENY}


def test_a_loss_that_cannot_be_said_is_denied():
    unsaid = promotion(loss=Loss(is_none=False, text="cannot be said"))
    assert "loss_bounded" in judged(unsaid, situation_of(dead_primary()))
