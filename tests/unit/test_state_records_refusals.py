"""What refuses a cycle besides its fence, and how long what ended is kept."""

from __future__ import annotations

from test_state_records import CLUSTER, Bench, create_action, node, node_change

from replicante.limits import ACTIONS_ENDED_KEPT_MS, ACTIONS_FORGOTTEN_MAX
from replicante.model.action_requests import ActionOn
from replicante.model.objects import ObjectKind
from replicante.state import queries, record_queries
from replicante.state.action_commands import ActionVerb, MoveAction
from replicante.state.fences import FenceOn
from replicante.state.outcome import Applied, RejectCode
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
    assert record_queries.action_history(bench.state.store, *CLUSTER, ids[0]) == ()
