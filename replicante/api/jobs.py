"""Jobs: wire → commands, rows → wire. Pure; called by routes_queues and batches."""

from __future__ import annotations

from replicante import errors, limits
from replicante.api import query as q
from replicante.ids import Stamp, format_stamp
from replicante.model.codec import encode_value, load_value
from replicante.state.queue_commands import NewJob
from replicante.state.queue_queries import JobRecord, QueueRecord
from replicante.state.queue_tables import JobState
from replicante.wire.batch import BatchEnqueue
from replicante.wire.durations import format_duration_ms, parse_duration_ms
from replicante.wire.queues import JobAttempt, JobBody, JobItem, QueueItem


def new_job(sent: JobBody | BatchEnqueue, *, where: str = "") -> NewJob:
    """where: beginning of the path of a fault, as `[3].`. Raises Invalid."""
    attempts_max = sent.max_attempts
    return NewJob(
        body=encode_value(sent.body, path=(f"{where}body",)),
        delay_ms=duration_ms(sent.delay, path=f"{where}delay"),
        priority=sent.priority,
        group=sent.group,
        dedup=sent.dedup,
        attempts_max=limits.JOB_ATTEMPTS_DEFAULT if attempts_max is None else attempts_max,
    )


def duration_ms(text: str, *, path: str) -> int:
    found = parse_duration_ms(text)
    if found is None:
        raise errors.Invalid(
            f"{text[:50]!r} is no duration; write it as 30s, 250ms or 1m.", path=path
        )
    return found


def job_stamp(text: str, *, path: str) -> Stamp:
    """An id or a token. Raises Invalid."""
    stamp = q.stamp(text, path=path)
    if stamp == 0:
        raise errors.Invalid("No job and no claim has the number 0.", path=path)
    return stamp


def queue_item(record: QueueRecord, *, now_ms: int) -> QueueItem:
    row, oldest_ms = record.row, record.oldest_ready_ms
    return QueueItem(
        name=record.name,
        waiting=row.waiting_count,
        ready=row.ready_count,
        claimed=row.claimed_count,
        dead=row.dead_count,
        oldest_age=None if oldest_ms is None else _since(oldest_ms, now_ms),
        paused=row.paused_ms is not None,
        paused_by=row.paused_by,
        paused_reason=row.paused_reason,
        paused_for=None if row.paused_ms is None else _since(row.paused_ms, now_ms),
    )


def job_item(record: JobRecord, *, now_ms: int) -> JobItem:
    row = record.row
    due_ms = row.deadline_ms if row.state is JobState.CLAIMED else row.not_before_ms
    return JobItem(
        id=format_stamp(record.id),
        state=row.state.name.lower(),
        body=load_value(row.body),
        priority=row.priority,
        group=row.group,
        dedup=row.dedup,
        attempts=row.attempts,
        max_attempts=row.attempts_max,
        age=_since(row.enqueued_ms, now_ms),
        due_in=format_duration_ms(max(0, due_ms - now_ms)),
        worker=row.worker if row.state is JobState.CLAIMED else "",
        history=tuple(
            JobAttempt(
                attempt=one.number,
                worker=one.worker,
                how=one.how,
                reason=one.reason,
                lasted=format_duration_ms(max(0, one.ended_ms - one.claimed_ms)),
            )
            for one in row.history
        ),
    )


def _since(then_ms: int, now_ms: int) -> str:
    return format_duration_ms(max(0, now_ms - then_ms))
