from __future__ import annotations

import pytest

from replicante.limits import IDEMPOTENCY_WINDOW_MS
from replicante.model.codec import load_value
from replicante.state import dedupe, queries
from replicante.state.commands import Batch
from replicante.state.expect import Expect
from replicante.state.outcome import BatchApplied, RejectCode, Rejected, decode_outcome
from replicante.testing.builders import CheckedState, envelope_bytes, kv_delete, kv_put


def value_of(state, key):
    record = queries.kv_get(state.store, key.encode())
    return None if record is None else load_value(record.value)


def test_a_repeat_gets_the_first_outcome_and_does_nothing():
    state = CheckedState()
    first = state.do(kv_put("a", 1), idempotency_key="k")
    state.do(kv_put("a", 2))
    again = state.do(kv_put("a", 1), idempotency_key="k", request_id="r2", actor="other")
    assert (again.revision, again.is_created, again.is_replayed) == (first.revision, True, True)
    assert value_of(state, "a") == 2


def test_a_repeat_within_the_same_entry_is_a_repeat():
    state = CheckedState()
    command = envelope_bytes(kv_put("a", 1), idempotency_key="k")
    first, again = map(decode_outcome, state.propose_together([command, command]))
    assert again.is_replayed
    assert again.revision == first.revision
    assert queries.summary(state.store).events.seq == 1


def test_a_request_without_a_key_leaves_no_record():
    state = CheckedState()
    state.do(kv_put("a", 1))
    assert queries.summary(state.store).requests_count == 0


def test_the_record_tells_outcome_and_index():
    state = CheckedState()
    state.tick()
    outcome = state.do(kv_put("a", 1), idempotency_key="k")
    record = queries.request_outcome(state.store, "k")
    assert decode_outcome(record.outcome) == outcome
    assert (record.index, record.recorded_ms) == (2, state.clock_ms)


@pytest.mark.parametrize("key", ["other", "x" * 600])
def test_an_unknown_key_has_no_record(key):
    assert queries.request_outcome(CheckedState().store, key) is None


def test_a_rejection_is_an_outcome_too():
    state = CheckedState()
    state.do(kv_put("a", 1))
    command = kv_put("a", 2, expect=Expect.absent())
    refused = state.do(command, idempotency_key="k")
    state.do(kv_delete("a"))
    again = state.do(command, idempotency_key="k")
    assert isinstance(refused, Rejected)
    assert again == Rejected(refused.code, refused.details, is_replayed=True)
    assert value_of(state, "a") is None


def test_a_batch_is_one_record():
    state = CheckedState()
    batch = Batch((kv_put("a", 1), kv_delete("b")))
    first = state.do(batch, idempotency_key="k")
    again = state.do(batch, idempotency_key="k")
    assert again == BatchApplied(first.outcomes, is_replayed=True)
    assert queries.summary(state.store).requests_count == 1


def test_a_key_that_came_with_another_command_is_refused():
    state = CheckedState()
    state.do(kv_put("a", 1), idempotency_key="k")
    refused = Rejected(RejectCode.IDEMPOTENCY_KEY_REUSED)
    assert state.do(kv_put("a", 2), idempotency_key="k") == refused
    assert state.do(kv_put("b", 1), idempotency_key="k") == refused
    assert value_of(state, "a") == 1
    assert state.do(kv_put("a", 1), idempotency_key="k").is_replayed


def test_a_key_is_forgotten_after_the_window():
    state = CheckedState()
    state.do(kv_put("a", 1), idempotency_key="k")
    state.advance(IDEMPOTENCY_WINDOW_MS - 1)
    assert state.do(kv_put("a", 1), idempotency_key="k").is_replayed
    state.advance(1)
    state.tick()
    assert queries.summary(state.store).requests_count == 0
    assert not state.do(kv_put("a", 1), idempotency_key="k").is_replayed


def test_a_repeat_that_says_when_it_began_is_never_applied_late():
    state = CheckedState()
    began = state.clock_ms
    state.do(kv_put("a", 1), idempotency_key="k", first_attempt_ms=began)
    state.do(kv_put("a", 2))
    state.advance(IDEMPOTENCY_WINDOW_MS)
    late = state.do(kv_put("a", 1), idempotency_key="k", first_attempt_ms=began)
    assert late == Rejected(RejectCode.OUTCOME_EXPIRED, {"horizon_ms": began})
    assert value_of(state, "a") == 2


def test_a_first_attempt_in_the_future_is_refused():
    state = CheckedState()
    later = state.clock_ms + 1
    refused = Rejected(RejectCode.FIRST_ATTEMPT_IN_FUTURE, {"clock_ms": state.clock_ms})
    assert state.do(kv_put("a", 1), idempotency_key="k", first_attempt_ms=later) == refused
    assert value_of(state, "a") is None
    assert queries.summary(state.store).requests_count == 0


def test_a_record_past_its_window_is_expired_also_before_the_sweep(monkeypatch):
    monkeypatch.setattr(dedupe, "EXPIRE_BATCH_MAX", 1)
    state = CheckedState()
    for i in range(4):
        state.do(kv_put("a", i), idempotency_key=f"k{i}")
    state.advance(IDEMPOTENCY_WINDOW_MS)
    # The sweep of this entry takes k0 only; k3 is still stored and yet expired.
    assert not state.do(kv_put("a", 3), idempotency_key="k3").is_replayed
    assert queries.summary(state.store).requests_count == 3
    assert state.do(kv_put("a", 3), idempotency_key="k3").is_replayed


def test_the_sweep_is_bounded_and_the_leader_ticks_until_it_is_done(monkeypatch):
    monkeypatch.setattr(dedupe, "EXPIRE_BATCH_MAX", 2)
    state = CheckedState()
    for i in range(5):
        state.do(kv_put("a", i), idempotency_key=f"k{i}")
    assert state.machine.deadline_ms() is None
    state.advance(IDEMPOTENCY_WINDOW_MS)
    counts = []
    while True:
        state.tick()
        counts.append(queries.summary(state.store).requests_count)
        if state.machine.deadline_ms() is None:
            break
        assert state.machine.deadline_ms() == state.clock_ms
    assert counts == [3, 1, 0]


def test_the_sweep_stops_at_the_first_record_that_is_not_due():
    state = CheckedState()
    state.do(kv_put("a", 1), idempotency_key="old")
    state.advance(10)
    state.do(kv_put("a", 2), idempotency_key="young")
    state.advance(IDEMPOTENCY_WINDOW_MS - 10)
    state.tick()
    assert queries.request_outcome(state.store, "old") is None
    assert queries.request_outcome(state.store, "young") is not None
    assert state.machine.deadline_ms() is None


@pytest.fixture
def small_bound(monkeypatch):
    monkeypatch.setattr(dedupe, "REQUESTS_KEPT_MAX", 3)
    return 3


def test_at_the_bound_the_oldest_are_forgotten_first(small_bound):
    state = CheckedState()
    for i in range(5):
        state.advance(1)
        state.do(kv_put("a", i), idempotency_key=f"k{i}")
    kept = [i for i in range(5) if queries.request_outcome(state.store, f"k{i}") is not None]
    assert kept == [2, 3, 4]
    assert queries.summary(state.store).requests_count == small_bound


def test_the_bound_holds_after_an_entry_with_more(small_bound):
    state = CheckedState()
    commands = [envelope_bytes(kv_put("a", i), idempotency_key=f"k{i}") for i in range(9)]
    state.propose_together(commands)
    assert queries.summary(state.store).requests_count == small_bound


def test_a_request_forgotten_at_the_bound_is_never_applied_again(small_bound):
    state = CheckedState()
    began = state.clock_ms
    first = envelope_bytes(kv_put("a", "first"), idempotency_key="k", first_attempt_ms=began)
    state.propose(first)
    for i in range(small_bound):
        state.advance(1)
        state.do(kv_put("a", i), idempotency_key=f"k{i}")
    outcome = decode_outcome(state.propose(first)[0])
    assert outcome == Rejected(RejectCode.OUTCOME_EXPIRED, {"horizon_ms": began})
    assert value_of(state, "a") == small_bound - 1


def test_a_young_request_is_taken_above_the_horizon(small_bound):
    state = CheckedState()
    for i in range(5):
        state.advance(1)
        state.do(kv_put("a", i), idempotency_key=f"k{i}")
    horizon = queries.summary(state.store).requests_horizon_ms
    assert horizon == state.clock_ms - 3
    outcome = state.do(kv_put("a", 9), idempotency_key="new", first_attempt_ms=horizon + 1)
    assert outcome.is_changed


def test_what_a_restart_remembers_is_what_was_remembered(monkeypatch):
    monkeypatch.setattr(dedupe, "EXPIRE_BATCH_MAX", 1)
    state = CheckedState()
    for i in range(3):
        state.do(kv_put("a", i), idempotency_key=f"k{i}")
    state.advance(IDEMPOTENCY_WINDOW_MS)
    again = CheckedState(state.store)
    again.clock_ms = state.clock_ms
    again.tick()
    assert queries.summary(again.store).requests_count == 2
