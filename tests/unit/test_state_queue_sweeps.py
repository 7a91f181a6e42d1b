"""How much of what ends by itself one entry gives back, and that nothing of the rest is lost."""

from __future__ import annotations

import pytest
from queue_steps import S30, STALE, ack, claim, counts, events_of, job, send

from replicante.limits import CLAIM_BYTES_MAX, JOB_BODY_BYTES_MAX
from replicante.model.codec import encode_value
from replicante.state import apply_queue, sweeps
from replicante.state.commands import Batch
from replicante.state.lease_commands import LeaseAcquire, LeaseRelease
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.queue_commands import QueueEnqueue, QueueExtend, QueueNack
from replicante.testing.builders import CheckedState, LoneState

S10 = 10_000


def large_jobs(state, count, *, body_bytes=100, **fields):
    for _ in range(count):
        send(state, job("x" * (body_bytes - 5), **fields))


def sweep_entries(state):
    """How many jobs each entry gave back while the machine asked to tick at once."""
    given_back = []
    before = len(events_of(state, "JOB_RETURNED"))
    while (deadline_ms := state.machine.deadline_ms()) is not None and (
        deadline_ms <= state.clock_ms
    ):
        state.tick()
        now = len(events_of(state, "JOB_RETURNED"))
        given_back.append(now - before)
        before = now
    return given_back


def lease_of(state, name="worker"):
    return state.do(LeaseAcquire(name, S10, encode_value({}))).revision


def test_claims_that_run_out_together_are_given_back_by_their_size():
    state = LoneState()
    fitting = CLAIM_BYTES_MAX // JOB_BODY_BYTES_MAX
    large_jobs(state, 2 * fitting + 1, body_bytes=JOB_BODY_BYTES_MAX)
    while claim(state):
        pass
    state.advance(S30)
    assert sweep_entries(state) == [fitting, fitting, 1]
    assert counts(state)[1:3] == (2 * fitting + 1, 0)


@pytest.mark.parametrize(("bytes_max", "expected"), [(1, [1] * 5), (250, [2, 2, 1])])
def test_one_job_is_given_back_whatever_its_size_and_the_rest_is_over_meanwhile(
    bytes_max, expected, monkeypatch
):
    monkeypatch.setattr(sweeps, "CLAIM_BYTES_MAX", bytes_max)
    state = CheckedState()
    large_jobs(state, 5)
    claimed = claim(state)
    state.advance(S30)
    # This entry sweeps the first portion; the last claim is over all the same.
    before = counts(state)[2]
    assert ack(state, claimed[-1]) == STALE
    assert before - counts(state)[2] == expected[0]
    assert sweep_entries(state) == expected[1:]


def test_delays_that_end_together_make_ready_by_their_size(monkeypatch):
    monkeypatch.setattr(sweeps, "CLAIM_BYTES_MAX", 200)
    state = CheckedState()
    large_jobs(state, 5, delay_ms=S10)
    state.advance(S10)
    ready = []
    while state.machine.deadline_ms() is not None:
        state.tick()
        ready.append(counts(state)[1])
    assert ready == [2, 4, 5]


@pytest.mark.parametrize("how", ["release", "expire"])
def test_a_lease_of_which_a_part_was_given_back_keeps_the_rest_for_later(how, monkeypatch):
    monkeypatch.setattr(sweeps, "CLAIM_BYTES_MAX", 250)
    state = CheckedState()
    large_jobs(state, 8)
    lease, other = lease_of(state), lease_of(state, "other")
    claimed = claim(state, count=5, lease=lease, visibility_ms=600_000)
    kept = claim(state, count=3, lease=other, visibility_ms=600_000)
    if how == "release":
        state.do(LeaseRelease("worker", lease))
        state.do(LeaseRelease("other", other))
    else:
        state.advance(S10)
        state.tick()
    assert counts(state)[2] > 0
    assert [ack(state, one) for one in (*claimed, *kept)] == [STALE] * 8
    # What a peer that starts here finds of them is in the rows.
    again = CheckedState(state.store)
    again.advance(0)
    sweep_entries(again)
    assert counts(again) == (8, 8, 0, 0)
    assert {one.job for one in claim(again)} == {one.job for one in (*claimed, *kept)}


def test_an_ended_lease_and_claims_that_ran_out_both_get_on_in_each_entry(monkeypatch):
    """Neither waits until the other is done."""
    monkeypatch.setattr(sweeps, "CLAIM_BYTES_MAX", 1)
    state = CheckedState()
    large_jobs(state, 6)
    claim(state, count=3, lease=lease_of(state), visibility_ms=600_000)
    claim(state, count=3, visibility_ms=S10)
    state.advance(S10)
    assert sweep_entries(state) == [2, 2, 2]
    how = [it.payload_value()["how"] for it in events_of(state, "JOB_RETURNED")]
    assert how == ["lease", "timeout"] * 3


# --- batches -------------------------------------------------------------------------------------

FULL = Rejected(RejectCode.BATCH_TOO_LARGE, {"limit": 250})


@pytest.mark.parametrize("verb", [QueueNack, QueueExtend])
def test_what_a_batch_writes_anew_is_bounded_by_its_size_and_the_rest_holds_on(verb, monkeypatch):
    state = CheckedState()
    large_jobs(state, 5)
    left = claim(state)
    monkeypatch.setattr(apply_queue, "CLAIM_BYTES_MAX", 250)
    done = []
    while left:
        outcomes = state.do(Batch(tuple(verb("q", it.job, it.token) for it in left))).outcomes
        done.append(sum(isinstance(it, Applied) for it in outcomes))
        assert list(outcomes[done[-1] :]) == [FULL] * (len(left) - done[-1])
        left = left[done[-1] :]
    assert done == [2, 2, 1]


def test_a_batch_of_large_jobs_refuses_only_what_would_write_more(monkeypatch):
    state = CheckedState()
    large_jobs(state, 4)
    one, two, three, four = claim(state)
    monkeypatch.setattr(apply_queue, "CLAIM_BYTES_MAX", 100)
    outcomes = state.do(
        Batch(
            (
                QueueNack("q", one.job, one.token),
                QueueNack("q", two.job, two.token),
                QueueNack("q", three.job, one.token),
                QueueEnqueue("other", (job(),)),
            )
        )
    ).outcomes
    assert [type(it) for it in outcomes] == [Applied, Rejected, Rejected, Applied]
    assert [it.code for it in outcomes[1:3]] == [RejectCode.BATCH_TOO_LARGE, RejectCode.STALE_TOKEN]
    assert isinstance(state.do(QueueNack("q", four.job, four.token)), Applied)
