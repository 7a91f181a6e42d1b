"""What operators do with a queue: dedup, dead letters, pause, purge. Invariants hold throughout."""

from __future__ import annotations

from queue_steps import (
    S30,
    ack,
    claim,
    claim_one,
    counts,
    events_of,
    job,
    nack,
    send,
)

from replicante.ids import format_stamp
from replicante.state import apply_queue, queue_queries
from replicante.state.outcome import (
    BatchApplied,
    JobsMoved,
    RejectCode,
    Rejected,
)
from replicante.state.queue_commands import (
    QueueEnqueue,
    QueuePause,
    QueuePurge,
    QueueRedrive,
    QueueResume,
)
from replicante.testing.builders import CheckedState


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
    fourth = claimed.job + 6
    assert state.do(QueuePurge("q", 3, False, "mistake")) == JobsMoved(3, 2, fourth)
    assert state.do(QueuePurge("q", 100, False, "mistake")) == JobsMoved(2, 0)
    assert state.do(QueuePurge("q", 100, False, "mistake")) == JobsMoved(0, 0)
    assert counts(state) == (0, 0, 1, 0)
    assert isinstance(ack(state, claimed), BatchApplied)
    assert len(events_of(state, "QUEUE_PURGED")) == 2


def portions(state, make):
    """What each portion moved, to the end."""
    found, after = [], None
    while True:
        outcome = state.do(make(after))
        found.append(outcome.count)
        if outcome.next is None:
            return found, outcome.left_count
        assert after is None or outcome.next > after
        after = outcome.next


def test_a_purge_finds_what_waits_behind_any_number_of_dead_letters_and_claimed_jobs(monkeypatch):
    monkeypatch.setattr(apply_queue, "JOBS_LOOKED_AT_MAX", 3)
    state = CheckedState()
    send(state, *[job(attempts_max=1) for _ in range(8)])
    for _ in range(8):
        nack(state, claim_one(state))
    send(state, job(), job())
    claim(state, 2)
    send(state, job(delay_ms=5_000), job(group="g"), job(group="g"), job())
    assert counts(state) == (4, 2, 2, 8)
    done = portions(state, lambda after: QueuePurge("q", 2, False, "mistake", after))
    assert done == ([0, 0, 0, 2, 2], 0)
    assert counts(state) == (0, 0, 2, 8)
    assert len(events_of(state, "QUEUE_PURGED")) == 2


def test_dead_letters_are_redriven_each_once_and_purged_portion_by_portion():
    state = CheckedState()

    def die():
        for one in claim(state):
            nack(state, one)

    ids = send(state, *[job(attempts_max=1) for _ in range(5)])
    die()
    first = state.do(QueueRedrive("q", 2))
    assert first == JobsMoved(2, 3, ids[1])
    die()
    # Those of the first portion are dead again, and are not met again.
    assert portions(state, lambda after: QueueRedrive("q", 2, (), after or first.next)) == (
        [2, 1],
        2,
    )
    die()
    assert portions(state, lambda after: QueuePurge("q", 2, True, "old", after)) == ([2, 2, 1], 0)
    assert counts(state) is None


def test_dead_letters_are_purged_on_their_own():
    state = CheckedState()
    send(state, job(attempts_max=1), job())
    nack(state, claim_one(state))
    assert state.do(QueuePurge("q", 100, True, "old")) == JobsMoved(1, 0)
    assert counts(state) == (1, 1, 0, 0)
