"""What the queue commands do, one claim each; the invariants hold after every entry."""

from __future__ import annotations

from queue_steps import (
    S30,
    STALE,
    ack,
    claim,
    claim_one,
    counts,
    events_of,
    job,
    nack,
    send,
)

from replicante.model.codec import encode_value
from replicante.state import queries, queue_queries
from replicante.state.lease_commands import LeaseAcquire, LeaseRelease
from replicante.state.outcome import (
    Applied,
    BatchApplied,
    RejectCode,
    Rejected,
    decode_outcome,
)
from replicante.state.queue_commands import (
    QueueClaim,
    QueueEnqueue,
    QueueExtend,
    QueueRedrive,
)
from replicante.testing.builders import CheckedState, envelope_bytes, kv_put


def test_a_job_is_claimed_by_one_worker_until_its_claim_ends():
    state = CheckedState()
    (first,) = send(state)
    claimed = claim_one(state)
    assert (claimed.job, claimed.attempt) == (first, 1)
    assert claim(state) == []
    state.advance(S30 - 1)
    assert claim(state) == []
    state.advance(1)
    again = claim_one(state)
    assert (again.job, again.attempt) == (first, 2)
    assert again.token > claimed.token


def test_an_acknowledged_job_is_gone():
    state = CheckedState()
    send(state)
    outcome = ack(state, claim_one(state))
    assert isinstance(outcome, BatchApplied)
    assert counts(state) is None
    codes = [event.code for event in events_of(state)]
    assert codes == ["JOB_ENQUEUED", "JOB_CLAIMED", "JOB_ACKED"]


def test_a_stale_token_does_nothing_and_none_of_its_operations():
    state = CheckedState()
    send(state)
    old = claim_one(state)
    state.advance(S30)
    new = claim_one(state)
    held = Rejected(RejectCode.STALE_TOKEN, {"held": new.token})
    assert ack(state, old, kv_put("done", 1)) == held
    assert nack(state, old) == held
    assert state.do(QueueExtend("q", old.job, old.token)) == held
    assert queries.kv_get(state.store, b"done") is None
    assert isinstance(ack(state, new), BatchApplied)
    assert ack(state, new) == STALE


def test_a_claim_that_ran_out_is_over_in_the_very_entry():
    state = CheckedState()
    send(state)
    claimed = claim_one(state)
    state.advance(S30)
    assert ack(state, claimed) == STALE


def test_an_acknowledgement_and_its_operations_are_one_write():
    state = CheckedState()
    send(state)
    outcome = ack(
        state, claim_one(state), kv_put("done", 1), QueueEnqueue("next", (job(2, dedup="d"),))
    )
    done, put, added = outcome.outcomes
    assert done.is_removed
    assert put.is_created
    assert added.is_created
    index = {event.index for event in events_of(state, "JOB_ACKED", "KV_PUT")}
    assert len(index) == 1
    assert counts(state, "next") == (1, 1, 0, 0)


def test_the_highest_priority_is_claimed_first_then_the_oldest():
    state = CheckedState()
    ids = send(state, job(priority=0), job(priority=5), job(priority=-5), job(priority=5))
    assert [one.job for one in claim(state)] == [ids[1], ids[3], ids[0], ids[2]]


def test_a_delayed_job_is_not_claimed_before_its_time():
    state = CheckedState()
    send(state, job(delay_ms=5_000))
    assert counts(state) == (1, 0, 0, 0)
    state.advance(4_999)
    assert claim(state) == []
    state.advance(1)
    assert len(claim(state)) == 1


def test_a_nacked_job_waits_for_its_delay_and_knows_why():
    state = CheckedState()
    send(state)
    assert isinstance(nack(state, claim_one(state), delay_ms=2_000, reason="busy"), Applied)
    assert claim(state) == []
    state.advance(2_000)
    claimed = claim_one(state)
    assert claimed.attempt == 2
    (attempt,) = queue_queries.job_get(state.store, "q", claimed.job).history
    assert (attempt.number, attempt.how, attempt.reason) == (1, "nack", "busy")


def test_an_extended_claim_lasts_from_the_extension_on():
    state = CheckedState()
    send(state)
    claimed = claim_one(state)
    state.advance(20_000)
    assert isinstance(state.do(QueueExtend("q", claimed.job, claimed.token)), Applied)
    state.advance(20_000)
    assert isinstance(ack(state, claimed), BatchApplied)
    assert not events_of(state, "JOB_RETURNED")


# --- groups -------------------------------------------------------------------------------------


def test_jobs_of_a_group_are_claimed_in_order_and_one_at_a_time():
    state = CheckedState()
    ids = send(state, job(group="g"), job(group="g", priority=9), job(group="h"))
    assert [one.job for one in claim(state)] == [ids[0], ids[2]]
    assert claim(state) == []


def test_the_next_of_a_group_follows_an_acknowledgement():
    state = CheckedState()
    ids = send(state, job(group="g"), job(group="g"))
    ack(state, claim_one(state))
    assert claim_one(state).job == ids[1]


def test_a_group_waits_for_its_head_also_while_that_is_delayed():
    state = CheckedState()
    ids = send(state, job(group="g"), job(group="g"))
    nack(state, claim_one(state), delay_ms=5_000)
    assert claim(state) == []
    state.advance(5_000)
    assert claim_one(state).job == ids[0], "strict order: the same job again"


def test_a_dead_head_lets_its_group_go_on():
    state = CheckedState()
    ids = send(state, job(group="g", attempts_max=1), job(group="g"))
    nack(state, claim_one(state))
    assert claim_one(state).job == ids[1]


def test_a_redriven_job_waits_for_the_one_of_its_group_that_is_claimed():
    state = CheckedState()
    ids = send(state, job(group="g", attempts_max=1), job(group="g"), job(group="g"))
    nack(state, claim_one(state))
    second = claim_one(state)
    state.do(QueueRedrive("q", 10))
    assert claim(state) == []
    ack(state, second)
    assert claim_one(state).job == ids[0], "it is the oldest again"


def test_a_redriven_job_goes_before_a_younger_head_that_waits():
    state = CheckedState()
    ids = send(state, job(group="g", attempts_max=1), job(group="g"))
    nack(state, claim_one(state))
    state.do(QueueRedrive("q", 10))
    assert [one.job for one in claim(state)] == [ids[0]]


# --- leases -------------------------------------------------------------------------------------


def lease_of(state, *, duration_ms=10_000):
    return state.do(LeaseAcquire("worker", duration_ms, encode_value({}))).revision


def test_claims_of_a_lease_return_at_once_when_it_ends():
    state = CheckedState()
    send(state, job(), job())
    lease = lease_of(state)
    claimed = claim(state, lease=lease)
    state.do(LeaseRelease("worker", lease))
    assert ack(state, claimed[0]) == STALE
    state.tick()
    assert counts(state) == (2, 2, 0, 0)
    assert {e.payload_value()["how"] for e in events_of(state, "JOB_RETURNED")} == {"lease"}


def test_claims_of_a_lease_that_ran_out_are_over_before_anything_is_swept():
    state = CheckedState()
    send(state)
    claimed = claim_one(state, lease=lease_of(state), visibility_ms=600_000)
    state.advance(10_000)
    assert ack(state, claimed) == STALE
    state.tick()
    assert claim_one(state).attempt == 2


def test_nothing_is_claimed_under_a_lease_that_is_over():
    state = CheckedState()
    send(state)
    lease = lease_of(state)
    state.do(LeaseRelease("worker", lease))
    assert state.do(QueueClaim("q", 1, S30, "w", lease)) == STALE


# --- one entry, batches, bounds --------------------------------------------------------------


def test_two_claims_in_one_entry_share_no_job_and_no_token():
    state = CheckedState()
    send(state, job(), job())
    commands = [QueueClaim("q", 1, S30, "a"), QueueClaim("q", 1, S30, "b")]
    one, two = (
        decode_outcome(it).jobs[0]
        for it in state.propose_together([envelope_bytes(command) for command in commands])
    )
    assert one.job != two.job
    assert one.token < two.token


def test_the_deadline_of_the_machine_is_that_of_the_job_that_is_due_first():
    state = CheckedState()
    send(state, job(delay_ms=9_000), job())
    assert state.machine.deadline_ms() == state.clock_ms + 9_000
    claim_one(state, visibility_ms=4_000)
    assert state.machine.deadline_ms() == state.clock_ms + 4_000
