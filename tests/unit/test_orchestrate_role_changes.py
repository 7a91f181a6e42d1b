from __future__ import annotations

import pytest
from orchestrate_builders import (
    CLUSTER,
    NS,
    SHARD,
    hang_store,
    kill_store,
    make_spec,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import (
    CORE_FAILOVER,
    CORE_SWITCHOVER,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
)
from replicante.model.actions import OAction, OActionPhase
from replicante.model.node import NodeStatus
from replicante.model.observation import AgentAnswer, SeenPhase
from replicante.model.shard import ShardRole, Sight


def asked(kind, **args):
    return OAction(
        ns_id=NS,
        cluster_id=CLUSTER,
        action_id="o1",
        kind=kind,
        args=args,
        created_ms=1,
        created_wall_ms=1,
        phase=OActionPhase.PENDING_SCHEDULE,
    )


def ended(world):
    (action,) = world.oactions
    return action.phase, (action.error or {}).get("error_msg", "")


def test_a_switchover_is_asked_of_the_primary_and_moves_the_appointment():
    world = replicated()
    world.put(asked(CORE_SWITCHOVER, shard_id=SHARD, to="n3"))
    (sent,) = world.cycle().submissions
    assert (sent.kind, sent.node_id) == (STORE_SWITCHOVER, "n1")
    assert (sent.args["node_id"], sent.args["node"]) == ("n3", "n3:6379")
    assert sent.cause == "o1"
    world.work()
    world.cycle()
    assert ended(world) == (OActionPhase.DONE, "")
    assert world.state.appointed == {SHARD: "n3"}
    for _ in range(3):
        assert world.cycle(after_ms=20_000).submissions == ()


def test_people_may_switch_over_in_observe_mode_but_not_in_a_paused_cluster():
    world = replicated(spec=make_spec(mode="observe"))
    world.put(asked(CORE_SWITCHOVER))
    assert sent_kinds(world.cycle()) == [(STORE_SWITCHOVER, "n1")]
    world = replicated(spec=make_spec(mode="paused"))
    world.put(asked(CORE_SWITCHOVER))
    assert world.cycle().submissions == ()
    assert ended(world)[0] is OActionPhase.PENDING_SCHEDULE


def test_a_switchover_that_fails_at_its_agent_fails_and_changes_nothing():
    world = replicated()
    world.put(asked(CORE_SWITCHOVER))
    (sent,) = world.cycle().submissions
    world.nodes["n1"].end(sent.action_id, SeenPhase.FAILED)
    world.cycle()
    assert ended(world)[0] is OActionPhase.FAILED
    assert world.state.appointed == {SHARD: "n1"}


@pytest.mark.parametrize(
    ("node_id", "fault", "reason"),
    [
        ("n1", {"status": NodeStatus.UNHEALTHY}, "n1 is not HEALTHY"),
        ("n1", {"answer": AgentAnswer.TIMEOUT}, "healthy primary"),
        ("n2", {"sight": Sight.DOWN}, "does not hear"),
        ("n2", {"role": ShardRole.RECOVERING}, "recovering"),
        ("n3", {"controllers": ("sentinel",)}, "no_foreign_controller"),
        ("n3", {"answer": AgentAnswer.TIMEOUT}, ""),
    ],
)
def test_a_switchover_in_doubt_is_refused_with_its_reason(node_id, fault, reason):
    world = replicated()
    world.put(asked(CORE_SWITCHOVER, to="n2"))
    for name, value in fault.items():
        setattr(world.nodes[node_id], name, value)
    result = world.cycle()
    phase, error = ended(world)
    if reason:
        assert result.submissions == ()
        assert phase is OActionPhase.FAILED and reason in error
    else:
        assert sent_kinds(result) == [(STORE_SWITCHOVER, "n1")], "another copy does not matter"


@pytest.mark.parametrize("args", [{}, {"accepted_loss": None}, {"accepted_loss": -1}])
def test_a_failover_must_name_the_loss_that_is_accepted(args):
    world = replicated()
    kill_store(world)
    world.put(asked(CORE_FAILOVER, **args))
    world.cycle()
    assert ended(world)[0] is OActionPhase.FAILED
    assert "accepted_loss" in ended(world)[1]


def behind(offset=300):
    world = replicated()
    world.nodes["n1"].offset = offset
    world.cycle()
    hang_store(world)
    return world


def test_a_failover_goes_as_far_as_the_accepted_loss_and_no_further():
    for accepted, expected in ((199, OActionPhase.FAILED), (200, OActionPhase.RUNNING)):
        world = behind()
        world.put(asked(CORE_FAILOVER, accepted_loss=accepted))
        result = world.cycle()
        assert ended(world)[0] is expected
        assert bool(result.submissions) is (expected is OActionPhase.RUNNING)


def test_a_failover_ends_with_its_promotion():
    world = behind()
    world.put(asked(CORE_FAILOVER, accepted_loss=500, to="n3"))
    assert sent_kinds(world.cycle()) == [(STORE_FENCE, "n1")]
    world.work()
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]
    world.work()
    world.cycle()
    assert ended(world) == (OActionPhase.DONE, "")
    assert world.state.appointed == {SHARD: "n3"}


def test_nobody_forces_a_failover_past_a_primary_that_is_there_or_heard():
    world = replicated()
    world.put(asked(CORE_FAILOVER, accepted_loss=10**9))
    world.cycle()
    assert "switchover" in ended(world)[1]
    world = replicated()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    world.put(asked(CORE_FAILOVER, accepted_loss=10**9))
    world.cycle()
    assert "witnesses_agree" in ended(world)[1]


def test_convergence_does_not_act_beside_a_role_change_of_people():
    world = behind()
    world.put(asked(CORE_FAILOVER, accepted_loss=500))
    world.cycle()
    for _ in range(4):
        assert [it.kind for it in world.cycle(after_ms=20_000, is_sent=False).submissions] in (
            [],
            [STORE_PROMOTE],
        )
    (order,) = world.oactions
    assert {it.cause for it in world.nactions} == {order.action_id}


def test_a_switchover_ends_with_every_copy_behind_the_new_primary():
    world = replicated(4)
    world.put(asked(CORE_SWITCHOVER, to="n3"))
    for _ in range(8):
        sent = sent_kinds(world.cycle(after_ms=12_000))
        assert len(sent) <= 1, "one at a time, so that a majority stays"
        world.work()
    follows = {it.node_id: it.follows for it in world.nodes.values()}
    assert follows == {"n1": "n3", "n2": "n3", "n3": None, "n4": "n3"}


def test_a_copy_of_a_source_outside_is_left_alone():
    world = replicated()
    world.nodes["n3"].follows = "outside"
    for _ in range(4):
        assert world.cycle(after_ms=12_000).submissions == ()
