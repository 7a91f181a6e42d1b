"""The known defects of the original that concern decisions, each with the behaviour required here.

The number is that of the list of defects in the description of the original.
"""

from __future__ import annotations

import msgspec
import pytest
from orchestrate_builders import (
    CLUSTER,
    NS,
    FakeNode,
    World,
    condition_names,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.errors import InconsistentRecords
from replicante.model.action_kinds import (
    CLUSTER_INIT,
    CORE_TEST_LOOP,
    SERVICE_RESTART,
)
from replicante.model.actions import NAction, NActionPhase, OAction, OActionPhase, Requester
from replicante.model.change import ChangeCode, RecordKind
from replicante.model.namespace import Namespace, NamespaceStatus
from replicante.model.node import Node, NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer, SeenAction, SeenPhase
from replicante.orchestrate.actions.dispatch import submission_accepted, submission_failed
from replicante.orchestrate.memory.fences import refusals_of
from replicante.orchestrate.view import build_view


def asked(node_id="n2", **fields):
    defaults = {
        "action_id": "a1",
        "kind": SERVICE_RESTART,
        "created_ms": 1,
        "created_wall_ms": 1,
        "phase": NActionPhase.PENDING_SCHEDULE,
    }
    return NAction(ns_id=NS, cluster_id=CLUSTER, node_id=node_id, **{**defaults, **fields})


def oaction(kind, **fields):
    defaults = {
        "action_id": "o1",
        "created_ms": 1,
        "created_wall_ms": 1,
        "phase": OActionPhase.PENDING_SCHEDULE,
    }
    return OAction(ns_id=NS, cluster_id=CLUSTER, kind=kind, **{**defaults, **fields})


def phase_of(world, action_id="a1"):
    return next(it.phase for it in world.nactions if it.action_id == action_id)


def codes(result):
    return [it.code for it in result.changes if it.code is not None]


def test_defect_2_progress_in_the_payload_alone_is_kept():
    world = replicated()
    world.put(oaction(CORE_TEST_LOOP, args={"target": 3}))
    for count in (1, 2):
        result = world.cycle()
        assert world.oactions[0].payload == {"count": count, "target": 3}
        assert ChangeCode.OACTION_UPDATE in codes(result)
    world.cycle()
    assert world.oactions[0].phase is OActionPhase.DONE


def test_defect_5_stale_shards_are_noted_and_vanished_ones_deleted():
    world = replicated()
    kill_store(world, "n3")
    result = world.cycle()
    assert any("shards of n3 are not fresh" in it.message for it in result.report.notes)
    assert [it.is_fresh for it in world.of(RecordKind.SHARD) if it.node_id == "n3"] == [False]
    world.nodes["n2"].role = None
    result = world.cycle()
    assert ChangeCode.SHARD_DELETE in codes(result)
    assert not [it for it in world.of(RecordKind.SHARD) if it.node_id == "n2"]


def test_defect_6_an_unfinished_action_is_in_the_view_once():
    world = replicated()
    spec, records = world.spec, [oaction(CORE_TEST_LOOP)] * 2
    with pytest.raises(InconsistentRecords):
        build_view(spec=spec, discovery=world.discovery, oactions=records)


def test_defect_7_only_the_agents_own_word_makes_an_action_lost():
    world = replicated()
    world.put(asked(phase=NActionPhase.RUNNING, sent_epoch=1))
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    assert phase_of(world) is NActionPhase.RUNNING
    world.nodes["n2"].answer = AgentAnswer.ANSWERED
    result = world.cycle()
    assert phase_of(world) is NActionPhase.LOST
    assert ChangeCode.NACTION_LOST in codes(result)
    assert result.report.nactions_lost_count == 1


def test_defect_7_an_action_missing_from_both_lists_is_not_lost_by_that():
    world = replicated()
    world.put(asked(phase=NActionPhase.RUNNING, sent_epoch=1))
    observations = tuple(
        msgspec.structs.replace(it, unknown_actions=()) for it in world.inputs().observations
    )
    world.cycle(observations=observations)
    assert phase_of(world) is NActionPhase.RUNNING


def test_defect_7_what_was_sent_and_never_arrived_is_sent_again_under_its_id():
    world = replicated()
    world.put(asked())
    first = world.cycle(is_sent=False).submissions
    again = world.cycle(is_sent=False).submissions
    assert [it.action_id for it in first] == [it.action_id for it in again] == ["a1"]


def test_defect_8_actions_of_unreachable_nodes_stay_in_view():
    world = replicated()
    world.put(asked(phase=NActionPhase.RUNNING, sent_epoch=1))
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    kill_store(world)
    result = world.cycle()
    assert "action_at_silent_agent" in condition_names(result)


def test_defect_9_a_cancelled_action_is_not_resurrected_and_its_agent_is_asked_to_cancel():
    world = replicated()
    world.put(asked(phase=NActionPhase.CANCELLED, sent_epoch=1, finished_ms=1))
    world.nodes["n2"].take(asked())
    result = world.cycle()
    assert [it.action_id for it in result.cancels] == ["a1"]
    assert phase_of(world) is NActionPhase.CANCELLED
    assert ChangeCode.NACTION_SYNC_NEW not in codes(result)


def test_defect_10_one_bad_address_is_the_trouble_of_one_node():
    world = replicated()
    world.nodes["n3"].answer = AgentAnswer.BAD_ADDRESS
    kill_store(world)
    result = world.cycle()
    assert "agent_address_unusable" in condition_names(result)
    # One of two other copies is no majority, so a person is asked; but the cycle went on.
    assert outcomes(result, "failover") == ["awaits_approval"]
    assert result.report.nodes_synced_count == 2


def test_defect_11_an_agent_that_speaks_for_another_node_is_never_acted_on():
    world = World(
        FakeNode("n1", status=NodeStatus.NOT_IN_CLUSTER, role=None),
        spec=make_spec(initialise={"mode": "SingleNode"}),
    )
    world.put(asked("n1"))
    world.nodes["n1"].answer = AgentAnswer.WRONG_IDS
    for _ in range(3):
        result = world.cycle()
        assert result.submissions == ()
    assert "agent_wrong_ids" in condition_names(result)


def test_defect_12_every_event_comes_with_its_change():
    world = replicated()
    kill_store(world)
    for _ in range(6):
        result = world.cycle(after_ms=5_000)
        world.work()
        for change in result.changes:
            assert change.before != change.after
            assert change.before is not None or change.after is not None


def test_defect_13_a_worker_that_lost_the_cluster_writes_and_sends_nothing():
    world = replicated()
    world.epoch = 7
    world.cycle()
    kill_store(world)
    result = world.cycle(epoch=6)
    assert (result.changes, result.submissions, result.decision) == ((), (), None)
    assert not result.report.is_success and "took over" in result.report.error


def test_a_node_that_knows_a_greater_epoch_is_the_trouble_of_one_node():
    world = replicated()
    world.nodes["n3"].answer = AgentAnswer.STALE_EPOCH
    kill_store(world)
    result = world.cycle()
    assert {"agent_epoch_ahead", "primary_gone"} <= condition_names(result)
    assert outcomes(result, "failover") == ["awaits_approval"], "one of two copies is no majority"
    assert result.report.nodes_synced_count == 2


def test_a_primary_that_knows_a_greater_epoch_is_not_replaced_while_its_copies_hear_it():
    world = replicated()
    world.cycle()
    world.nodes["n1"].answer = AgentAnswer.STALE_EPOCH
    for _ in range(10):
        result = world.cycle(after_ms=60_000)
        assert result.submissions == ()
        assert {"agent_epoch_ahead", "primary_seen_by_copies_only"} <= condition_names(result)


def test_defect_14_a_deleting_namespace_starts_nothing_and_winds_up():
    world = replicated()
    world.put(asked(phase=NActionPhase.PENDING_APPROVE))
    world.put(oaction(CORE_TEST_LOOP))
    world.namespace = Namespace(name=NS, status=NamespaceStatus.DELETING)
    kill_store(world)
    result = world.cycle()
    assert result.submissions == () and result.report.mode == "delete"
    assert phase_of(world) is NActionPhase.CANCELLED
    assert world.oactions[0].phase is OActionPhase.CANCELLED


def test_defect_14_an_observed_namespace_is_watched_and_nothing_is_sent():
    world = replicated()
    world.namespace = Namespace(name=NS, status=NamespaceStatus.OBSERVED)
    world.put(asked())
    kill_store(world)
    result = world.cycle()
    assert result.submissions == () and result.report.mode == "observe"
    assert "store_unavailable" in condition_names(result)


def test_defect_17_the_actions_own_timeout_counts():
    world = replicated()
    world.put(oaction(CORE_TEST_LOOP, args={"target": 1_000}, timeout_ms=5_000))
    world.cycle()
    world.cycle(after_ms=4_999)
    assert world.oactions[0].phase is OActionPhase.RUNNING
    world.cycle(after_ms=1)
    assert world.oactions[0].phase is OActionPhase.FAILED


def test_defect_21_a_failed_submission_is_an_event_and_attempts_are_bounded():
    world = replicated()
    world.put(asked())
    (action,) = world.cycle(is_sent=False).submissions
    for attempt in range(1, 4):
        change = submission_failed(action, message="refused", is_refused=attempt != 2)
        action = NAction.from_value(change.after)
        assert (action.attempts_count, refusals_of(action)) == (attempt, (attempt + 1) // 2)
        assert change.code is ChangeCode.NACTION_DISPATCH_FAIL
        assert action.phase is NActionPhase.PENDING_SCHEDULE


def test_defect_21_a_known_id_counts_as_taken():
    change = submission_accepted(asked(sent_epoch=1, attempts_count=2), now_ms=1, wall_ms=1)
    after = NAction.from_value(change.after)
    assert (after.phase, after.attempts_count) == (NActionPhase.NEW, 0)
    running = asked(phase=NActionPhase.RUNNING)
    assert submission_accepted(running, now_ms=1, wall_ms=1) is None


@pytest.mark.parametrize("status", [NamespaceStatus.INACTIVE, NamespaceStatus.ACTIVE])
def test_defect_22_every_cycle_has_a_report(status):
    world = replicated()
    world.namespace = Namespace(name=NS, status=status)
    result = world.cycle()
    assert any(it.kind is RecordKind.REPORT for it in result.changes)
    assert result.report.is_success is (status is NamespaceStatus.ACTIVE)


def test_defect_30_an_unknown_kind_fails_itself_and_nothing_else():
    world = replicated()
    world.put(oaction("example.com/later", action_id="o0"))
    world.put(oaction(CORE_TEST_LOOP, args={"target": 1}, created_ms=2))
    result = world.cycle()
    assert [it.phase for it in world.oactions] == [OActionPhase.FAILED, OActionPhase.DONE]
    assert result.report.is_success


def test_defect_35_actions_are_sent_in_the_order_of_their_creation():
    world = replicated()
    for i, created_ms in enumerate((30, 10, 20)):
        world.put(asked(action_id=f"a{i}", created_ms=created_ms))
    for _ in range(6):
        world.cycle()
        world.work()
    assert [it.action_id for it in world.sent] == ["a1", "a2", "a0"]


def test_an_action_that_awaits_approval_keeps_later_ones_of_its_node_waiting():
    world = replicated()
    world.put(asked(action_id="a1", phase=NActionPhase.PENDING_APPROVE))
    world.put(asked(action_id="a2", created_ms=2))
    world.put(asked("n3", action_id="a3", created_ms=3))
    assert sent_kinds(world.cycle()) == [(SERVICE_RESTART, "n3")]


def test_a_running_orchestrator_action_keeps_node_actions_waiting():
    world = replicated()
    world.put(oaction(CORE_TEST_LOOP, args={"target": 5}))
    world.cycle()
    world.put(asked())
    result = world.cycle()
    assert result.submissions == ()
    assert "FOUND_ORCHESTRATOR_EXCLUSIVE_RUNNING" in result.report.choices


def test_one_orchestrator_action_runs_at_a_time():
    world = replicated()
    world.put(oaction(CORE_TEST_LOOP, action_id="o1", args={"target": 3}))
    world.put(oaction(CORE_TEST_LOOP, action_id="o2", args={"target": 1}, created_ms=2))
    world.cycle()
    assert [it.phase for it in world.oactions] == [
        OActionPhase.RUNNING,
        OActionPhase.PENDING_SCHEDULE,
    ]


def test_an_action_made_at_the_agent_is_taken_into_the_records():
    world = replicated()
    world.nodes["n2"].actions["x"] = SeenAction(
        action_id="x", kind=CLUSTER_INIT, phase=SeenPhase.DONE, created_wall_ms=5
    )
    result = world.cycle()
    assert ChangeCode.NACTION_SYNC_NEW in codes(result)
    (found,) = world.nactions
    assert (found.requester, found.phase) == (Requester.AGENT_API, NActionPhase.DONE)
    assert ChangeCode.NACTION_SYNC_NEW not in codes(world.cycle())


def test_a_node_that_left_discovery_goes_with_everything_of_it():
    world = replicated()
    world.put(asked("n3", phase=NActionPhase.RUNNING, sent_epoch=1))
    del world.nodes["n3"]
    world.rediscover()
    result = world.cycle()
    expected = {
        ChangeCode.NODE_DELETE,
        ChangeCode.SHARD_DELETE,
        ChangeCode.STORE_EXTRAS_DELETE,
        ChangeCode.NACTION_CANCEL,
    }
    assert expected <= set(codes(result))
    assert {it.node_id for it in world.of(RecordKind.NODE)} == {"n1", "n2"}


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ({}, {"answer": AgentAnswer.TIMEOUT}, ChangeCode.AGENT_DOWN),
        ({"answer": AgentAnswer.TIMEOUT}, {}, ChangeCode.AGENT_UP),
        ({}, {"contact": StoreContact.REFUSED}, ChangeCode.NODE_DOWN),
        ({"contact": StoreContact.REFUSED}, {}, ChangeCode.NODE_UP),
        ({}, {"status": NodeStatus.UNHEALTHY}, ChangeCode.NODE_SYNC_UPDATE),
    ],
)
def test_coming_and_going_are_told_apart(before, after, code):
    world = World(FakeNode("n1", **before))
    world.cycle()
    world.nodes["n1"] = FakeNode("n1", **after)
    assert code in codes(world.cycle())


def test_a_quiet_cluster_emits_nothing():
    world = replicated()
    for node in world.nodes.values():
        node.offset += 10
    result = world.cycle()
    assert codes(result) == []


def test_records_of_another_cluster_are_refused():
    world = replicated()
    foreign = Node(ns_id=NS, cluster_id="other", node_id="n9", node_status=NodeStatus.HEALTHY)
    with pytest.raises(InconsistentRecords):
        build_view(spec=world.spec, discovery=world.discovery, nodes=[foreign])


def test_a_finished_action_among_the_unfinished_is_refused():
    world = replicated()
    with pytest.raises(InconsistentRecords):
        build_view(
            spec=world.spec,
            discovery=world.discovery,
            nactions=[asked(phase=NActionPhase.DONE)],
        )
