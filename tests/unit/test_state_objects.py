from __future__ import annotations

import pytest

from replicante.ids import format_stamp
from replicante.model.objects import ObjectKind, render_object
from replicante.state import queries
from replicante.state.commands import Batch, DeleteObject
from replicante.state.expect import Expect
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.testing.builders import CheckedState, put_namespace, put_object

NAMESPACE = ObjectKind.NAMESPACE


def delete_namespace(name, *, expect=None):
    return DeleteObject(NAMESPACE, (name,), expect)


def namespace(state, name):
    return queries.object_get(state.store, NAMESPACE, (name,))


def told(state):
    events = queries.events_after(state.store, 0, limit=1_000).items
    return [(event.code, event.ns, event.key) for event in events]


def last_payload(state):
    return queries.events_after(state.store, 0, limit=1_000).items[-1].payload_value()


def test_a_namespace_is_created_with_an_event():
    state = CheckedState()
    outcome = state.do(put_namespace("a"))
    stored = namespace(state, "a")
    assert outcome == Applied(stored.revision, is_created=True)
    assert (stored.created, stored.status, stored.scope) == (stored.revision, "Active", ("a",))
    assert told(state) == [("NAMESPACE_APPLY", "a", "a")]
    assert last_payload(state) == {
        "finalisers": [],
        "previous": None,
        "revision": format_stamp(stored.revision),
        "spec": stored.spec,
    }


def test_a_replacement_keeps_the_birth_and_moves_the_revision():
    state = CheckedState()
    first = state.do(put_namespace("a"))
    second = state.do(put_namespace("a", spec={"status": "Observed"}))
    stored = namespace(state, "a")
    assert not second.is_created
    assert (stored.created, stored.revision) == (first.revision, second.revision)
    assert stored.status == "Observed"
    assert last_payload(state)["previous"] == format_stamp(first.revision)


def test_the_same_again_changes_nothing_and_tells_nothing():
    state = CheckedState()
    first = state.do(put_namespace("a", finalisers=("x", "b")))
    again = state.do(put_namespace("a", finalisers=("b", "x")))
    assert again == Applied(first.revision, is_changed=False)
    assert len(told(state)) == 1


def test_the_same_again_still_answers_for_its_expectation():
    state = CheckedState()
    first = state.do(put_namespace("a"))
    refused = Rejected(RejectCode.REVISION_MISMATCH, {"revision": first.revision})
    assert state.do(put_namespace("a", expect=Expect.absent())) == refused
    assert not state.do(put_namespace("a", expect=Expect.at(first.revision))).is_changed


def test_a_namespace_that_nothing_holds_goes_at_once_with_both_events():
    state = CheckedState()
    created = state.do(put_namespace("a"))
    removed = state.do(delete_namespace("a"))
    assert removed == Applied(removed.revision, is_removed=True)
    assert namespace(state, "a") is None
    assert told(state)[1:] == [
        ("NAMESPACE_DELETE_REQUESTED", "a", "a"),
        ("NAMESPACE_DELETED", "a", "a"),
    ]
    requested, gone = (
        event.payload_value() for event in queries.events_after(state.store, 0).items[1:]
    )
    assert requested["previous"] == format_stamp(created.revision)
    assert gone["previous"] == requested["revision"]
    assert gone["revision"] == format_stamp(removed.revision)


def test_a_finaliser_holds_a_namespace_in_deleting():
    state = CheckedState()
    state.do(put_namespace("a", finalisers=("x", "y")))
    deleting = state.do(delete_namespace("a"))
    assert not deleting.is_removed
    stored = namespace(state, "a")
    assert (stored.status, stored.revision) == ("Deleting", deleting.revision)
    assert render_object(stored)["status"] == "Deleting"
    assert told(state)[-1][0] == "NAMESPACE_DELETE_REQUESTED"
    assert last_payload(state)["finalisers"] == ["x", "y"]


def test_the_last_finaliser_takes_the_namespace_with_it():
    state = CheckedState()
    state.do(put_namespace("a", finalisers=("x", "y")))
    state.do(delete_namespace("a"))
    one_left = state.do(put_namespace("a", finalisers=("y",)))
    assert namespace(state, "a").status == "Deleting"
    assert one_left.is_changed and not one_left.is_removed
    gone = state.do(put_namespace("a"))
    assert gone.is_removed
    assert namespace(state, "a") is None
    assert [code for code, _, _ in told(state)] == [
        "NAMESPACE_APPLY",
        "NAMESPACE_DELETE_REQUESTED",
        "NAMESPACE_APPLY",
        "NAMESPACE_DELETED",
    ]


def test_deleting_twice_is_deleting_once():
    state = CheckedState()
    state.do(put_namespace("a", finalisers=("x",)))
    first = state.do(delete_namespace("a"))
    again = state.do(delete_namespace("a"))
    assert again == Applied(first.revision, is_changed=False)
    assert len(told(state)) == 2


@pytest.mark.parametrize(
    "change",
    [
        put_namespace("a", spec={"status": "Inactive"}, finalisers=("x",)),
        put_namespace("a", finalisers=("x", "z")),
        put_namespace("a", finalisers=("z",)),
        put_namespace("a", spec={"status": "Inactive"}),
    ],
)
def test_nothing_but_the_end_of_finalisers_is_taken_while_deleting(change):
    state = CheckedState()
    state.do(put_namespace("a", finalisers=("x",)))
    deleting = state.do(delete_namespace("a"))
    refused = Rejected(RejectCode.BEING_DELETED, {"revision": deleting.revision})
    assert state.do(change) == refused
    assert len(told(state)) == 2


def test_deleting_nothing_is_not_found():
    state = CheckedState()
    assert state.do(delete_namespace("a")) == Rejected(RejectCode.NOT_FOUND)
    refused = Rejected(RejectCode.REVISION_MISMATCH, {"revision": None})
    assert state.do(delete_namespace("a", expect=Expect.present())) == refused


def test_a_deletion_can_expect_a_revision():
    state = CheckedState()
    first = state.do(put_namespace("a")).revision
    second = state.do(put_namespace("a", spec={"status": "Inactive"})).revision
    refused = Rejected(RejectCode.REVISION_MISMATCH, {"revision": second})
    assert state.do(delete_namespace("a", expect=Expect.at(first))) == refused
    assert state.do(delete_namespace("a", expect=Expect.at(second))).is_removed


def test_a_namespace_can_be_born_again():
    state = CheckedState()
    first = state.do(put_namespace("a"))
    state.do(delete_namespace("a"))
    again = state.do(put_namespace("a"))
    assert again.is_created
    assert again.revision > first.revision


def test_what_was_read_can_be_applied():
    state = CheckedState()
    state.do(put_namespace("a", spec={"status": "Observed", "tls": {"ca_bundle": "pem"}}))
    document = render_object(namespace(state, "a"))
    assert not state.do(put_object(document)).is_changed


def test_lists_are_paged_in_order():
    state = CheckedState()
    names = ["b", "a", "a.b", "a-b", "C", "a1"]
    state.do(Batch(tuple(put_namespace(name) for name in names)))
    found, after = [], None
    while True:
        page = queries.object_list(state.store, NAMESPACE, after=after, limit=2)
        found += [item.scope[0] for item in page.items]
        after = page.next
        if after is None:
            break
    assert found == sorted(names)


def test_a_list_within_a_name_holds_that_name_alone():
    state = CheckedState()
    state.do(Batch((put_namespace("a"), put_namespace("ab"))))
    page = queries.object_list(state.store, NAMESPACE)
    assert [item.scope for item in page.items] == [("a",), ("ab",)]


def test_a_page_ends_by_size_but_holds_one():
    state = CheckedState()
    state.do(Batch((put_namespace("a"), put_namespace("b"))))
    page = queries.object_list(state.store, NAMESPACE, bytes_max=1)
    assert (page.items[0].scope, page.next) == (("a",), ("a",))


def test_names_that_cannot_exist_name_nothing():
    state = CheckedState()
    state.do(put_namespace("a"))
    long = ("a" * 600,)
    assert queries.object_get(state.store, NAMESPACE, long) is None
    assert queries.object_list(state.store, NAMESPACE, after=long).items == ()
