"""What people ask of a node by name is judged before it leaves: what is denied waits, and what a
person may set aside waits for one."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ASKED, approve, ask, by_hand, codes, the
from orchestrate_builders import (
    CLUSTER,
    NS,
    against,
    hang_store,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.limits import ASKED_HELD_MS_MAX
from replicante.model.action_kinds import (
    CLUSTER_INIT,
    CLUSTER_JOIN,
    CLUSTER_REMOVE,
    CORE_TEST_LOOP,
    SERVICE_RESTART,
    SERVICE_START,
    SERVICE_STOP,
    STORE_CONFIGURE,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_REJOIN,
    STORE_SWITCHOVER,
)
from replicante.model.actions import NActionPhase, OAction, OActionPhase
from replicante.model.change import ChangeCode
from replicante.model.node import NodeStatus
from replicante.model.observation import AgentAnswer, SeenPhase, SeenShard
from replicante.model.shard import ShardRole


def test_two_restarts_that_are_asked_for_at_once_happen_one_after_the_other():
    world = by_hand()
    ask(world, "n2"), ask(world, "n3")
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n2")]
    result = world.cycle()
    assert result.submissions == () and against(result, ASKED) == {"one_disruption"}
    world.work()
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n3")]
    world.work()
    world.cycle()
    assert {it.phase for it in world.nactions} == {NActionPhase.DONE}
    assert [len(it.applied) for it in world.nodes.values()] == [0, 1, 1]


def test_who_looked_may_approve_the_second_one_beside_the_first():
    world = by_hand()
    ask(world, "n2"), ask(world, "n3")
    world.cycle()
    result = world.cycle()
    assert outcomes(result, ASKED) == ["awaits_approval"]
    assert list(the(world, "of-n3").asked) == ["one_disruption"]
    assert ChangeCode.NACTION_ASK in codes(result)
    approve(world, "of-n3")
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n3")]


@pytest.mark.parametrize("kind", [SERVICE_RESTART, SERVICE_STOP])
def test_the_primary_is_stopped_or_restarted_by_approval_only(kind):
    world = by_hand()
    action_id = ask(world, "n1", kind)
    result = world.cycle()
    assert result.submissions == () and against(result, ASKED) == {"primary_not_removed"}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(kind, "n1")]


@pytest.mark.parametrize("kind", [SERVICE_RESTART, SERVICE_STOP])
def test_a_majority_stays_healthy_unless_a_person_looked(kind):
    world = by_hand()
    world.nodes["n3"].status = NodeStatus.UNHEALTHY
    action_id = ask(world, "n2", kind)
    result = world.cycle()
    assert result.submissions == () and against(result, ASKED) == {"majority_kept"}
    assert the(world, action_id).asked["majority_kept"] == {"missing": ["n3"]}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(kind, "n2")]


def test_a_store_that_is_down_is_restarted_as_asked():
    world = by_hand()
    kill_store(world, "n3")
    world.cycle()
    ask(world, "n3")
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n3")]


def test_a_node_beside_one_that_is_not_seen_waits_for_a_person():
    world = replicated(5, spec=make_spec(mode="observe"))
    world.nodes["n5"].answer = AgentAnswer.TIMEOUT
    action_id = ask(world, "n2")
    result = world.cycle()
    assert result.submissions == () and against(result, ASKED) == {"information_complete"}
    assert the(world, action_id).asked == {"information_complete": {"nodes": ["n5"]}}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n2")]


def test_who_approved_that_a_copy_is_restarted_did_not_approve_it_of_a_primary():
    world = by_hand()
    hang_store(world)
    action_id = ask(world, "n2")
    world.cycle()
    assert the(world, action_id).asked["primary_not_removed"] == {"why": ["copy 0"]}
    approve(world, action_id)
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    assert world.cycle().submissions == ()
    assert the(world, action_id).asked["primary_not_removed"] == {"why": ["claimant 0"]}


def test_who_approved_it_of_the_primary_of_one_shard_did_not_approve_it_of_two():
    world = by_hand()
    action_id = ask(world, "n1")
    world.cycle()
    assert the(world, action_id).asked["primary_not_removed"] == {"why": ["primary 0"]}
    approve(world, action_id)
    world.nodes["n1"].beside = (SeenShard(shard_id="1", role=ShardRole.PRIMARY),)
    assert world.cycle().submissions == ()
    why = the(world, action_id).asked["primary_not_removed"]
    assert why == {"why": ["primary 0", "primary 1"]}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n1")]


def test_who_approved_to_join_a_sick_primary_did_not_approve_to_join_a_copy():
    world = replicated(4, spec=make_spec(mode="observe"))
    n1, n2, _, n4 = world.nodes.values()
    n4.status, n4.role, n1.status = NodeStatus.NOT_IN_CLUSTER, None, NodeStatus.UNHEALTHY
    action_id = ask(world, "n4", CLUSTER_JOIN, args={"node": "n1:6379"})
    world.cycle()
    shown = {"why": ["is not HEALTHY"], "member": "n1"}
    assert the(world, action_id).asked == {"grow_from_primary": shown}
    approve(world, action_id)
    n1.status, n1.role, n1.follows = NodeStatus.HEALTHY, ShardRole.SECONDARY, "n2"
    n2.role, n2.follows = ShardRole.PRIMARY, None
    assert world.cycle().submissions == ()
    shown = {"why": ["holds no primary"], "member": "n1"}
    assert the(world, action_id).asked["grow_from_primary"] == shown
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(CLUSTER_JOIN, "n4")]


def test_an_agent_that_does_not_answer_is_waited_for_and_nobody_is_asked():
    world = by_hand()
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    action_id = ask(world, "n2")
    result = world.cycle()
    assert result.submissions == () and outcomes(result, ASKED) == ["denied"]
    assert the(world, action_id).phase is NActionPhase.PENDING_SCHEDULE
    world.nodes["n2"].answer = AgentAnswer.ANSWERED
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n2")]


def test_a_cluster_that_has_nodes_in_it_is_begun_anew_only_by_approval():
    world = by_hand()
    action_id = ask(world, "n2", CLUSTER_INIT)
    result = world.cycle()
    assert result.submissions == () and "initialise_only_virgin" in against(result, ASKED)
    assert the(world, action_id).phase is NActionPhase.PENDING_APPROVE


@pytest.mark.parametrize("args", [None, {}, {"shard_id": "9"}, {"node": 3}, {"node_id": [1]}])
@pytest.mark.parametrize(
    "kind",
    [STORE_PROMOTE, STORE_FENCE, STORE_REJOIN, STORE_SWITCHOVER, CLUSTER_JOIN, CLUSTER_REMOVE],
)
def test_args_that_say_nothing_are_no_way_around_a_rule(kind, args):
    world = by_hand()
    ask(world, "n2", kind, args=args)
    result = world.cycle()
    # A copy that is one of three may be told whom to follow, and its agent is asked to end it.
    is_small = kind in (STORE_REJOIN, STORE_FENCE)
    assert result.decision.proposals and (is_small or result.submissions == ())


@pytest.mark.parametrize("kind", ["example.com/backup", SERVICE_START, STORE_CONFIGURE])
def test_what_is_not_known_to_disturb_goes_as_asked(kind):
    world = by_hand()
    world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    ask(world, "n2", kind)
    result = world.cycle()
    assert sent_kinds(result) == [(kind, "n2")] and result.decision.proposals == ()


def test_a_question_that_no_rule_asks_any_more_is_answered():
    world = by_hand()
    world.nodes["n3"].status = NodeStatus.UNHEALTHY
    action_id = ask(world, "n2")
    world.cycle()
    world.nodes["n3"].status = NodeStatus.HEALTHY
    result = world.cycle()
    assert sent_kinds(result) == [(SERVICE_RESTART, "n2")]
    assert the(world, action_id).asked == {}


def test_what_waited_for_long_is_sent_only_when_a_person_wants_it_still():
    world = by_hand()
    world.nodes["n3"].status = NodeStatus.UNHEALTHY
    action_id = ask(world, "n2")
    world.cycle()
    world.nodes["n3"].status = NodeStatus.HEALTHY
    result = world.cycle(after_ms=ASKED_HELD_MS_MAX)
    assert result.submissions == () and against(result, ASKED) == {"approval_granted"}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n2")]


def held_for_days(world) -> str:
    """The restart of the primary was approved, and its agent is silent since then."""
    action_id = ask(world, "n1")
    world.cycle()
    approve(world, action_id)
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    for _ in range(3):
        assert world.cycle(after_ms=24 * ASKED_HELD_MS_MAX).submissions == ()
    assert the(world, action_id).phase is NActionPhase.PENDING_SCHEDULE
    return action_id


def test_what_was_approved_and_held_for_long_is_asked_about_once_more():
    world = by_hand()
    action_id = held_for_days(world)
    world.nodes["n1"].answer = AgentAnswer.ANSWERED
    result = world.cycle()
    assert result.submissions == ()
    assert against(result, ASKED) == {"approval_granted", "primary_not_removed"}
    waiting = the(world, action_id)
    assert waiting.asked["approval_granted"] == {"wanted_ms": waiting.approved_ms}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n1")]


def test_an_approval_counts_for_an_hour_each_time():
    world = by_hand()
    action_id = held_for_days(world)
    for _ in range(3):
        world.nodes["n1"].answer = AgentAnswer.ANSWERED
        assert world.cycle(after_ms=ASKED_HELD_MS_MAX).submissions == ()
        approve(world, action_id)
        world.nodes["n1"].answer = AgentAnswer.TIMEOUT
        world.cycle(after_ms=ASKED_HELD_MS_MAX - 1_000)
        assert the(world, action_id).phase is NActionPhase.PENDING_SCHEDULE
    approved_ms = the(world, action_id).approved_ms
    world.nodes["n1"].answer = AgentAnswer.ANSWERED
    assert world.now_ms + 500 - approved_ms < ASKED_HELD_MS_MAX
    assert sent_kinds(world.cycle(after_ms=500)) == [(SERVICE_RESTART, "n1")]


def test_one_that_was_made_to_wait_names_what_its_approval_answers():
    world = by_hand()
    action_id = ask(world, "n1", phase=NActionPhase.PENDING_APPROVE)
    result = world.cycle()
    assert against(result, ASKED) == {"approval_granted", "primary_not_removed"}
    assert {*the(world, action_id).asked} == {"approval_granted", "primary_not_removed"}
    approve(world, action_id)
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n1")]


def test_one_that_was_made_to_wait_waits_though_no_rule_asks():
    world = by_hand()
    ask(world, "n2", phase=NActionPhase.PENDING_APPROVE)
    for _ in range(3):
        assert world.cycle().submissions == ()


def test_a_question_that_is_unchanged_is_not_written_again():
    world = by_hand()
    ask(world, "n1")
    world.cycle()
    for _ in range(3):
        assert codes(world.cycle()) == []


def test_what_its_agent_has_is_judged_no_more():
    world = by_hand()
    action_id = ask(world, "n2")
    world.cycle()
    world.nodes["n3"].status = NodeStatus.UNHEALTHY
    result = world.cycle()
    assert result.submissions == () and result.decision.proposals == ()
    world.work()
    world.cycle()
    assert world.nodes["n2"].applied == [action_id]
    assert the(world, action_id).phase is NActionPhase.DONE


def test_it_may_be_cancelled_while_it_waits():
    world = by_hand()
    action_id = ask(world, "n1")
    world.cycle()
    waiting = the(world, action_id)
    world.put(msgspec.structs.replace(waiting, phase=NActionPhase.CANCELLED, finished_ms=1))
    assert world.cycle().submissions == ()
    assert world.cycle().decision.proposals == ()


def test_what_a_person_asked_for_and_what_waits_costs_no_failover():
    world = replicated()
    ask(world, "n3", phase=NActionPhase.PENDING_APPROVE)
    ask(world, "n2")
    kill_store(world)
    result = world.cycle()
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]
    world.work()
    world.cycle()
    assert world.nodes["n2"].role is ShardRole.PRIMARY


def test_a_running_orchestrator_action_is_waited_for():
    world = by_hand()
    loop = OAction(
        ns_id=NS,
        cluster_id=CLUSTER,
        action_id="o1",
        kind=CORE_TEST_LOOP,
        args={"target": 3},
        created_ms=1,
        created_wall_ms=1,
        phase=OActionPhase.PENDING_SCHEDULE,
    )
    world.put(loop)
    ask(world, "n2")
    for _ in range(2):
        result = world.cycle()
        assert result.submissions == () and against(result, ASKED) == {"nobody_elses_work"}
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n2")]


def test_one_that_was_cancelled_and_runs_still_is_one_of_the_two():
    world = by_hand()
    ask(world, "n3")
    world.cycle()
    running = the(world, "of-n3")
    world.nodes["n3"].actions["of-n3"] = msgspec.structs.replace(
        world.nodes["n3"].actions["of-n3"], phase=SeenPhase.RUNNING
    )
    world.put(msgspec.structs.replace(running, phase=NActionPhase.CANCELLED, finished_ms=1))
    ask(world, "n2")
    result = world.cycle()
    assert result.submissions == () and against(result, ASKED) == {"one_disruption"}
