"""Beside a controller of roles that the declaration has asked: whole cycles."""

from __future__ import annotations

import msgspec
import pytest
from orchestrate_builders import (
    CLUSTER,
    NS,
    SHARD,
    FakeNode,
    World,
    against,
    condition_names,
    hang_store,
    kill_store,
    make_spec,
    member,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.errors import Invalid
from replicante.limits import CONTROLLER_KEPT_MS, CONTROLLER_NOTED_MS
from replicante.model.action_kinds import (
    CONTROLLER_FAILOVER,
    CONTROLLER_SWITCHOVER,
    CORE_FAILOVER,
    CORE_SWITCHOVER,
    SERVICE_START,
    STORE_PROMOTE,
)
from replicante.model.actions import OAction, OActionPhase
from replicante.model.node import CONTROLLER_PRIMARY, NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer, SeenPhase
from replicante.model.shard import ShardRole, Sight

THROUGH = {"controllers": {"sentinel": "through"}}


def watched(**declaration) -> World:
    """n1 is primary, Sentinel sees all three and says so."""
    spec = make_spec(**THROUGH, **declaration)
    world = replicated(spec=spec, controllers=("sentinel",))
    name(world, "n1")
    world.cycle()
    return world


def name(world: World, node_id: str) -> None:
    """Sentinel names this one as primary, on every server that it sees."""
    for node in world.nodes.values():
        node.attributes = {CONTROLLER_PRIMARY: member(node_id)}


def sentinel_replaces(world: World, *, by: str) -> None:
    """As Sentinel does it: the successor, and everybody who answers behind it."""
    for node in world.nodes.values():
        if node.node_id == by:
            node.role, node.follows, node.history = ShardRole.PRIMARY, None, f"of-{by}"
        elif node.contact is StoreContact.ANSWERS:
            node.role, node.follows, node.sight = ShardRole.SECONDARY, by, Sight.UP
            node.history = f"of-{by}"
    name(world, by)


def end(world: World, action, *, primary: str | None) -> None:
    node = world.nodes[action.node_id]
    node.end(action.action_id, SeenPhase.DONE if primary else SeenPhase.FAILED)
    payload = None if primary is None else {"primary": member(primary)}
    seen = msgspec.structs.replace(node.actions[action.action_id], payload=payload)
    node.actions[action.action_id] = seen


def ask(world: World, kind: str, **args) -> None:
    world.put(
        OAction(
            ns_id=NS,
            cluster_id=CLUSTER,
            action_id="o1",
            kind=kind,
            args=args,
            created_ms=1,
            created_wall_ms=1,
            phase=OActionPhase.PENDING_SCHEDULE,
        )
    )


def ended(world: World) -> tuple[OActionPhase, str]:
    (action,) = world.oactions
    return action.phase, (action.error or {}).get("error_msg", "")


def test_roles_are_left_to_a_controller_unless_the_declaration_has_it_asked():
    assert make_spec().declaration.to_spec()["controllers"] == {"sentinel": "observe"}
    with pytest.raises(Invalid, match="controllers"):
        make_spec(controllers={"sentinel": "past"})
    with pytest.raises(Invalid, match="controllers"):
        make_spec(controllers={"somebody": "through"})


def test_a_switchover_is_asked_of_the_controller_by_the_primary_and_its_word_appoints():
    world = watched()
    ask(world, CORE_SWITCHOVER)
    (sent,) = world.cycle().submissions
    assert (sent.kind, sent.node_id, sent.cause) == (CONTROLLER_SWITCHOVER, "n1", "o1")
    assert sent.args == {"shard_id": SHARD, "replaces": "n1", "controller": "sentinel"}
    sentinel_replaces(world, by="n3")
    end(world, sent, primary="n3")
    world.cycle()
    assert ended(world) == (OActionPhase.DONE, "")
    assert world.state.appointed == {SHARD: "n3"}
    result = world.cycle()
    assert result.submissions == ()
    assert not condition_names(result) & {"controller_disagrees", "primary_disputed"}


def test_a_switchover_that_the_controller_gave_up_fails_and_moves_nothing():
    world = watched()
    ask(world, CORE_SWITCHOVER)
    (sent,) = world.cycle().submissions
    end(world, sent, primary=None)
    world.cycle()
    assert ended(world)[0] is OActionPhase.FAILED
    assert world.state.appointed == {SHARD: "n1"}


@pytest.mark.parametrize(
    ("kind", "args"),
    [(CORE_SWITCHOVER, {"to": "n2"}), (CORE_FAILOVER, {"to": "n2", "accepted_loss": 0})],
)
def test_nobody_chooses_in_the_place_of_the_controller(kind, args):
    world = watched()
    if kind == CORE_FAILOVER:
        kill_store(world)
    ask(world, kind, **args)
    result = world.cycle()
    assert kind == CORE_FAILOVER or result.submissions == ()
    phase, error = ended(world)
    assert phase is OActionPhase.FAILED and "chooses the successor itself" in error


def test_a_dead_primary_is_replaced_by_the_controller_alone_and_the_record_says_why():
    world = watched()
    kill_store(world)
    result = world.cycle()
    assert sent_kinds(result) == [(CONTROLLER_FAILOVER, "n2")]
    (record,) = [it for it in result.decision.proposals if it.step == "failover"]
    assert "have sentinel replace n1" in record.effect
    reasons = {it.rule: it.reason for it in record.verdicts}
    assert reasons["no_foreign_controller"].startswith("sentinel is in charge")
    assert reasons["candidate_fit"].endswith("fit: n2, n3")
    assert result.submissions[0].args["node"] == member("n1")
    sentinel_replaces(world, by="n3")
    end(world, result.submissions[0], primary="n3")
    # Nothing but a start, behind the one whom Sentinel names.
    (start,) = world.cycle().submissions
    assert (start.kind, start.node_id) == (SERVICE_START, "n1")
    assert start.args["node"] == member("n3")
    assert world.state.appointed == {SHARD: "n3"}


def test_a_hanging_primary_is_not_ended_beside_a_controller():
    world = watched()
    hang_store(world)
    kinds = [kind for _ in range(6) for kind in sent_kinds(world.cycle(after_ms=2_000))]
    assert kinds == [(CONTROLLER_FAILOVER, "n2")]


def test_silence_is_confirmed_before_the_controller_is_asked_too():
    world = watched()
    hang_store(world)
    result = world.cycle(after_ms=2_000)
    assert outcomes(result, "failover") == ["denied"]
    assert against(result, "failover") == {"failure_confirmed"}


def test_the_price_is_that_of_the_worst_that_the_controller_may_choose():
    world = watched()
    world.nodes["n3"].offset = 40
    world.cycle()
    kill_store(world)
    result = world.cycle()
    assert against(result, "failover") == {"loss_bounded"} and result.submissions == ()


def test_what_needs_approval_needs_it_through_a_controller_too():
    world = watched(approval="required")
    kill_store(world)
    result = world.cycle()
    assert outcomes(result, "failover") == ["awaits_approval"] and result.submissions == ()


def test_one_disruption_at_a_time_counts_what_the_controller_does():
    world = watched()
    kill_store(world)
    world.cycle()
    ask(world, CORE_FAILOVER, accepted_loss=0)
    assert world.cycle().submissions == ()
    assert "one_disruption" in ended(world)[1]


def test_roles_are_not_changed_past_a_declared_controller_that_is_not_seen():
    world = watched()
    for node in world.nodes.values():
        node.controllers, node.attributes = (), {}
    world.cycle(after_ms=CONTROLLER_KEPT_MS)  # no longer because it was seen
    assert world.state.controllers == {}
    kill_store(world)
    for _ in range(5):
        result = world.cycle(after_ms=10_000)
    assert world.sent == []
    (record,) = [it for it in result.decision.proposals if it.step == "failover"]
    (verdict,) = [it for it in record.verdicts if it.rule == "no_foreign_controller"]
    assert verdict.ruling == "deny" and "the declaration leaves roles to" in verdict.reason


def test_a_failover_through_a_controller_whose_copies_are_all_kept_out_is_refused():
    """What was set aside for the choice of ours is not set aside for that of the controller."""
    world = watched()
    for node_id in ("n2", "n3"):
        world.nodes[node_id].attributes |= {"replicante.io/no-promote": True}
    world.cycle()
    kill_store(world)
    ask(world, CORE_FAILOVER, accepted_loss="unknown", overrides=["kept_out"])
    assert world.cycle().submissions == ()
    assert "fit" in ended(world)[1]


def test_two_controllers_are_asked_nothing():
    world = watched()
    world.nodes["n3"].controllers = ("patroni", "sentinel")
    world.cycle()
    kill_store(world)
    result = world.cycle()
    assert result.submissions == () and "no_foreign_controller" in against(result, "failover")


def test_what_the_controller_did_by_itself_is_believed_though_the_old_primary_is_silent():
    for declared in (THROUGH, {}):
        world = replicated(spec=make_spec(**declared), controllers=("sentinel",))
        name(world, "n1")
        world.cycle()
        kill_store(world)
        world.nodes["n1"].answer = AgentAnswer.TIMEOUT
        sentinel_replaces(world, by="n2")
        for _ in range(4):
            world.cycle()
        assert world.state.appointed == {SHARD: "n2"}


def test_one_that_the_controller_replaced_by_itself_starts_behind_its_successor_unasked():
    world = watched()
    kill_store(world)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    sentinel_replaces(world, by="n2")
    for _ in range(4):
        world.cycle()
    assert (world.state.replaced, world.state.claimed) == ({SHARD: {"n1": "n2"}}, {})
    world.nodes["n1"].answer = AgentAnswer.ANSWERED
    assert sent_kinds(world.cycle()) == [(SERVICE_START, "n1")]


def test_a_word_of_few_agents_or_for_one_that_is_no_primary_appoints_nobody():
    world = watched()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    world.nodes["n2"].attributes = {CONTROLLER_PRIMARY: member("n2")}
    world.nodes["n3"].attributes = {CONTROLLER_PRIMARY: None}
    for _ in range(6):
        world.cycle()
    assert world.state.appointed == {SHARD: "n1"}
    name(world, "n3")
    for _ in range(6):
        world.cycle()
    assert world.state.appointed == {SHARD: "n1"}


def test_roles_that_were_changed_past_the_controller_are_told_before_they_cost_anything():
    world = watched()
    successor, old = world.nodes["n2"], world.nodes["n1"]
    successor.role, successor.follows = ShardRole.PRIMARY, None
    old.role, old.follows = ShardRole.SECONDARY, "n2"
    for _ in range(6):
        result = world.cycle()
    assert world.state.appointed == {SHARD: "n2"}
    (condition,) = [it for it in result.conditions if it.name == "controller_disagrees"]
    assert condition.evidence == {"primary": member("n2"), "named": member("n1")}


def test_a_controller_that_nobody_declared_counts_for_a_while_after_it_was_seen_last():
    world = replicated(controllers=("sentinel",))
    for node in world.nodes.values():
        node.controllers = ()
    kill_store(world)
    result = world.cycle()
    assert result.submissions == () and against(result, "failover") == {"no_foreign_controller"}
    (record,) = [it for it in result.decision.proposals if it.step == "failover"]
    (verdict,) = [it for it in record.verdicts if it.rule == "no_foreign_controller"]
    assert verdict.evidence == {"remembered": {"sentinel": CONTROLLER_KEPT_MS - 1_000}}
    world.cycle(after_ms=CONTROLLER_KEPT_MS - 2_000)
    assert world.sent == [] and world.state.controllers
    assert [it.kind for it in world.cycle(after_ms=2_000).submissions] == [STORE_PROMOTE]
    assert world.state.controllers == {}


def test_a_controller_that_is_seen_all_the_time_is_noted_now_and_then():
    world = replicated(controllers=("sentinel",))
    before = world.state
    world.cycle(after_ms=CONTROLLER_NOTED_MS - 1)
    assert world.state == before
    world.cycle(after_ms=1)
    assert world.state.controllers == {"sentinel": world.now_ms}


def test_what_a_silent_agent_saw_last_refreshes_no_memory():
    world = replicated(controllers=("sentinel",))
    seen_ms = world.now_ms
    for node in world.nodes.values():
        node.answer = AgentAnswer.TIMEOUT
    world.cycle(after_ms=CONTROLLER_NOTED_MS)
    assert world.state.controllers == {"sentinel": seen_ms}


def test_no_cluster_is_begun_where_another_controller_was_seen_lately():
    nodes = [
        FakeNode(it, status=NodeStatus.NOT_IN_CLUSTER, role=None, controllers=("sentinel",))
        for it in ("n1", "n2")
    ]
    world = World(*nodes, spec=make_spec(initialise={"mode": "SingleNode"}))
    assert world.cycle().submissions == ()
    for node in nodes:
        node.controllers = ()
    assert "no_foreign_controller" in against(world.cycle(after_ms=400_000), "cluster_init")
