"""What refuses a cycle besides its fence, and how long what ended is kept."""

from __future__ import annotations

import pytest
from test_state_records import CLUSTER, Bench, create_action, node, node_change

from replicante.errors import Invalid
from replicante.limits import ACTIONS_ENDED_KEPT_MS, ACTIONS_FORGOTTEN_MAX
from replicante.model.action_requests import ActionOn
from replicante.model.change import Change, ChangeCode, RecordKind
from replicante.model.codec import load_value
from replicante.model.discovery import ClusterDiscovery, DiscoveredNode, HeldDiscovery
from replicante.model.objects import ObjectKind
from replicante.state import queries, record_queries
from replicante.state.action_commands import ActionVerb, MoveAction
from replicante.state.fences import FenceOn
from replicante.state.outcome import Applied, RejectCode
from replicante.state.record_commands import ConfirmDiscovery
from replicante.testing.builders import cluster_document, put_namespace, put_object


def test_a_cycle_over_an_older_declaration_is_refused():
    bench = Bench()
    spec = queries.object_get(bench.state.store, ObjectKind.CLUSTER_SPEC, CLUSTER).revision
    namespace = queries.object_get(bench.state.store, ObjectKind.NAMESPACE, ("default",)).revision
    change = node_change("n1", after=node("n1"))
    assert isinstance(bench.record(change, under=(spec, namespace)), Applied)
    bench.state.do(put_object(cluster_document("r", spec={"mode": "paused"})))
    refused = bench.record(node_change("n2", after=node("n2")), under=(spec, namespace))
    assert refused.code is RejectCode.RECORD_CHANGED
    assert refused.details == {"record": "ClusterSpec default/r"}
    assert isinstance(bench.record(node_change("n2", after=node("n2"))), Applied)


def test_a_cycle_over_an_older_namespace_is_refused():
    bench = Bench()
    spec = queries.object_get(bench.state.store, ObjectKind.CLUSTER_SPEC, CLUSTER).revision
    namespace = queries.object_get(bench.state.store, ObjectKind.NAMESPACE, ("default",)).revision
    bench.state.do(put_namespace("default", spec={"status": "Observed"}))
    refused = bench.record(node_change("n1", after=node("n1")), under=(spec, namespace))
    assert refused.code is RejectCode.RECORD_CHANGED


def test_ended_actions_are_forgotten_by_age_a_few_a_cycle():
    bench = Bench()
    ids = [f"00000000-0000-8000-8000-{i:012}" for i in range(ACTIONS_FORGOTTEN_MAX + 2)]
    for action_id in ids:
        create_action(bench.state, action_id)
        names = (*CLUSTER, "n1", action_id)
        bench.state.do(MoveAction(ActionOn.NODE, names, ActionVerb.CANCEL))
    bench.state.advance(ACTIONS_ENDED_KEPT_MS - 1)
    bench.token = bench.acquire(FenceOn.CLUSTER, "r")
    bench.record()
    assert bench.read().ended_ids == set(ids)
    bench.state.advance(1)
    bench.record()
    assert bench.read().ended_ids == set(ids[ACTIONS_FORGOTTEN_MAX:])
    bench.record()
    assert bench.read().ended_ids == frozenset()
    assert record_queries.action_history(bench.state.store, ActionOn.NODE, *CLUSTER, ids[0]) == ()


def discovered(name):
    return DiscoveredNode(agent_address=f"http://127.0.0.1/{name}", node_class="x", node_id=name)


def held_bench(*, left=("n1",)):
    """Three nodes are known, and an answer is held that names only `left`."""
    bench = Bench()
    held = HeldDiscovery(
        nodes=tuple(map(discovered, left)), reason="too many", since_ms=1, seen_count=3
    )
    record = ClusterDiscovery(
        ns_id="default",
        cluster_id="r",
        nodes=tuple(map(discovered, ("n1", "n2", "n3"))),
        platform="p",
        held=held,
    )
    bench.record(
        Change(
            kind=RecordKind.CLUSTER_DISCOVERY,
            key=CLUSTER,
            before=None,
            after=record.to_value(),
            code=ChangeCode.CLUSTER_DISCOVERY_NEW,
        )
    )
    return bench


def test_a_person_confirms_that_nodes_are_gone():
    bench = held_bench()
    bench.state.do(ConfirmDiscovery(*CLUSTER, ("n2", "n3"), "the rack burnt down"))
    found = bench.read().discovery
    assert ([node.node_id for node in found.nodes], found.held) == (["n1"], None)
    event = queries.events_after(bench.state.store, 0, limit=1_000).items[-1]
    assert event.code == "CLUSTER_DISCOVERY_UPDATE"
    payload = load_value(event.payload)
    assert payload["reason"] == "the rack burnt down"
    assert [it["node_id"] for it in payload["before"]["nodes"]] == ["n1", "n2", "n3"]


def test_a_person_confirms_that_a_cluster_is_gone():
    bench = held_bench(left=())
    bench.state.do(ConfirmDiscovery(*CLUSTER, ("n1", "n2", "n3")))
    assert bench.read().discovery.nodes == ()
    assert bench.codes()[-1] == "CLUSTER_DISCOVERY_LOST"


@pytest.mark.parametrize("gone", [("n2",), ("n1", "n2", "n3"), ("n3", "n4")])
def test_other_nodes_than_are_missing_are_not_confirmed(gone):
    bench = held_bench()
    refused = bench.state.do(ConfirmDiscovery(*CLUSTER, gone))
    assert refused.code is RejectCode.RECORD_CHANGED
    assert refused.details["missing"] == ["n2", "n3"]
    assert len(bench.read().discovery.nodes) == 3


def test_nothing_is_confirmed_where_nothing_is_held():
    bench = held_bench()
    confirm = ConfirmDiscovery(*CLUSTER, ("n2", "n3"))
    assert isinstance(bench.state.do(confirm), Applied)
    assert bench.state.do(confirm).code is RejectCode.NOT_FOUND
    other = ConfirmDiscovery("default", "nowhere", ("n2",))
    assert bench.state.do(other).code is RejectCode.NOT_FOUND


@pytest.mark.parametrize("gone", [(), ("",), ("x" * 129,), ("n",) * 1_001])
def test_a_confirmation_names_nodes(gone):
    with pytest.raises(Invalid):
        Bench().state.do(ConfirmDiscovery(*CLUSTER, gone))
