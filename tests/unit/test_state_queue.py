"""What the queue commands do, one claim each; the invariants hold after every entry."""

from __future__ import annotations

from replicante.ids import format_stamp
from replicante.model.codec import encode_value
from replicante.state import queries, queue_queries
from replicante.state.lease_commands import LeaseAcquire, LeaseRelease
from replicante.state.outcome import (
    Applied,
    BatchApplied,
    JobsAdded,
    JobsClaimed,
    JobsMoved,
    RejectCode,
    Rejected,
    decode_outcome,
)
from replicante.state.queue_commands import (
    NewJob,
    QueueAck,
    QueueClaim,
    QueueEnqueue,
    QueueExtend,
    QueueNack,
    QueuePause,
    QueuePurge,
    QueueRedrive,
    QueueResume,
)
from replicante.testing.builders import CheckedState, envelope_bytes, kv_put

S30 = 30_000
STALE = Rejected(RejectCode.STALE_TOKEN, {"held": None})


def job(body=1, *, attempts_max=3, **fields) -> NewJob:
    return NewJob(body=encode_value(body), attempts_max=attempts_max, **fields)


def send(state, *jobs, queue="q") -> list[int]:
    outcome = state.do(QueueEnqueue(queue, jobs or (job(),)))
    assert isinstance(outcome, JobsAdded)
    return [one.job for one in outcome.jobs]


def claim(state, count=10, *, queue="q", visibility_ms=S30, lease=None):
    outcome = state.do(QueueClaim(queue, count, visibility_ms, "w", lease))
    assert isinstance(outcome, JobsClaimed)
    return list(outcome.jobs)


def claim_one(state, **fields):
    (claimed,) = claim(state, 1, **fields)
    return claimed


def ack(state, claimed, *operations, queue="q"):
    return state.do(QueueAck(queue, claimed.job, claimed.token, operations))


def nack(state, claimed, *, delay_ms=0, reason="", queue="q"):
    return state.do(QueueNack(queue, claimed.job, claimed.token, delay_ms, reason))


def counts(state, queue="q"):
    found = queue_queries.queue_get(state.store, queue)
    if found is None:
        return None
    row = found.row
    return row.waiting_count, row.ready_count, row.claimed_count, row.dead_count


def events_of(state, *codes):
    events = queries.events_after(state.store, 0, limit=1_000, scan_max=10_000).items
    return [event for event in events if not codes or event.code in codes]


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


# --- dedup, dead letters, pause, purge ------------------------------------------------------------


def test_a_second_job_with_a_dedup_id_is_the_first_until_that_is_done():
    state = CheckedState()
    (first,) = send(state, job(dedup="d"))
    outcome = state.do(QueueEnqueue("q", (job(2, dedup="d"),)))
    assert [(one.job, one.is_new) for one in outcome.jobs] == [(first, False)]
    ack(state, claim_one(state))
    assert send(state, job(3, dedup="d")) != [first]


def test_two_jobs_with_one_dedup_id_in_one_command_are_one():
    state = CheckedState()
    outcome = state.do(QueueEnqueue("q", (job(dedup="d"), job(dedup="d"))))
    assert [one.is_new for one in outcome.jobs] == [True, False]
    assert outcome.jobs[0].job == outcome.jobs[1].job


def test_a_job_without_attempts_left_is_a_dead_letter_with_its_history():
    state = CheckedState()
    send(state, job(attempts_max=2))
    nack(state, claim_one(state), reason="first")
    claim_one(state)
    state.advance(S30)
    state.tick()
    assert counts(state) == (0, 0, 0, 1)
    (dead,) = queue_queries.job_list(state.store, "q", is_dead=True).items
    assert [(one.how, one.reason) for one in dead.row.history] == [
        ("nack", "first"),
        ("timeout", ""),
    ]
    (event,) = events_of(state, "JOB_DEAD")
    assert event.payload_value()["id"] == format_stamp(dead.id)
    assert event.cause is None, "nobody asked for a timeout"


def test_a_redriven_job_has_all_its_attempts_again():
    state = CheckedState()
    send(state, job(attempts_max=1))
    nack(state, claim_one(state))
    assert state.do(QueueRedrive("q", 10)) == JobsMoved(1, 0)
    assert claim_one(state).attempt == 1


def test_only_dead_letters_are_redriven_all_of_them_or_none():
    state = CheckedState()
    ids = send(state, job(attempts_max=1), job())
    nack(state, claim_one(state))
    outcome = state.do(QueueRedrive("q", 0, tuple(ids)))
    assert outcome == Rejected(RejectCode.NOT_FOUND, {"id": format_stamp(ids[1])})
    assert counts(state)[3] == 1


def test_a_redriven_job_gives_up_a_dedup_id_that_is_taken():
    state = CheckedState()
    send(state, job(dedup="d", attempts_max=1))
    nack(state, claim_one(state))
    send(state, job(dedup="d"))
    state.do(QueueRedrive("q", 10))
    assert counts(state) == (2, 2, 0, 0)


def test_nothing_is_claimed_from_a_paused_queue_and_claims_go_on():
    state = CheckedState()
    send(state, job(), job())
    claimed = claim_one(state)
    state.do(QueuePause("q", "upgrade"))
    assert claim(state) == []
    assert isinstance(ack(state, claimed), BatchApplied)
    assert queue_queries.ready_count(state.store, "q") == 0
    assert not state.do(QueuePause("q", "again")).is_changed
    state.do(QueueResume("q"))
    assert not state.do(QueueResume("q")).is_changed
    assert len(claim(state)) == 1
    assert [e.code for e in events_of(state, "QUEUE_PAUSED", "QUEUE_RESUMED")] == [
        "QUEUE_PAUSED",
        "QUEUE_RESUMED",
    ]


def test_an_empty_queue_that_is_paused_stays():
    state = CheckedState()
    state.do(QueuePause("q", "not yet"))
    assert counts(state) == (0, 0, 0, 0)
    state.do(QueueResume("q"))
    assert counts(state) is None


def test_a_purge_takes_what_waits_and_says_what_is_left():
    state = CheckedState()
    send(state, *[job(group="g" if n % 2 else None) for n in range(6)])
    claimed = claim_one(state)
    assert state.do(QueuePurge("q", 3, False, "mistake")) == JobsMoved(3, 2)
    assert state.do(QueuePurge("q", 100, False, "mistake")) == JobsMoved(2, 0)
    assert state.do(QueuePurge("q", 100, False, "mistake")) == JobsMoved(0, 0)
    assert counts(state) == (0, 0, 1, 0)
    assert isinstance(ack(state, claimed), BatchApplied)
    assert len(events_of(state, "QUEUE_PURGED")) == 2


def test_what_is_ready_is_purged_however_many_dead_letters_are_older():
    state = CheckedState()
    send(state, *[job(attempts_max=1) for _ in range(8)])
    for _ in range(8):
        nack(state, claim_one(state))
    send(state, job(), job(group="g"), job(group="g"))
    assert counts(state) == (3, 2, 0, 8)
    assert state.do(QueuePurge("q", 2, False, "mistake")) == JobsMoved(2, 1)
    assert state.do(QueuePurge("q", 2, False, "mistake")) == JobsMoved(1, 0)


def test_dead_letters_are_purged_on_their_own():
    state = CheckedState()
    send(state, job(attempts_max=1), job())
    nack(state, claim_one(state))
    assert state.do(QueuePurge("q", 100, True, "old")) == JobsMoved(1, 0)
    assert counts(state) == (1, 1, 0, 0)


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
