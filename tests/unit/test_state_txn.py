from __future__ import annotations

import pytest

from replicante.limits import TXN_ANSWER_BYTES_MAX
from replicante.model.codec import encode_value
from replicante.state import apply_txn, queries
from replicante.state.commands import KvGet, KvPut, KvTxn
from replicante.state.comparisons import Compare, CompareKind
from replicante.state.lease_commands import LeaseAcquire, LeaseRelease
from replicante.state.outcome import Applied, Got, RejectCode, Rejected, TxnApplied
from replicante.testing.builders import CheckedState, kv_delete, kv_put

ONE = encode_value(1)


def events_of(state):
    return queries.events_after(state.store, 0, limit=1_000).items


def keys_of(state):
    return [record.key for record in queries.kv_range(state.store).items]


def compare(kind, operand=None, key=b"a"):
    return Compare(key, kind, operand)


def test_the_branch_is_chosen_and_only_it_is_carried_out():
    state = CheckedState()
    command = KvTxn((compare(CompareKind.ABSENT),), (kv_put("a", 1),), (kv_put("b", 2),))
    assert state.do(command).is_success
    assert keys_of(state) == [b"a"]
    outcome = state.do(command)
    assert not outcome.is_success
    assert keys_of(state) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("kind", "operand", "expected"),
    [
        (CompareKind.ABSENT, None, False),
        (CompareKind.PRESENT, None, True),
        (CompareKind.REVISION_EQUALS, 0, True),
        (CompareKind.REVISION_EQUALS, 1, False),
        (CompareKind.REVISION_LESS, 0, False),
        (CompareKind.REVISION_LESS, 1, True),
        (CompareKind.REVISION_GREATER, 0, False),
        (CompareKind.REVISION_GREATER, -1, True),
        (CompareKind.VALUE_EQUALS, ONE, True),
        (CompareKind.VALUE_EQUALS, encode_value(2), False),
    ],
)
def test_a_comparison_asks_the_record(kind, operand, expected):
    state = CheckedState()
    revision = state.do(kv_put("a", 1)).revision
    if isinstance(operand, int):
        operand += revision
    assert state.do(KvTxn((compare(kind, operand),), ())).is_success is expected


@pytest.mark.parametrize("kind", list(CompareKind))
def test_a_missing_record_meets_absent_alone(kind):
    operands = {CompareKind.VALUE_EQUALS: ONE, CompareKind.ABSENT: None, CompareKind.PRESENT: None}
    outcome = CheckedState().do(KvTxn((compare(kind, operands.get(kind, 1)),), ()))
    assert outcome.is_success is (kind is CompareKind.ABSENT)


def test_every_comparison_must_hold():
    state = CheckedState()
    state.do(kv_put("a", 1))
    both = (compare(CompareKind.PRESENT), compare(CompareKind.PRESENT, key=b"b"))
    assert not state.do(KvTxn(both, (kv_put("c", 1),))).is_success
    assert keys_of(state) == [b"a"]


def test_two_writes_to_one_key_have_revisions_and_events_of_their_own():
    state = CheckedState()
    outcome = state.do(KvTxn((), (kv_put("a", 1), kv_put("a", 2), kv_delete("a"))))
    first, second, removed = outcome.results
    assert first.is_created
    assert not second.is_created
    assert removed.is_removed
    assert first.revision < second.revision < removed.revision
    assert [event.code for event in events_of(state)] == ["KV_PUT", "KV_PUT", "KV_DELETED"]
    assert len({event.id for event in events_of(state)}) == 3


def test_a_get_sees_the_operations_before_it():
    state = CheckedState()
    outcome = state.do(
        KvTxn((), (KvGet(b"a"), kv_put("a", 1), KvGet(b"a"), kv_delete("a"), KvGet(b"a")))
    )
    before, written, between, _, after = outcome.results
    assert (before, after) == (Got(None, None), Got(None, None))
    assert between == Got(written.revision, ONE)


def test_a_deletion_of_nothing_is_no_failure():
    outcome = CheckedState().do(KvTxn((), (kv_delete("a"), kv_put("b", 1))))
    assert outcome.results[0] == Applied(0, is_changed=False)
    assert outcome.is_success


def test_reads_beyond_the_bound_refuse_before_anything_is_written(monkeypatch):
    monkeypatch.setattr(apply_txn, "TXN_ANSWER_BYTES_MAX", 10)
    state = CheckedState()
    state.do(kv_put("a", "x" * 5))
    fits = KvTxn((), (kv_put("b", "y" * 3), KvGet(b"a"), KvGet(b"b")))
    assert isinstance(state.do(fits), TxnApplied)
    too_large = KvTxn((), (kv_put("b", "y" * 4), KvGet(b"a"), KvGet(b"b")))
    expected = Rejected(RejectCode.ANSWER_TOO_LARGE, {"limit": 10})
    count = len(events_of(state))
    assert state.do(too_large) == expected
    assert len(events_of(state)) == count
    assert isinstance(state.do(KvTxn((), (kv_delete("a"), KvGet(b"a"), KvGet(b"b")))), TxnApplied)
    assert TXN_ANSWER_BYTES_MAX > 10


def test_a_lease_that_is_over_refuses_the_whole_branch():
    state = CheckedState()
    token = state.do(LeaseAcquire("l", 1_000, encode_value({}))).revision
    bound = KvPut(b"k", ONE, None, token)
    assert isinstance(state.do(KvTxn((), (kv_put("a", 1), bound))), TxnApplied)
    state.do(LeaseRelease("l", token))
    outcome = state.do(KvTxn((), (kv_put("b", 1), bound)))
    assert outcome == Rejected(RejectCode.STALE_TOKEN, {"held": None})
    assert keys_of(state) == [b"a"]


def test_a_repeat_remembers_revisions_and_no_values():
    state = CheckedState()
    state.do(kv_put("a", 1))
    command = KvTxn((), (KvGet(b"a"), kv_put("b", 1)))
    first = state.do(command, idempotency_key="k")
    again = state.do(command, idempotency_key="k")
    assert first.results[0].value == ONE
    assert again.is_replayed
    assert again.results == (Got(first.results[0].revision, None), first.results[1])
