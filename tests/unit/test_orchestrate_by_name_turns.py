"""Whose turn it is at an agent: recoveries, changes of roles that people ask for, and the rest."""

from __future__ import annotations

import pytest
from by_name_asks import approve, ask, by_hand, promote, the
from orchestrate_builders import (
    CLUSTER,
    NS,
    World,
    against,
    hang_store,
    kill_store,
    make_spec,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import (
    CORE_FAILOVER,
    CORE_TEST_LOOP,
    SERVICE_RESTART,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
)
from replicante.model.actions import NActionPhase, OAction, OActionPhase
from replicante.model.change import ChangeCode
from replicante.model.node import StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.shard import Sight

BACKUP = "example.com/backup"


def order(world: World, kind: str, **args) -> None:
    world.put(
        OAction(
            ns_id=NS,
            cluster_id=CLUSTER,
            action_id="o1",
            kind=kind,
            args=args,
            created_ms=world.now_ms,
            created_wall_ms=world.wall_ms,
            phase=OActionPhase.PENDING_SCHEDULE,
        )
    )


def test_a_failover_goes_before_what_disturbs_nothing_and_did_not_begin():
    world = replicated(3)
    kill_store(world)
    for node_id in ("n2", "n3"):
        ask(world, node_id, BACKUP)
    result = world.cycle()
    assert (STORE_PROMOTE, "n2") in sent_kinds(result)
    assert (BACKUP, "n2") not in sent_kinds(result)
    world.work()
    for _ in range(3):
        result = world.cycle()
        world.work()
    assert (BACKUP, "n2") in [(it.kind, it.node_id) for it in world.sent]


def test_a_failover_does_not_wait_for_what_waits_for_an_orchestrator_action():
    world = replicated(2)
    order(world, CORE_TEST_LOOP, target=100_000)
    world.cycle()
    ask(world, "n2", BACKUP)
    assert world.cycle().submissions == ()
    kill_store(world)
    assert sent_kinds(world.cycle(after_ms=20_000)) == [(STORE_PROMOTE, "n2")]


def test_a_failover_waits_for_what_its_agent_has_begun():
    world = replicated(2)
    ask(world, "n2", BACKUP)
    world.cycle()
    kill_store(world)
    result = world.cycle(after_ms=20_000)
    assert result.submissions == () and "node_is_free" in against(result, "failover")
    world.work()
    world.cycle()
    assert (STORE_PROMOTE, "n2") in [(it.kind, it.node_id) for it in world.sent]


def test_an_approved_failover_goes_before_an_approved_action_that_is_older():
    world = replicated(5, spec=make_spec(mode="observe"))
    ask(world, "n5")
    world.cycle()
    world.nodes["n5"].answer = AgentAnswer.TIMEOUT
    ask(world, "n2", BACKUP, phase=NActionPhase.PENDING_APPROVE)
    world.cycle()
    kill_store(world)
    order(world, CORE_FAILOVER, to="n2", accepted_loss=0)
    world.cycle()
    (promotion,) = [it.action_id for it in world.nactions if it.cause == "o1"]
    approve(world, "of-n2")
    approve(world, promotion)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_change_of_roles_that_is_held_does_not_hold_an_older_action():
    world = by_hand()
    ask(world, "n2", BACKUP)
    promote(world, action_id="of-n2-promotion")
    assert sent_kinds(world.cycle()) == [(BACKUP, "n2")]


@pytest.mark.parametrize("reason", ["paused", "busy", "order"])
def test_a_promotion_that_is_held_beside_the_primary_by_anything_is_marked(reason):
    world = by_hand()
    match reason:
        case "paused":
            world.spec = make_spec(mode="paused")
        case "busy":
            ask(world, "n2", BACKUP)
            world.cycle()
        case "order":
            order(world, CORE_TEST_LOOP, target=3)
            world.cycle()
    action_id = promote(world, action_id="of-n2-promotion")
    result = world.cycle()
    assert result.submissions == ()
    asked = [it for it in result.changes if it.code is ChangeCode.NACTION_ASK]
    assert [it.key[-1] for it in asked] == [action_id]
    assert the(world, action_id).asked == {"approval_granted": {}}
    kill_store(world)
    world.spec = make_spec(mode="observe")
    world.work()
    for _ in range(4):
        assert world.cycle(after_ms=20_000).submissions == ()
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_promotion_that_is_paused_past_a_dead_primary_is_not_marked():
    world = by_hand()
    kill_store(world)
    world.spec = make_spec(mode="paused")
    action_id = promote(world)
    world.cycle()
    assert the(world, action_id).phase is NActionPhase.PENDING_SCHEDULE
    world.spec = make_spec(mode="observe")
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_restart_that_is_paused_is_not_marked():
    world = by_hand()
    world.spec = make_spec(mode="paused")
    action_id = ask(world, "n2")
    world.cycle()
    assert the(world, action_id).phase is NActionPhase.PENDING_SCHEDULE
    world.spec = make_spec(mode="observe")
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n2")]


def overtaken() -> tuple[World, str]:
    """A person asked for what automation did meanwhile."""
    world = replicated(3)
    hang_store(world)
    action_id = promote(world)
    for _ in range(6):
        world.cycle(after_ms=10_000)
        world.work()
    assert (STORE_PROMOTE, "n2") in [(it.kind, it.node_id) for it in world.sent]
    return world, action_id


def test_a_promotion_of_who_is_the_primary_already_ends_and_says_so():
    world, action_id = overtaken()
    ended = the(world, action_id)
    assert ended.phase is NActionPhase.CANCELLED
    assert "n2 is the primary of shard 0 already" in ended.error["error_msg"]
    assert world.nodes["n2"].applied.count(action_id) == 0


def test_a_handover_to_who_is_the_primary_already_ends_and_says_so():
    world = by_hand()
    args = {"shard_id": "0", "node_id": "n1", "node": "n1:6379"}
    action_id = ask(world, "n2", STORE_SWITCHOVER, args=args)
    assert world.cycle().submissions == ()
    ended = the(world, action_id)
    assert ended.phase is NActionPhase.CANCELLED and "already" in ended.error["error_msg"]


@pytest.mark.parametrize("doubt", ["gone", "disputed"])
def test_a_promotion_of_a_primary_that_is_in_doubt_does_not_end(doubt):
    world = by_hand()
    action_id = promote(world, "n1", phase=NActionPhase.PENDING_APPROVE)
    if doubt == "gone":
        world.nodes["n1"].contact = StoreContact.SILENT
        world.nodes["n2"].sight = Sight.UP
    else:
        world.nodes["n2"].role, world.nodes["n2"].follows = world.nodes["n1"].role, None
    world.cycle()
    assert not the(world, action_id).phase.is_final
