"""People name a promotion or a switchover: who calls itself primary, who hears it, who is well."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ASKED, approve, ask, by_hand, promote, the
from orchestrate_builders import (
    CLUSTER,
    NS,
    SHARD,
    FakeNode,
    World,
    against,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import (
    CORE_FAILOVER,
    CORE_SWITCHOVER,
    SERVICE_STOP,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
)
from replicante.model.actions import OAction, OActionPhase
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight

BY_NAME, THROUGH = "store.promote", "core.failover"


def claims(world: World, node_id: str) -> None:
    world.nodes[node_id].role, world.nodes[node_id].follows = ShardRole.PRIMARY, None


def silent_beside_a_claim(*, is_heard: bool) -> World:
    """n1, the primary, is silent to us, and n3 calls itself primary."""
    world = replicated(5, spec=make_spec(mode="observe"))
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    if not is_heard:
        for node_id in ("n2", "n4", "n5"):
            world.nodes[node_id].sight = Sight.DOWN
    claims(world, "n3")
    return world


def order(world: World, kind: str = CORE_FAILOVER, **args) -> None:
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


def rules_against(result) -> set[str]:
    """Rules that deny what a person asked for, by name or through an orchestrator action."""
    record = next(it for it in result.decision.proposals if it.action_kind == STORE_PROMOTE)
    return {it.rule for it in record.verdicts if it.ruling == "deny"}


def test_a_claim_of_another_node_does_not_hide_that_copies_hear_the_primary():
    world = silent_beside_a_claim(is_heard=True)
    action_id = promote(world)
    for _ in range(2):
        result = world.cycle()
        assert result.submissions == () and outcomes(result, ASKED) == ["denied"]
        assert "witnesses_agree" in against(result, ASKED)
        approve(world, action_id)


def test_an_asked_failover_beside_a_claim_ends_with_the_word_that_the_primary_is_heard():
    world = silent_beside_a_claim(is_heard=True)
    order(world, to="n2", accepted_loss="unknown")
    result = world.cycle()
    assert result.submissions == () and "witnesses_agree" in rules_against(result)
    assert world.oactions[0].phase is OActionPhase.FAILED


@pytest.mark.parametrize("how", [BY_NAME, THROUGH])
def test_nobody_is_promoted_beside_a_claim_of_another_node(how):
    world = silent_beside_a_claim(is_heard=False)
    if how == BY_NAME:
        promote(world)
    else:
        order(world, to="n2", accepted_loss="unknown")
    result = world.cycle()
    assert result.submissions == () and "failure_confirmed" in rules_against(result)
    told = str(result.decision.proposals)
    assert "n3 is there: end the other claims first" in told


def test_nobody_approves_a_third_primary_beside_two_of_which_none_was_appointed():
    two = [FakeNode("n1", role=ShardRole.PRIMARY), FakeNode("n3", role=ShardRole.PRIMARY)]
    world = World(*two, FakeNode("n2", follows="n1"), spec=make_spec(mode="observe"))
    world.cycle()
    action_id = promote(world)
    for _ in range(3):
        result = world.cycle()
        assert result.submissions == () and outcomes(result, ASKED) == ["denied"]
        approve(world, action_id)


def test_a_promotion_goes_once_the_claim_beside_it_was_ended_by_a_person():
    world = silent_beside_a_claim(is_heard=False)
    action_id = promote(world)
    world.cycle()
    stop_id = ask(world, "n3", SERVICE_STOP)
    world.cycle()
    approve(world, stop_id)
    assert sent_kinds(world.cycle()) == [(SERVICE_STOP, "n3")]
    world.nodes["n3"].contact = StoreContact.REFUSED
    world.work()
    for _ in range(3):
        approve(world, action_id)
        result = world.cycle()
        if result.submissions:
            break
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]


def test_a_fence_approved_beside_one_claim_is_asked_about_again_beside_two():
    world = replicated(5, spec=make_spec(mode="observe"))
    world.nodes["n1"].contact = StoreContact.SILENT
    for node_id in ("n2", "n4", "n5"):
        world.nodes[node_id].sight = Sight.DOWN
    claims(world, "n3")
    action_id = ask(world, "n1", STORE_FENCE, args={"shard_id": SHARD, "replaces": "n1"})
    world.cycle()
    assert the(world, action_id).asked["failure_confirmed"]["claimants"] == ["n3"]
    approve(world, action_id)
    claims(world, "n4")
    result = world.cycle()
    assert result.submissions == () and "failure_confirmed" in the(world, action_id).asked
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(STORE_FENCE, "n1")]


def hand_over(world: World, to: str = "n3") -> str:
    args = {"shard_id": SHARD, "node_id": to, "node": f"{to}:6379"}
    return ask(world, "n1", STORE_SWITCHOVER, args=args)


def test_a_switchover_by_name_of_a_sick_primary_is_asked_about():
    world = by_hand()
    world.nodes["n1"].status = NodeStatus.UNHEALTHY
    action_id = hand_over(world)
    assert world.cycle().submissions == ()
    assert the(world, action_id).asked["primary_present"] == {"why": ["primary n1 UNHEALTHY"]}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]


def test_a_switchover_by_name_to_a_copy_that_does_not_hear_the_primary_is_asked_about():
    world = by_hand()
    world.nodes["n3"].sight = Sight.DOWN
    action_id = hand_over(world)
    assert world.cycle().submissions == ()
    assert the(world, action_id).asked["primary_present"] == {"why": ["link n3 down"]}
    world.nodes["n3"].sight = Sight.UP
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]


def test_what_serves_a_switchover_waits_for_a_primary_that_fell_sick_meanwhile():
    world = by_hand()
    order(world, CORE_SWITCHOVER, to="n2")
    assert sent_kinds(world.cycle(is_sent=False)) == [(STORE_SWITCHOVER, "n1")]
    (served,) = world.nactions
    world.put(msgspec.structs.replace(served, sent_epoch=None, deadline_ms=None))
    world.nodes["n1"].status = NodeStatus.UNHEALTHY
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["denied"]
    assert "primary_present" in against(result, ASKED)
    world.nodes["n1"].status = NodeStatus.HEALTHY
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]
