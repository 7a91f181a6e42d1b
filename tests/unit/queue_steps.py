"""Steps of tests of the queue over a checked state. Not a test file."""

from __future__ import annotations

from replicante.model.codec import encode_value
from replicante.state import queries, queue_queries
from replicante.state.outcome import (
    JobsAdded,
    JobsClaimed,
    RejectCode,
    Rejected,
)
from replicante.state.queue_commands import (
    NewJob,
    QueueAck,
    QueueClaim,
    QueueEnqueue,
    QueueNack,
)

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
