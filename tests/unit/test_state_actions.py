"""The life of actions as people steer it: every step is one write with history and event."""

from __future__ import annotations

import pytest

from replicante.model.action_requests import ActionOn
from replicante.model.codec import encode_value
from replicante.model.objects import ObjectKind
from replicante.state import queries, record_queries, records
from replicante.state.action_commands import ActionVerb, CreateAction, MoveAction
from replicante.state.object_commands import DeleteObject
from replicante.state.outcome import RejectCode, Rejected
from replicante.testing.builders import (
    CheckedState,
    cluster_document,
    put_namespace,
    put_object,
)

ID = "00000000-0000-8000-8000-000000000001"
NAMES = ("default", "r", ID)
ON_NODE = ("default", "r", "n1", ID)


def cluster_state():
    state = CheckedState()
    state.do(put_namespace("default"))
    state.do(put_object(cluster_document("r")))
    return state


def create(*, action_id=ID, is_approved=True, kind="a/b", on=ActionOn.NODE):
    body = {"kind": kind, "args": {"x": 1}, "metadata": {}, "requester": "CORE_API"}
    if on is ActionOn.NODE:
        body["node_id"] = "n1"
    return CreateAction(on, ("default", "r", action_id), encode_value(body), is_approved)


def action(state, on=ActionOn.NODE):
    return record_queries.action_get(state.store, on, *NAMES).action


def told(state):
    events = queries.events_after(state.store, 0, limit=1_000).items
    return [event.code for event in events if "ACTION" in event.code]


def test_an_action_is_created_with_its_time_its_history_and_its_event():
    state = cluster_state()
    state.jumps = False
    outcome = state.do(create())
    found = action(state)
    assert outcome.is_created
    assert (found.phase, found.node_id, found.args) == ("PENDING_SCHEDULE", "n1", {"x": 1})
    assert (found.created_ms, found.created_wall_ms) == (state.clock_ms, state.wall_ms)
    event = queries.events_after(state.store, 0, limit=100).items[-1]
    assert (event.code, event.cluster, event.key) == ("NACTION_CREATE", "r", ID)
    assert event.payload_value()["before"] is None
    (step,) = record_queries.action_history(state.store, ActionOn.NODE, *NAMES)
    assert (step.phase, step.origin) == ("PENDING_SCHEDULE", "CORE")


@pytest.mark.parametrize("on", list(ActionOn))
def test_an_action_that_needs_approval_waits_for_it(on):
    state = cluster_state()
    state.jumps = False
    state.do(create(is_approved=False, on=on))
    assert action(state, on).phase == "PENDING_APPROVE"
    assert (action(state, on).approved_ms, action(state, on).approved_wall_ms) == (None, None)
    names = ON_NODE if on is ActionOn.NODE else NAMES
    state.advance(5_000)
    state.do(MoveAction(on, names, ActionVerb.APPROVE, "checked by hand"))
    assert action(state, on).phase == "PENDING_SCHEDULE"
    found = action(state, on)
    assert (found.approved_ms, found.approved_wall_ms) == (state.clock_ms, state.wall_ms)
    payload = queries.events_after(state.store, 0, limit=100).items[-1].payload_value()
    assert payload["before"]["phase"] == "PENDING_APPROVE"
    assert payload["after"]["phase"] == "PENDING_SCHEDULE"
    assert payload["reason"] == "checked by hand"


@pytest.mark.parametrize("verb", [ActionVerb.REJECT, ActionVerb.CANCEL])
def test_a_waiting_action_is_ended_and_is_then_ended(verb):
    state = cluster_state()
    state.do(create(is_approved=False))
    state.do(MoveAction(ActionOn.NODE, ON_NODE, verb))
    ended = action(state)
    assert (ended.phase, ended.finished_ms) == ("CANCELLED", state.clock_ms)
    assert list(record_queries.cluster_records(state.store, "default", "r").nactions) == []
    again = state.do(MoveAction(ActionOn.NODE, ON_NODE, ActionVerb.CANCEL))
    assert again.code is RejectCode.WRONG_PHASE
    assert again.details["phase"] == "CANCELLED"


@pytest.mark.parametrize("verb", [ActionVerb.APPROVE, ActionVerb.REJECT])
def test_only_what_waits_for_approval_is_approved_or_rejected(verb):
    state = cluster_state()
    state.do(create())
    before = told(state)
    assert state.do(MoveAction(ActionOn.NODE, ON_NODE, verb)).code is RejectCode.WRONG_PHASE
    assert told(state) == before


def test_an_action_is_found_under_its_own_node_only():
    state = cluster_state()
    state.do(create(is_approved=False))
    elsewhere = MoveAction(ActionOn.NODE, ("default", "r", "n2", ID), ActionVerb.APPROVE)
    assert state.do(elsewhere) == Rejected(RejectCode.NOT_FOUND)
    unknown = MoveAction(ActionOn.CLUSTER, NAMES, ActionVerb.APPROVE)
    assert state.do(unknown) == Rejected(RejectCode.NOT_FOUND)


def test_the_same_request_again_is_the_same_action_and_another_one_is_refused():
    state = cluster_state()
    state.do(create())
    assert not state.do(create()).is_changed
    assert state.do(create(kind="a/other")).code is RejectCode.ACTION_EXISTS
    assert told(state) == ["NACTION_CREATE"]


def test_an_action_needs_a_cluster_that_is_to_stay():
    state = CheckedState()
    assert state.do(create()).details == {"kind": "Namespace", "name": "default"}
    state.do(put_namespace("default"))
    assert state.do(create()).details == {"kind": "ClusterSpec", "name": "r"}
    state.do(put_object(cluster_document("r")))
    state.do(create())
    state.do(DeleteObject(ObjectKind.CLUSTER_SPEC, ("default", "r")))
    refused = state.do(create(action_id=ID.replace("1", "2")))
    assert refused.code is RejectCode.BEING_DELETED


def test_unfinished_actions_are_read_in_the_order_of_their_creation():
    state = cluster_state()
    ids = [f"{digit}0000000-0000-8000-8000-000000000000" for digit in "9254"]
    for action_id in ids:
        state.do(create(action_id=action_id))
    found = record_queries.cluster_records(state.store, "default", "r").nactions
    assert [one.action_id for one in found] == ids


def test_a_list_leaves_out_what_was_not_asked_for_and_leads_on():
    state = cluster_state()
    ids = [f"{digit}0000000-0000-8000-8000-000000000000" for digit in "123"]
    for action_id in ids:
        state.do(create(action_id=action_id))
    state.do(MoveAction(ActionOn.NODE, ("default", "r", "n1", ids[0]), ActionVerb.CANCEL))
    ask = {"reader": state.store, "on": ActionOn.NODE, "ns": "default", "cluster": "r"}
    page = record_queries.action_list(**ask, is_ended_wanted=False, limit=2)
    assert ([one.action.action_id for one in page.items], page.next) == (ids[1:2], ids[1])
    rest = record_queries.action_list(**ask, after=page.next, limit=2)
    assert [one.action.action_id for one in rest.items] == ids[2:]
    assert record_queries.action_list(**ask, node_id="n2").items == ()


def phases(state, on):
    return [it.phase for it in record_queries.action_history(state.store, on, *NAMES)]


def test_actions_of_both_kinds_with_one_id_have_histories_of_their_own():
    state = cluster_state()
    for on in ActionOn:
        state.do(create(is_approved=False, on=on))
    state.do(MoveAction(ActionOn.NODE, ON_NODE, ActionVerb.APPROVE))
    state.do(MoveAction(ActionOn.CLUSTER, NAMES, ActionVerb.REJECT, "no"))
    assert phases(state, ActionOn.NODE) == ["PENDING_APPROVE", "PENDING_SCHEDULE"]
    assert phases(state, ActionOn.CLUSTER) == ["PENDING_APPROVE", "CANCELLED"]


@pytest.mark.parametrize("gone", list(ActionOn))
def test_an_action_that_is_forgotten_leaves_the_history_of_its_namesake(gone, monkeypatch):
    monkeypatch.setattr(records, "ACTIONS_ENDED_KEPT_MAX", 0)
    (stays,) = set(ActionOn) - {gone}
    state = cluster_state()
    for on in ActionOn:
        state.do(create(is_approved=False, on=on))
    names = ON_NODE if gone is ActionOn.NODE else NAMES
    state.do(MoveAction(gone, names, ActionVerb.REJECT, "no"))
    assert phases(state, stays) == ["PENDING_APPROVE"]
    assert action(state, stays).phase == "PENDING_APPROVE"


def test_an_old_action_that_ends_among_younger_ones_is_forgotten_with_its_history(monkeypatch):
    monkeypatch.setattr(records, "ACTIONS_ENDED_KEPT_MAX", 1)
    state = cluster_state()
    state.do(create())
    younger = ID[:-1] + "9"
    state.do(create(action_id=younger))
    state.do(MoveAction(ActionOn.NODE, (*ON_NODE[:-1], younger), ActionVerb.CANCEL))
    state.do(MoveAction(ActionOn.NODE, ON_NODE, ActionVerb.CANCEL))
    assert phases(state, ActionOn.NODE) == []
    assert record_queries.action_get(state.store, ActionOn.NODE, *NAMES) is None
