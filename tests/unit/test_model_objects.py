from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante.errors import Invalid
from replicante.ids import Stamp, format_stamp
from replicante.limits import FINALISERS_MAX
from replicante.model.codec import encode_value
from replicante.model.labels import parse_selector
from replicante.model.namespace import Namespace, NamespaceStatus
from replicante.model.objects import (
    ObjectKind,
    StoredObject,
    read_declaration,
    read_scope,
    render_object,
)

MINIMAL = {"apiVersion": "replicante.io/v0", "kind": "Namespace", "spec": {"id": "default"}}


def document(**changes):
    return {**MINIMAL, **changes}


def faults_of(doc):
    with pytest.raises(Invalid) as caught:
        read_declaration(doc)
    faults = caught.value.details["violations"]
    assert caught.value.path == faults[0]["path"]
    return [fault["path"] for fault in faults]


def test_the_originals_document_is_read():
    declared = read_declaration(document(spec={"id": "default", "tls": {"ca_bundle": None}}))
    assert declared.kind is ObjectKind.NAMESPACE
    assert declared.scope == ("default",)
    assert declared.spec == Namespace(name="default").to_spec()
    assert declared.revision is None


def test_defaults_are_those_of_the_original():
    assert read_declaration(MINIMAL).spec == {
        "id": "default",
        "settings": {"orchestrate": {"max_naction_schedule_attempts": 5}},
        "status": "Active",
        "tls": {"ca_bundle": None},
        "mode": None,
    }


@pytest.mark.parametrize("kind", ["Namespace", "namespace", "NAMESPACE"])
def test_the_kind_is_read_in_any_case(kind):
    assert read_declaration(document(kind=kind)).kind is ObjectKind.NAMESPACE


def test_the_name_may_stand_in_the_metadata():
    assert read_declaration(document(metadata={"name": "a"}, spec={})).scope == ("a",)
    assert read_declaration(document(metadata={"name": "a"}, spec=None)).scope == ("a",)


def test_labels_are_checked_one_by_one():
    labels = {"ok": "1", "a/b": "", "-": "x", "a/b/c": "x", "n": 1, "v": "a b"}
    doc = document(metadata={"labels": labels})
    assert sorted(faults_of(doc)) == sorted(
        [
            'metadata.labels["-"]',
            'metadata.labels["a/b/c"]',
            "metadata.labels.n",
            "metadata.labels.v",
        ]
    )


@pytest.mark.parametrize("text", ["a=b=c", "=b", "a b", "!", "a,,b", "a!=b!", ",".join("a" * 33)])
def test_what_is_no_selector_is_refused(text):
    with pytest.raises(Invalid) as refused:
        parse_selector(text, path="?labels")
    assert refused.value.path == "?labels"


def test_every_fault_is_named_at_once():
    doc = {
        "apiVersion": "v9",
        "kind": "Namespace",
        "metadata": {"name": "-a", "labels": [], "finalisers": ["ok", "no no"]},
        "spec": {
            "status": "Deleting",
            "tls": {"ca": 1, "ca_bundle": 7},
            "settings": {"orchestrate": {"max_naction_schedule_attempts": 70_000}},
        },
        "extra": 1,
    }
    assert sorted(faults_of(doc)) == sorted(
        [
            "extra",
            "apiVersion",
            "metadata.labels",
            "metadata.name",
            "metadata.finalisers[1]",
            "spec.settings.orchestrate.max_naction_schedule_attempts",
            "spec.tls.ca",
            "spec.tls.ca_bundle",
            "spec.status",
        ]
    )


@pytest.mark.parametrize(
    ("doc", "path"),
    [
        (document(kind="Cluster"), "kind"),
        (document(kind=None), "kind"),
        (document(kind="ＮAMESPACE"), "kind"),
        (document(spec={}), "spec.id"),
        (document(spec={"id": 5}), "spec.id"),
        (document(spec={"id": "a" * 129}), "spec.id"),
        (document(spec={"id": "ä"}), "spec.id"),
        (document(spec={"id": "a\n"}), "spec.id"),
        (document(spec=[]), "spec"),
        (document(metadata="x"), "metadata"),
        (document(metadata=[]), "metadata"),
        (document(metadata={"name": "other"}), "metadata.name"),
        (document(metadata={"finalisers": "x"}), "metadata.finalisers"),
        (document(metadata={"finalisers": ["x", "x"]}), "metadata.finalisers"),
        (
            document(metadata={"finalisers": [f"f{i}" for i in range(FINALISERS_MAX + 1)]}),
            "metadata.finalisers",
        ),
        (document(spec={"id": "a", "status": 5}), "spec.status"),
        (document(spec={"id": "a", "status": "active"}), "spec.status"),
        (document(spec={"id": "a", "settings": None}), "spec.settings"),
        (
            document(
                spec={
                    "id": "a",
                    "settings": {"orchestrate": {"max_naction_schedule_attempts": True}},
                }
            ),
            "spec.settings.orchestrate.max_naction_schedule_attempts",
        ),
        (
            document(
                spec={
                    "id": "a",
                    "settings": {"orchestrate": {"max_naction_schedule_attempts": -1}},
                }
            ),
            "spec.settings.orchestrate.max_naction_schedule_attempts",
        ),
        (document(revision="0"), "revision"),
        (document(revision=5), "revision"),
        (document(apiVersion="replicante.io/v1"), "apiVersion"),
    ],
)
def test_a_fault_is_named_by_its_path(doc, path):
    assert path in faults_of(doc)


@pytest.mark.parametrize("status", ["Deleting", "Deleted"])
def test_nobody_declares_a_status_of_the_life_cycle(status):
    assert faults_of(document(spec={"id": "a", "status": status})) == ["spec.status"]


@pytest.mark.parametrize("status", ["Active", "Inactive", "Observed"])
def test_a_declared_status_is_kept(status):
    declared = read_declaration(document(spec={"id": "a", "status": status}))
    assert Namespace.from_spec(declared.spec).status is NamespaceStatus(status)


def test_a_document_that_was_read_can_be_applied_again():
    stored = StoredObject(
        kind=ObjectKind.NAMESPACE,
        scope=("a",),
        revision=Stamp(77),
        created=Stamp(70),
        is_deleting=False,
        labels={},
        finalisers=("b", "c"),
        spec=Namespace(name="a", ca_bundle="pem", max_naction_schedule_attempts=9).to_spec(),
    )
    declared = read_declaration(render_object(stored))
    assert (declared.scope, declared.spec, declared.finalisers, declared.revision) == (
        stored.scope,
        stored.spec,
        stored.finalisers,
        77,
    )


def test_a_stored_object_shows_its_status_and_revision():
    spec = Namespace(name="a", status=NamespaceStatus.OBSERVED).to_spec()
    stored = StoredObject(
        kind=ObjectKind.NAMESPACE,
        scope=("a",),
        revision=Stamp(77),
        created=Stamp(77),
        is_deleting=False,
        labels={},
        finalisers=(),
        spec=spec,
    )
    shown = render_object(stored)
    assert (shown["status"], shown["revision"]) == ("Observed", format_stamp(77))


def test_an_object_that_is_deleting_says_so():
    stored = StoredObject(
        kind=ObjectKind.NAMESPACE,
        scope=("a",),
        revision=Stamp(77),
        created=Stamp(77),
        is_deleting=True,
        labels={},
        finalisers=("x",),
        spec=Namespace(name="a").to_spec(),
    )
    assert stored.status == "Deleting"


def test_a_scope_from_a_path_is_checked():
    assert read_scope(ObjectKind.NAMESPACE, ("a",)) == ("a",)
    for scope in ((), ("a", "b"), ("",), ("a/b",)):
        with pytest.raises(Invalid):
            read_scope(ObjectKind.NAMESPACE, scope)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["id", "tls", "ca_bundle", "settings", "orchestrate", "status", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_any_spec_is_read_or_refused_with_paths(spec):
    try:
        declared = read_declaration(document(spec=spec))
    except Invalid as exc:
        assert exc.details["violations"]
        return
    assert Namespace.from_spec(declared.spec).to_spec() == declared.spec
    encode_value(declared.spec)
