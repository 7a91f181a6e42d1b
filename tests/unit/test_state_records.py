"""What a cycle writes: all of it under a held fence over what it saw, or nothing."""

from __future__ import annotations

import msgspec
import pytest

from replicante.errors import Invalid
from replicante.limits import (
    ACTIONS_ENDED_KEPT_MAX,
    DECISIONS_KEPT_MAX,
    RECORD_CHANGES_MAX,
    RECORDS_DROPPED_MAX,
)
from replicante.model.action_requests import ActionOn
from replicante.model.change import Change, ChangeCode, RecordKind
from replicante.model.codec import encode_value
from replicante.model.decision import Decision
from replicante.model.discovery import ClusterDiscovery, DiscoveredNode
from replicante.model.node import Node, NodeStatus
from replicante.model.objects import ObjectKind
from replicante.state import queries, record_queries
from replicante.state.action_commands import ActionVerb, CreateAction, MoveAction
from replicante.state.fences import Fence, FenceOn, lease_name
from replicante.state.lease_commands import LeaseAcquire, LeaseRelease
from replicante.state.object_commands import DeleteObject
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.record_commands import DropRecords, RecordCycle, RequestWork, record_change
from replicante.testing.builders import (
    CheckedState,
    cluster_document,
    platform_document,
    put_namespace,
    put_object,
)

ID = "00000000-0000-8000-8000-000000000001"
CLUSTER = ("default", "r")


class Bench:
    """A state with one cluster, and the hands of a worker."""

    def __init__(self):
        self.state = CheckedState()
        self.state.do(put_namespace("default"))
        self.state.do(put_object(cluster_document("r")))
        self.token = self.acquire(FenceOn.CLUSTER, "r")

    def acquire(self, on, name):
        command = LeaseAcquire(lease_name(on, "default", name), 30_000, encode_value({}))
        return self.state.do(command).revision

    def fence(self, **fields):
        wanted = {"on": FenceOn.CLUSTER, "ns": "default", "name": "r", "token": self.token}
        return Fence(**{**wanted, **fields})

    def record(self, *changes, fence=None, seen=None, **more):
        """seen: what an earlier `read` gave; None: what is there now."""
        revisions = (seen or self.read()).revisions
        made = tuple(record_change(change, revisions) for change in changes)
        return self.state.do(RecordCycle(fence or self.fence(), made, **more))

    def read(self):
        return record_queries.cluster_records(self.state.store, *CLUSTER)

    def codes(self):
        events = queries.events_after(self.state.store, 0, limit=1_000).items
        return [one.code for one in events if not one.code.startswith(("LEASE", "NAMESPACE"))]


def node(name, status=NodeStatus.HEALTHY):
    return Node(ns_id="default", cluster_id="r", node_id=name, node_status=status)


def node_change(name, *, before=None, after, code=ChangeCode.NODE_SYNC_NEW):
    return Change(
        kind=RecordKind.NODE,
        key=(*CLUSTER, name),
        before=None if before is None else before.to_value(),
        after=None if after is None else after.to_value(),
        code=code,
    )


def decision(number):
    record = Decision(
        ns_id="default",
        cluster_id="r",
        decision_id=f"d{number}",
        epoch=1,
        now_ms=1,
        wall_now_ms=1,
        mode="observe",
        mode_reason="",
    )
    return Change(
        kind=RecordKind.DECISION,
        key=(*CLUSTER, record.decision_id),
        before=None,
        after=record.to_value(),
        code=ChangeCode.DECISION,
    )


def action_change(before, phase, *, code=ChangeCode.NACTION_SYNC_UPDATE):
    return Change(
        kind=RecordKind.NACTION,
        key=(*CLUSTER, before.action_id),
        before=before.to_value(),
        after={**before.to_value(), "phase": phase},
        code=code,
    )


def create_action(state, action_id=ID):
    body = {"kind": "a/b", "args": None, "metadata": {}, "node_id": "n1"}
    state.do(CreateAction(ActionOn.NODE, (*CLUSTER, action_id), encode_value(body), True))


def test_a_cycle_writes_its_records_and_their_events_in_one_entry():
    bench = Bench()
    outcome = bench.record(
        node_change("n1", after=node("n1")), node_change("n2", after=node("n2")), decision(1)
    )
    assert outcome.is_changed
    assert bench.read().nodes == (node("n1"), node("n2"))
    assert bench.codes()[-3:] == ["NODE_SYNC_NEW", "NODE_SYNC_NEW", "DECISION"]
    events = queries.events_after(bench.state.store, 0, limit=100).items[-3:]
    assert len({event.index for event in events}) == 1
    assert (events[0].ns, events[0].cluster, events[0].key) == ("default", "r", "n1")
    assert Node.from_value(events[0].payload_value()["after"]) == node("n1")


def test_bookkeeping_is_written_and_not_told():
    bench = Bench()
    bench.record(node_change("n1", after=node("n1"), code=None))
    assert bench.read().nodes == (node("n1"),)
    assert "NODE_SYNC_NEW" not in bench.codes()


@pytest.mark.parametrize("lost", ["released", "expired", "another", "platform"])
def test_a_cycle_without_its_fence_writes_nothing(lost):
    bench = Bench()
    fence = bench.fence()
    if lost == "released":
        bench.state.do(LeaseRelease(lease_name(FenceOn.CLUSTER, *CLUSTER), bench.token))
    elif lost == "expired":
        bench.state.advance(30_000)
    elif lost == "another":
        bench.state.advance(30_000)
        bench.acquire(FenceOn.CLUSTER, "r")
    else:
        fence = bench.fence(token=bench.acquire(FenceOn.PLATFORM, "r"))
    before = bench.codes()
    outcome = bench.record(node_change("n1", after=node("n1")), fence=fence)
    assert outcome.code is RejectCode.STALE_TOKEN
    assert (bench.read().nodes, bench.codes()) == ((), before)


def test_a_record_that_changed_since_it_was_seen_refuses_the_whole_cycle():
    bench = Bench()
    create_action(bench.state)
    records = bench.read()
    (seen,) = records.nactions
    bench.state.do(
        MoveAction(ActionOn.NODE, (*CLUSTER, "n1", ID), ActionVerb.CANCEL, "a person was faster")
    )
    before = bench.codes()
    outcome = bench.record(
        node_change("n1", after=node("n1")), action_change(seen, "RUNNING"), seen=records
    )
    assert outcome == Rejected(RejectCode.RECORD_CHANGED, {"record": f"naction default/r/{ID}"})
    assert (bench.read().nodes, bench.codes()) == ((), before)


def test_a_later_change_of_a_cycle_sees_the_earlier_one():
    bench = Bench()
    down = node("n1", NodeStatus.UNREACHABLE)
    bench.record(
        node_change("n1", after=node("n1")),
        node_change("n1", before=node("n1"), after=down, code=ChangeCode.NODE_SYNC_UPDATE),
        node_change("n1", before=down, after=down, code=ChangeCode.AGENT_DOWN),
    )
    assert bench.read().nodes == (down,)
    assert bench.codes()[-3:] == ["NODE_SYNC_NEW", "NODE_SYNC_UPDATE", "AGENT_DOWN"]


@pytest.mark.parametrize(
    ("phases", "is_allowed"),
    [
        (["NEW", "RUNNING", "DONE"], True),
        (["RUNNING", "RUNNING"], True),
        (["LOST"], False),
        (["RUNNING", "NEW"], False),
    ],
)
def test_an_action_takes_only_steps_that_its_phase_allows(phases, is_allowed):
    bench = Bench()
    create_action(bench.state)
    (seen,) = bench.read().nactions
    outcome = None
    for phase in phases:
        outcome = bench.record(action_change(seen, phase))
        seen = record_queries.action_get(bench.state.store, ActionOn.NODE, *CLUSTER, ID).action
    assert (seen.phase == phases[-1]) is is_allowed
    if not is_allowed:
        assert outcome.code is RejectCode.WRONG_PHASE


def test_an_action_that_ended_is_not_called_back():
    bench = Bench()
    create_action(bench.state)
    records = bench.read()
    (seen,) = records.nactions
    ended = bench.record(action_change(seen, "DONE"))
    known = {(RecordKind.NACTION, (*CLUSTER, ID)): ended.revision}
    again = bench.record(
        action_change(seen, "RUNNING"), seen=msgspec.structs.replace(records, revisions=known)
    )
    assert again.code is RejectCode.WRONG_PHASE
    assert bench.read().nactions == ()


def test_each_step_of_an_action_is_kept_with_who_said_so():
    bench = Bench()
    create_action(bench.state)
    (seen,) = bench.read().nactions
    bench.record(action_change(seen, "NEW"))
    (seen,) = bench.read().nactions
    bench.record(action_change(seen, "LOST", code=ChangeCode.NACTION_LOST))
    steps = record_queries.action_history(bench.state.store, ActionOn.NODE, *CLUSTER, ID)
    assert [(step.phase, step.origin) for step in steps] == [
        ("PENDING_SCHEDULE", "CORE"),
        ("NEW", "AGENT"),
        ("LOST", "CORE"),
    ]
    assert bench.read().nactions == ()


def test_a_cycle_of_a_cluster_that_is_gone_or_going_writes_nothing():
    bench = Bench()
    bench.record(node_change("n1", after=node("n1")))
    bench.state.do(DeleteObject(ObjectKind.CLUSTER_SPEC, CLUSTER))
    assert bench.record(decision(1)).code is RejectCode.BEING_DELETED
    bench.state.do(DropRecords(*CLUSTER))
    assert bench.record(decision(1)) == Rejected(RejectCode.NOT_FOUND)


def test_the_records_of_a_cluster_go_with_their_events_and_then_the_cluster_and_its_namespace():
    bench = Bench()
    create_action(bench.state)
    bench.record(node_change("n1", after=node("n1")), decision(1))
    assert bench.state.do(DropRecords(*CLUSTER)) == Rejected(RejectCode.NOT_FOUND)
    bench.state.do(DeleteObject(ObjectKind.NAMESPACE, ("default",)))
    assert not bench.state.do(DeleteObject(ObjectKind.CLUSTER_SPEC, CLUSTER)).is_removed
    assert bench.state.do(DropRecords(*CLUSTER)).is_removed
    assert bench.codes()[-3:] == ["NODE_DELETE", "NACTION_CANCEL", "CLUSTER_SPEC_DELETED"]
    assert queries.object_get(bench.state.store, ObjectKind.NAMESPACE, ("default",)) is None
    assert record_queries.action_history(bench.state.store, ActionOn.NODE, *CLUSTER, ID) == ()


def test_a_large_cluster_goes_in_several_commands():
    bench = Bench()
    count = RECORDS_DROPPED_MAX + 1
    bench.record(*(node_change(f"n{i:04}", after=node(f"n{i:04}")) for i in range(count)))
    bench.state.do(DeleteObject(ObjectKind.CLUSTER_SPEC, CLUSTER))
    assert not bench.state.do(DropRecords(*CLUSTER)).is_removed
    assert len(bench.read().nodes) == 1
    assert bench.state.do(DropRecords(*CLUSTER)).is_removed


def test_only_the_last_decisions_are_kept_and_found_by_time():
    bench = Bench()
    stamps = [bench.record(decision(i)).revision for i in range(DECISIONS_KEPT_MAX + 2)]
    kept = record_queries.decisions(bench.state.store, *CLUSTER)
    assert [one.decision_id for one in kept] == [f"d{i}" for i in range(2, DECISIONS_KEPT_MAX + 2)]
    at = record_queries.decision_at(bench.state.store, *CLUSTER, stamps[5])
    assert at.decision_id == "d5"
    assert record_queries.decision_at(bench.state.store, *CLUSTER, stamps[0]) is None


def test_only_the_youngest_ended_actions_are_kept():
    bench = Bench()
    for number in range(ACTIONS_ENDED_KEPT_MAX + 1):
        action_id = f"{number:08x}-0000-8000-8000-000000000000"
        create_action(bench.state, action_id)
        bench.state.do(MoveAction(ActionOn.NODE, (*CLUSTER, "n1", action_id), ActionVerb.CANCEL))
    page = record_queries.action_list(bench.state.store, ActionOn.NODE, *CLUSTER, limit=1_000)
    assert len(page.items) == ACTIONS_ENDED_KEPT_MAX
    assert page.items[0].action.action_id.startswith("00000001")
    gone = "00000000-0000-8000-8000-000000000000"
    assert record_queries.action_history(bench.state.store, ActionOn.NODE, *CLUSTER, gone) == ()


def test_a_discovery_declares_what_it_found_and_touches_nothing_declared():
    bench = Bench()
    bench.state.do(put_object(platform_document("p")))
    token = bench.acquire(FenceOn.PLATFORM, "p")
    fence = bench.fence(on=FenceOn.PLATFORM, name="p", token=token)
    found = ClusterDiscovery(
        ns_id="default",
        cluster_id="new",
        nodes=(DiscoveredNode(agent_address="http://a", node_class="x", node_id="n1"),),
        platform="p",
    )
    change = Change(
        kind=RecordKind.CLUSTER_DISCOVERY,
        key=("default", "new"),
        before=None,
        after=found.to_value(),
        code=ChangeCode.CLUSTER_DISCOVERY_NEW,
    )
    spec = put_object(cluster_document("new")).spec
    declared = queries.object_get(bench.state.store, ObjectKind.CLUSTER_SPEC, CLUSTER)
    run = encode_value({"is_success": True})
    bench.record(change, fence=fence, specs=(("new", spec), ("r", spec)), run=run)
    assert bench.codes()[-2:] == ["CLUSTER_DISCOVERY_SYNTHETIC", "CLUSTER_DISCOVERY_NEW"]
    assert record_queries.discoveries(bench.state.store, "default").items == (found,)
    kept = queries.object_get(bench.state.store, ObjectKind.CLUSTER_SPEC, CLUSTER)
    assert kept == declared
    assert record_queries.platform_run(bench.state.store, "default", "p") == {"is_success": True}
    bench.state.do(DeleteObject(ObjectKind.PLATFORM, ("default", "p")))
    assert record_queries.platform_run(bench.state.store, "default", "p") is None


def test_a_request_stands_until_a_cycle_that_saw_it_and_comes_once():
    bench = Bench()
    ask = RequestWork(FenceOn.CLUSTER, *CLUSTER)
    first = bench.state.do(ask)
    assert bench.state.do(ask) == Applied(first.revision, is_changed=False)
    assert bench.codes().count("ORCHESTRATE_REQUESTED") == 1
    bench.record(answers=first.revision - 1)
    assert bench.read().request == first.revision
    bench.record(answers=first.revision)
    assert bench.read().request is None
    assert bench.state.do(ask).is_created


def test_nothing_is_asked_of_what_is_not_there_and_nothing_is_left_of_what_goes():
    bench = Bench()
    nowhere = RequestWork(FenceOn.PLATFORM, "default", "p")
    assert bench.state.do(nowhere) == Rejected(RejectCode.NOT_FOUND)
    bench.state.do(put_object(platform_document("p")))
    bench.state.do(nowhere)
    bench.state.do(DeleteObject(ObjectKind.PLATFORM, ("default", "p")))
    assert record_queries.work_request(bench.state.store, FenceOn.PLATFORM, "default", "p") is None


def test_the_ids_of_ended_actions_are_read_with_the_records():
    bench = Bench()
    create_action(bench.state)
    assert bench.read().ended_ids == frozenset()
    bench.state.do(MoveAction(ActionOn.NODE, (*CLUSTER, "n1", ID), ActionVerb.CANCEL))
    assert bench.read().ended_ids == {ID}


@pytest.mark.parametrize(
    ("change", "fence", "more", "path"),
    [
        ({"key": ("default", "other", "n1")}, {}, {}, "changes[0].names"),
        ({"key": ("default", "r")}, {}, {}, "changes[0].names"),
        ({}, {"on": FenceOn.PLATFORM}, {}, "changes[0].names"),
        ({}, {"token": 0}, {}, "fence.token"),
        ({"cause": "x" * 257}, {}, {}, "changes[0].cause"),
        ({}, {}, {"run": encode_value({})}, "specs"),
        ({}, {}, {"specs": (("r", encode_value({})),)}, "specs"),
    ],
)
def test_what_no_worker_may_write_is_not_let_in(change, fence, more, path):
    bench = Bench()
    made = msgspec.structs.replace(node_change("n1", after=node("n1")), **change)
    with pytest.raises(Invalid) as refused:
        bench.record(made, fence=bench.fence(**fence), **more)
    assert refused.value.path == path


def test_a_cycle_has_a_bound():
    bench = Bench()
    changes = [node_change(f"n{i}", after=node(f"n{i}")) for i in range(RECORD_CHANGES_MAX + 1)]
    with pytest.raises(Invalid, match=str(RECORD_CHANGES_MAX)):
        bench.record(*changes)


def test_a_lease_name_fits_whatever_the_names_are():
    long = "a" * 128
    names = {lease_name(on, ns, long) for on in FenceOn for ns in (long, "b" + long[1:])}
    assert len(names) == 4
    assert all(len(name) <= 128 for name in names)
