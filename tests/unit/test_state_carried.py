"""What comes with an acknowledgement happens with it or not at all (ADR 0023)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_steps import ack, claim_one, counts, events_of, job, send

from replicante.model.codec import encode_value
from replicante.model.objects import ObjectKind
from replicante.state import queries
from replicante.state.commands import KvDelete, KvPut
from replicante.state.lease_commands import LeaseAcquire, LeaseRelease
from replicante.state.object_commands import DeleteObject
from replicante.state.outcome import BatchApplied, RejectCode, Rejected
from replicante.state.queue_commands import QueueEnqueue
from replicante.testing.builders import (
    CheckedState,
    kv_delete,
    kv_put,
    platform_document,
    put_namespace,
    put_object,
)

ONE = encode_value(1)


def platform(name="p", ns="a", **fields):
    return put_object(platform_document(name, ns=ns, **fields))


def drop(kind, *scope):
    return DeleteObject(kind, scope)


def dead_lease(state):
    token = state.do(LeaseAcquire("l", 60_000, encode_value({}))).revision
    state.do(LeaseRelease("l", token))
    return token


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (lambda state: KvPut(b"bound", ONE, None, dead_lease(state)), RejectCode.STALE_TOKEN),
        (lambda state: platform(ns="nowhere"), RejectCode.UNKNOWN_SCOPE),
    ],
)
def test_one_that_is_refused_refuses_all_and_the_claim_stays(operation, code):
    state = CheckedState()
    send(state)
    claimed, refused = claim_one(state), operation(state)
    before = [event.code for event in events_of(state)]
    outcome = ack(state, claimed, kv_put("effect", 1), refused)
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.details["operation"]) == (code, 1)
    assert queries.kv_get(state.store, b"effect") is None
    assert [event.code for event in events_of(state)] == before
    assert isinstance(ack(state, claimed, kv_put("effect", 1)), BatchApplied)
    assert counts(state) is None


def test_what_is_not_there_is_deleted_without_harm():
    state = CheckedState()
    send(state)
    operations = (kv_delete("nothing"), drop(ObjectKind.NAMESPACE, "nothing"), kv_put("effect", 1))
    outcome = ack(state, claim_one(state), *operations)
    assert isinstance(outcome, BatchApplied)
    assert queries.kv_get(state.store, b"effect") is not None


def test_what_an_operation_makes_is_there_for_the_next_one():
    state = CheckedState()
    send(state)
    done = ack(state, claim_one(state), put_namespace("a"), platform(), platform())
    assert isinstance(done, BatchApplied)


def test_what_goes_is_not_declared_again_in_the_same_write():
    state = CheckedState()
    state.do(put_namespace("a"))
    send(state)
    claimed = claim_one(state)
    for again in (put_namespace("a"), platform()):
        outcome = ack(state, claimed, drop(ObjectKind.NAMESPACE, "a"), again)
        assert (outcome.code, outcome.details["operation"]) == (RejectCode.BEING_DELETED, 1)
    assert isinstance(ack(state, claimed, drop(ObjectKind.NAMESPACE, "a")), BatchApplied)


OPERATIONS = st.one_of(
    st.builds(put_namespace, st.sampled_from("ab"), finalisers=st.sampled_from([(), ("f",)])),
    st.builds(platform, st.sampled_from("pq"), st.sampled_from("ab")),
    st.builds(drop, st.just(ObjectKind.NAMESPACE), st.sampled_from("ab")),
    st.builds(drop, st.just(ObjectKind.PLATFORM), st.sampled_from("ab"), st.sampled_from("pq")),
    st.builds(kv_put, st.sampled_from("xy"), st.integers(0, 3)),
    st.builds(kv_delete, st.sampled_from("xy")),
    st.just(QueueEnqueue("next", (job(),))),
    st.sampled_from([KvPut(b"bound", ONE, None, 1), KvDelete(b"bound")]),
)


@given(st.lists(st.lists(OPERATIONS, min_size=1, max_size=6), min_size=1, max_size=6))
def test_nothing_is_refused_after_the_first_write(acknowledgements):
    state = CheckedState()
    for operations in acknowledgements:
        send(state)
        claimed = claim_one(state)
        outcome = ack(state, claimed, *operations)
        if isinstance(outcome, BatchApplied):
            refused = {it.code for it in outcome.outcomes if isinstance(it, Rejected)}
            assert refused <= {RejectCode.NOT_FOUND}
        else:
            assert queries.kv_get(state.store, b"bound") is None
            assert isinstance(ack(state, claimed), BatchApplied), "the claim stayed"
