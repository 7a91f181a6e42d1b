from __future__ import annotations

import pytest

from replicante.errors import Invalid
from replicante.model.cluster_declaration import OFF_BY_DEFAULT, Approval, ExpandMode, Step
from replicante.model.cluster_spec import ClusterSpec, read_cluster_spec
from replicante.model.codec import decode_value, encode_value
from replicante.model.modes import Mode
from replicante.model.node_search import Matcher, MatchOp, SortRule
from replicante.model.violations import Violations

DEFINED = {
    "ns_id": "default",
    "cluster_id": "sessions",
    "interval": "5s",
    "platform": {"name": "local"},
    "mode": {
        "mode": "active",
        "actor": "ann",
        "reason": "drill",
        "until": "2026-12-01T06:00:00Z",
    },
    "declaration": {
        "approval": "required",
        "definition": {
            "store": "redis",
            "store_version": "6.2",
            "nodes": {"data": {"desired_count": 3, "node_class": "small"}},
        },
        "expand": {"mode": "Join", "target_member": {"matches": {"zone": ["a", "b"]}}},
        "initialise": {
            "mode": "SingleNode",
            "search": {"matches": {"zone": {"op": "set"}}, "sort_by": ["-node_id"]},
        },
        "graces": {"expand": 7, "scale_up": "90s"},
        "steps": {"scale_down": True, "failover": False},
        "allow_unfenced": True,
        "policies": {"data_loss_offset": None, "confirmations": 5, "quiet_period": "10m"},
        "maintenance_windows": [{"days": ["sat", "sun"], "start": "23:00", "duration": "3h"}],
    },
}


def read(spec):
    violations = Violations()
    cluster = read_cluster_spec(spec, metadata_name=None, violations=violations)
    violations.raise_if_any()
    return cluster


def faults_of(spec):
    with pytest.raises(Invalid) as caught:
        read(spec)
    return [fault["path"] for fault in caught.value.details["violations"]]


def declared(**declaration):
    return {"cluster_id": "c", "declaration": declaration}


def test_a_new_cluster_is_observed_and_takes_no_nodes_away():
    cluster = read({"cluster_id": "c"})
    assert cluster.ns_id == "default"
    assert cluster.mode.mode is Mode.OBSERVE
    assert not cluster.declaration.steps & OFF_BY_DEFAULT
    assert not cluster.declaration.is_unfenced_allowed
    assert cluster.declaration.policies.data_loss_offset_max == 0


def test_defaults_of_the_original_stay():
    cluster = read({"cluster_id": "c"})
    assert cluster.is_active and cluster.interval_ms == 60_000
    assert cluster.declaration.approval is Approval.GRANTED
    assert cluster.declaration.expand_mode is ExpandMode.AUTO
    graces = cluster.declaration.graces_ms
    for step in (Step.SCALE_UP, Step.CLUSTER_INIT, Step.CLUSTER_EXPAND):
        assert graces[step] == 5 * 60_000


def test_bare_numbers_count_what_the_original_counts():
    assert read({"cluster_id": "c", "interval": 30}).interval_ms == 30_000
    graces = read(declared(graces={"expand": 7})).declaration.graces_ms
    assert graces[Step.CLUSTER_EXPAND] == 7 * 60_000


@pytest.mark.parametrize("spec", [{"cluster_id": "c"}, DEFINED], ids=["minimal", "full"])
def test_a_spec_that_was_stored_reads_as_the_same_cluster(spec):
    cluster = read(spec)
    stored = decode_value(encode_value(cluster.to_spec()))
    assert ClusterSpec.from_spec(stored) == cluster
    assert encode_value(ClusterSpec.from_spec(stored).to_spec()) == encode_value(stored)


def test_everything_declared_is_read():
    cluster = read(DEFINED)
    declaration = cluster.declaration
    assert cluster.platform_ns_id == "default"
    assert declaration.definition.cluster_id == "sessions"
    assert declaration.definition.desired_count == 3
    assert declaration.expand_target.matches == {"zone": Matcher(op=MatchOp.IN, values=("a", "b"))}
    assert declaration.initialise_search.sort_by == (
        SortRule(attribute="node_id", is_descending=True),
    )
    assert Step.SCALE_DOWN in declaration.steps and Step.FAILOVER not in declaration.steps
    assert declaration.policies.data_loss_offset_max is None


def test_a_mode_that_ended_is_observe_whatever_it_was():
    mode = read(DEFINED).mode
    end_ms = mode.until_wall_ms
    assert mode.in_force(wall_now_ms=end_ms - 1) is Mode.ACTIVE
    assert mode.in_force(wall_now_ms=end_ms) is Mode.OBSERVE


def test_the_bare_name_of_a_mode_is_enough():
    assert read({"cluster_id": "c", "mode": "paused"}).mode.mode is Mode.PAUSED


def test_a_definition_needs_a_platform():
    spec = {**DEFINED}
    del spec["platform"]
    assert faults_of(spec) == ["spec.platform"]


def test_a_platform_of_another_namespace_is_refused_by_its_place():
    spec = {**DEFINED, "platform": {"ns_id": "shop", "name": "local"}}
    assert faults_of(spec) == ["spec.platform.ns_id"]
    with pytest.raises(Invalid, match=r"spec\.platform\.ns_id: must be default"):
        read(spec)
    assert read({**spec, "ns_id": "shop"}).platform_ns_id == "shop"


def test_a_spec_that_was_stored_with_a_platform_of_another_namespace_still_reads():
    stored = {**read(DEFINED).to_spec(), "platform": {"ns_id": "shop", "name": "local"}}
    cluster = ClusterSpec.from_spec(stored)
    assert cluster.is_platform_elsewhere and cluster.to_spec() == stored


def test_every_fault_is_named():
    spec = {
        "cluster_id": "c",
        "interval": "1ms",
        "colour": "red",
        "mode": {"mode": "on", "until": "tomorrow"},
        "declaration": {
            "approval": "yes",
            "definition": {
                "cluster_id": "other",
                "store": "",
                "nodes": {"data": {"desired_count": -1, "node_class": 7}},
            },
            "expand": {"mode": "join"},
            "graces": {"failover": "-1s", "nap": "1s"},
            "steps": {"failover": "no"},
            "policies": {"data_loss_offset": -1, "confirmations": 0},
            "maintenance_windows": [{"days": ["someday"], "start": "25:00"}],
        },
    }
    assert sorted(faults_of(spec)) == sorted(
        [
            "spec.colour",
            "spec.interval",
            "spec.mode.mode",
            "spec.mode.until",
            "spec.platform",
            "spec.declaration.approval",
            "spec.declaration.definition.cluster_id",
            "spec.declaration.definition.store",
            "spec.declaration.definition.store_version",
            "spec.declaration.definition.nodes.data.desired_count",
            "spec.declaration.definition.nodes.data.node_class",
            "spec.declaration.expand.mode",
            "spec.declaration.graces.nap",
            "spec.declaration.graces.failover",
            "spec.declaration.steps.failover",
            "spec.declaration.policies.data_loss_offset",
            "spec.declaration.policies.confirmations",
            "spec.declaration.maintenance_windows[0].days[0]",
            "spec.declaration.maintenance_windows[0].start",
            "spec.declaration.maintenance_windows[0].duration",
        ]
    )


@pytest.mark.parametrize("value", [None, 7, "x", [], [1], {"a": {}}, True, 1.5])
@pytest.mark.parametrize(
    "field", ["declaration", "mode", "platform", "interval", "active", "cluster_id", "ns_id"]
)
def test_no_value_in_any_place_does_more_than_fail(field, value):
    try:
        read({"cluster_id": "c", field: value})
    except Invalid as fault:
        assert fault.details["violations"]


@pytest.mark.parametrize(
    ("matcher", "fault"),
    [
        ({"op": "eq"}, ".value"),
        ({"op": "in", "value": 1}, ".value"),
        ({"op": "in"}, ".values"),
        ({"op": "set", "value": 1}, ".value"),
        ({"op": "like", "value": 1}, ".op"),
        ({"op": "eq", "value": {}}, ""),
    ],
)
def test_a_matcher_without_its_operand_is_refused_not_silently_false(matcher, fault):
    search = {"matches": {"zone": matcher}}
    path = "spec.declaration.expand.target_member.matches.zone"
    assert f"{path}{fault}" in faults_of(declared(expand={"mode": "Add", "target_member": search}))


def test_a_window_reaches_over_midnight():
    (window,) = read(DEFINED).declaration.windows
    saturday_ms = 1_796_428_800_000  # 2026-12-05T00:00:00Z
    hour_ms = 3_600_000
    assert not window.holds_at(saturday_ms + 23 * hour_ms - 1)
    assert window.holds_at(saturday_ms + 23 * hour_ms)
    assert window.holds_at(saturday_ms + 26 * hour_ms - 1)
    assert not window.holds_at(saturday_ms + 26 * hour_ms)
    assert window.holds_at(saturday_ms + 49 * hour_ms), "Sunday's, on Monday"
    assert not window.holds_at(saturday_ms + hour_ms), "Friday has none"
