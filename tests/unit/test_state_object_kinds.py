"""Platforms, clusters, labels, and what holds an object that is Deleting."""

from __future__ import annotations

import pytest

from replicante.model.labels import parse_selector
from replicante.model.objects import ObjectKind
from replicante.state import queries
from replicante.state.object_commands import DeleteObject
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.testing.builders import (
    CheckedState,
    cluster_document,
    platform_document,
    put_namespace,
    put_object,
)

NAMESPACE, PLATFORM, CLUSTER = (
    ObjectKind.NAMESPACE,
    ObjectKind.PLATFORM,
    ObjectKind.CLUSTER_SPEC,
)


def codes(state):
    return [event.code for event in queries.events_after(state.store, 0, limit=1_000).items]


def test_nothing_is_declared_in_a_namespace_that_is_not_there():
    state = CheckedState()
    refused = Rejected(RejectCode.UNKNOWN_SCOPE, {"kind": "Namespace", "name": "shop"})
    assert state.do(put_object(cluster_document("r1", ns="shop"))) == refused
    assert state.do(put_object(platform_document("p1", ns="shop"))) == refused
    assert codes(state) == []


def test_each_kind_lives_in_its_namespace_and_tells_of_itself():
    state = CheckedState()
    state.do(put_namespace("shop"))
    assert state.do(put_object(cluster_document("r1", ns="shop"))).is_created
    assert state.do(put_object(platform_document("p1", ns="shop"))).is_created
    assert codes(state) == ["NAMESPACE_APPLY", "CLUSTER_SPEC_APPLY", "PLATFORM_APPLY"]
    event = queries.events_after(state.store, 0, limit=10).items[1]
    assert (event.ns, event.cluster, event.key) == ("shop", "r1", "r1")
    stored = queries.object_get(state.store, CLUSTER, ("shop", "r1"))
    assert stored.spec["mode"]["mode"] == "observe"
    assert stored.status == "Active"


def test_a_namespace_waits_in_deleting_until_what_lives_in_it_is_gone():
    state = CheckedState()
    state.do(put_namespace("shop"))
    state.do(put_object(cluster_document("r1", ns="shop")))
    state.do(put_object(platform_document("p1", ns="shop")))
    assert not state.do(DeleteObject(NAMESPACE, ("shop",))).is_removed
    assert queries.object_get(state.store, NAMESPACE, ("shop",)).status == "Deleting"
    state.do(DeleteObject(PLATFORM, ("shop", "p1")))
    assert queries.object_get(state.store, NAMESPACE, ("shop",)) is not None
    state.do(DeleteObject(CLUSTER, ("shop", "r1")))
    assert queries.object_get(state.store, NAMESPACE, ("shop",)) is None
    assert codes(state)[-3:] == [
        "CLUSTER_SPEC_DELETE_REQUESTED",
        "CLUSTER_SPEC_DELETED",
        "NAMESPACE_DELETED",
    ]


def test_nothing_new_is_declared_in_a_namespace_that_is_deleting():
    state = CheckedState()
    state.do(put_namespace("shop"))
    state.do(put_object(cluster_document("r1", ns="shop")))
    state.do(DeleteObject(NAMESPACE, ("shop",)))
    outcome = state.do(put_object(cluster_document("r2", ns="shop")))
    assert outcome.code is RejectCode.BEING_DELETED


def test_the_last_finaliser_does_not_take_a_namespace_that_still_holds_something():
    state = CheckedState()
    state.do(put_namespace("shop", finalisers=("x",)))
    state.do(put_object(cluster_document("r1", ns="shop")))
    state.do(DeleteObject(NAMESPACE, ("shop",)))
    assert not state.do(put_namespace("shop")).is_removed
    state.do(DeleteObject(CLUSTER, ("shop", "r1")))
    assert queries.object_get(state.store, NAMESPACE, ("shop",)) is None


def test_labels_are_kept_and_a_change_of_them_is_a_change():
    state = CheckedState()
    state.do(put_namespace("default"))
    first = state.do(put_object(cluster_document("r1", labels={"tier": "cache"})))
    again = state.do(put_object(cluster_document("r1", labels={"tier": "cache"})))
    assert again == Applied(first.revision, is_changed=False)
    assert state.do(put_object(cluster_document("r1", labels={"tier": "main"}))).is_changed
    assert queries.object_get(state.store, CLUSTER, ("default", "r1")).labels == {"tier": "main"}
    payload = queries.events_after(state.store, 0, limit=10).items[-1].payload_value()
    assert payload["labels"] == {"tier": "main"}


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("", ["a", "b", "c"]),
        ("tier=cache", ["a"]),
        ("tier!=cache", ["b", "c"]),
        ("tier", ["a", "b"]),
        ("!tier", ["c"]),
        ("tier,zone=1", ["b"]),
        ("tier=", []),
    ],
)
def test_a_selector_chooses_by_labels(selector, chosen):
    state = CheckedState()
    state.do(put_namespace("default"))
    for name, labels in (("a", {"tier": "cache"}), ("b", {"tier": "x", "zone": "1"}), ("c", {})):
        state.do(put_object(cluster_document(name, labels=labels)))
    page = queries.object_list(
        state.store, CLUSTER, within=("default",), selector=parse_selector(selector, path="labels")
    )
    assert [one.scope[1] for one in page.items] == chosen


def test_a_page_that_the_selector_empties_still_leads_on():
    state = CheckedState()
    state.do(put_namespace("default"))
    for name in ("a", "b", "c"):
        labels = {"wanted": ""} if name == "c" else {}
        state.do(put_object(cluster_document(name, labels=labels)))
    selector = parse_selector("wanted", path="labels")
    first = queries.object_list(state.store, CLUSTER, selector=selector, limit=2)
    assert (first.items, first.next) == ((), ("default", "b"))
    rest = queries.object_list(state.store, CLUSTER, selector=selector, limit=2, after=first.next)
    assert [one.scope[1] for one in rest.items] == ["c"]
