"""What the queue commands do. Pure; called by machine.apply.

Promises: a job is claimed by one worker at a time until its claim ends; a token of a claim that is
over does nothing; an acknowledgement and its operations are one write. What a claim must not do is
search: it takes the first rows of an index (`queue_tables`). Extensions are no fact about who works
on what: they write a deadline and emit nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from msgspec.structs import replace

from replicante.ids import Stamp, format_stamp
from replicante.limits import CLAIM_BYTES_MAX, JOBS_LOOKED_AT_MAX
from replicante.state import carried, leases, queue_moves
from replicante.state import queue_tables as t
from replicante.state.eventlog import EventCode, pack_payload
from replicante.state.outcome import (
    AddedJob,
    Applied,
    BatchApplied,
    ClaimedJob,
    JobsAdded,
    JobsClaimed,
    JobsMoved,
    RejectCode,
    Rejected,
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
from replicante.state.queue_tables import JobRow, JobState
from replicante.state.queue_tally import JobMove
from replicante.state.writer import Writer
from replicante.storage.keys import decode_key, prefix_range

CarryOut = Callable[[Writer, Any], Applied | Rejected]


def enqueue(writer: Writer, command: QueueEnqueue) -> JobsAdded:
    return JobsAdded(tuple(_add(writer, command.queue, job) for job in command.jobs))


def enqueue_one(writer: Writer, command: QueueEnqueue) -> Applied:
    """As an operation of a batch or an acknowledgement, which holds one job."""
    (job,) = command.jobs
    added = _add(writer, command.queue, job)
    return Applied(added.job, is_created=added.is_new, is_changed=added.is_new)


def claim(writer: Writer, command: QueueClaim) -> JobsClaimed | Rejected:
    queue, lease = command.queue, command.lease
    clock_ms = writer.counters.clock_ms
    if lease is not None and not leases.is_held_with(writer, lease, clock_ms=clock_ms):
        return Rejected(RejectCode.STALE_TOKEN, {"held": None})
    if queue_moves.read_queue(writer, queue).paused_ms is not None:
        return JobsClaimed(())
    claimed = []
    for job, ready in _take_ready(writer, queue, count=command.count):
        row = queue_moves.claim(
            writer,
            queue,
            job,
            ready,
            visibility_ms=command.visibility_ms,
            worker=command.worker,
            lease=lease,
        )
        payload = {
            "attempt": row.attempts,
            "id": format_stamp(job),
            "token": format_stamp(row.token),
            "visibility_ms": row.visibility_ms,
            "worker": row.worker,
        }
        writer.emit(EventCode.JOB_CLAIMED, pack_payload(payload), key=queue)
        claimed.append(ClaimedJob(Stamp(job), Stamp(row.token), row.attempts))
    return JobsClaimed(tuple(claimed))


def ack(writer: Writer, command: QueueAck, carry_out: CarryOut) -> BatchApplied | Rejected:
    """carry_out: applies one of the operations. All happen, or nothing does."""
    held = _held_with(writer, command.queue, command.job, command.token)
    refused = held if isinstance(held, Rejected) else carried.refusal(writer, command.operations)
    if refused is not None:
        return refused
    done = ack_alone(writer, command)
    assert isinstance(done, Applied), "the token holds the job"
    return BatchApplied((done, *(carry_out(writer, one) for one in command.operations)))


def ack_alone(writer: Writer, command: QueueAck) -> Applied | Rejected:
    """Without its operations."""
    queue, job = command.queue, command.job
    row = _held_with(writer, queue, job, command.token)
    if isinstance(row, Rejected):
        return row
    revision = writer.stamp()
    queue_moves.remove_claimed(writer, queue, job, row)
    payload = {
        "attempt": row.attempts,
        "id": format_stamp(job),
        "operations": len(command.operations),
        "token": format_stamp(row.token),
        "worker": row.worker,
    }
    writer.emit(EventCode.JOB_ACKED, pack_payload(payload), key=queue)
    return Applied(Stamp(revision), is_removed=True)


def nack(writer: Writer, command: QueueNack) -> Applied | Rejected:
    queue, job = command.queue, command.job
    row = _to_write_anew(writer, queue, job, command.token)
    if isinstance(row, Rejected):
        return row
    revision = writer.stamp()
    queue_moves.give_back(
        writer, queue, job, row, how="nack", reason=command.reason, delay_ms=command.delay_ms
    )
    return Applied(Stamp(revision))


def extend(writer: Writer, command: QueueExtend) -> Applied | Rejected:
    queue, job = command.queue, command.job
    row = _to_write_anew(writer, queue, job, command.token)
    if isinstance(row, Rejected):
        return row
    revision = writer.stamp()
    visibility_ms = command.visibility_ms or row.visibility_ms
    queue_moves.extend(writer, queue, job, row, visibility_ms=visibility_ms)
    return Applied(Stamp(revision))


def pause(writer: Writer, command: QueuePause) -> Applied:
    row = queue_moves.read_queue(writer, command.queue)
    revision = writer.stamp()
    if row.paused_ms is not None:
        return Applied(Stamp(revision), is_changed=False)
    paused = replace(
        row,
        paused_ms=writer.counters.clock_ms,
        paused_by=writer.actor,
        paused_reason=command.reason,
    )
    queue_moves.write_queue(writer, command.queue, paused)
    payload = pack_payload({"reason": command.reason})
    writer.emit(EventCode.QUEUE_PAUSED, payload, key=command.queue)
    return Applied(Stamp(revision))


def resume(writer: Writer, command: QueueResume) -> Applied:
    row = queue_moves.read_queue(writer, command.queue)
    revision = writer.stamp()
    if row.paused_ms is None:
        return Applied(Stamp(revision), is_changed=False)
    resumed = replace(row, paused_ms=None, paused_by="", paused_reason="")
    queue_moves.write_queue(writer, command.queue, resumed)
    payload = pack_payload({"paused_ms": writer.counters.clock_ms - row.paused_ms})
    writer.emit(EventCode.QUEUE_RESUMED, payload, key=command.queue)
    return Applied(Stamp(revision))


def redrive(writer: Writer, command: QueueRedrive) -> JobsMoved | Rejected:
    queue = command.queue
    jobs, is_more = list(command.jobs), False
    if not jobs:
        jobs, is_more = _dead_letters(writer, queue, after=command.after, count=command.count)
    for job in jobs:
        row = queue_moves.read_job(writer, queue, job)
        if row is None or row.state is not JobState.DEAD:
            return Rejected(RejectCode.NOT_FOUND, {"id": format_stamp(job)})
    moved_count = size = 0
    for job in jobs:
        row = queue_moves.read_job(writer, queue, job)
        assert row is not None, "looked at above"
        size += len(row.body)
        if moved_count and size > CLAIM_BYTES_MAX:
            is_more = not command.jobs
            break
        moved_count += 1
        queue_moves.redrive(writer, queue, job, row)
        payload = pack_payload({"id": format_stamp(job)})
        writer.emit(EventCode.JOB_REDRIVEN, payload, key=queue)
    left_count = queue_moves.read_queue(writer, queue).dead_count
    return JobsMoved(moved_count, left_count, Stamp(jobs[moved_count - 1]) if is_more else None)


def purge(writer: Writer, command: QueuePurge) -> JobsMoved:
    queue = command.queue
    purged = _purge_dead(writer, command) if command.is_dead else _purge_waiting(writer, command)
    removed, place = purged
    row = queue_moves.read_queue(writer, queue)
    left = row.dead_count if command.is_dead else row.waiting_count
    if removed:
        payload = {
            "count": len(removed),
            "dead": command.is_dead,
            "first": format_stamp(min(removed)),
            "last": format_stamp(max(removed)),
            "reason": command.reason,
        }
        writer.emit(EventCode.QUEUE_PURGED, pack_payload(payload), key=queue)
    return JobsMoved(len(removed), left, place)


# --- below ---------------------------------------------------------------------------------------


def _take_ready(writer: Writer, queue: str, *, count: int) -> list[tuple[int, JobRow]]:
    """The jobs that a claim gets, all of which the caller claims. Their bodies are bounded, too: a
    claim whose answer nobody can read would use up an attempt of each."""
    start, end = writer.ready_starts.range(queue)
    taken: list[tuple[int, JobRow]] = []
    size, until = 0, start
    for key, _ in islice(writer.scan(start, end), count):
        job = decode_key(key, str, int, int)[2]
        row = queue_moves.read_job(writer, queue, job)
        assert row is not None, "what is ready is a job"
        size += len(row.body)
        if taken and size > CLAIM_BYTES_MAX:
            break
        taken.append((job, row))
        until = key + b"\x00"
    else:
        if len(taken) < count:
            until = end
    writer.ready_starts.note_gone(queue, until=until)
    return taken


def _add(writer: Writer, queue: str, new: NewJob) -> AddedJob:
    if new.dedup is not None:
        present = writer.get(t.dedup_key(queue, new.dedup))
        if present is not None:
            return AddedJob(Stamp(int(present)), is_new=False)
    clock_ms = writer.counters.clock_ms
    job = writer.stamp()
    row = JobRow(
        state=JobState.WAITING,
        priority=new.priority,
        group=new.group,
        dedup=new.dedup,
        body=new.body,
        enqueued_ms=clock_ms,
        not_before_ms=clock_ms + new.delay_ms,
        attempts=0,
        attempts_max=new.attempts_max,
        token=0,
        deadline_ms=0,
        visibility_ms=0,
        claimed_ms=0,
        worker="",
        lease=None,
        history=(),
    )
    queue_moves.arrive(writer, queue, job, row)
    payload = {
        "dedup": new.dedup,
        "delay_ms": new.delay_ms,
        "group": new.group,
        "id": format_stamp(job),
        "priority": new.priority,
    }
    writer.queue_tally.note(queue, JobMove.ENQUEUED)
    writer.emit(EventCode.JOB_ENQUEUED, pack_payload(payload), key=queue)
    return AddedJob(Stamp(job), is_new=True)


def _held_with(writer: Writer, queue: str, job: int, token: int) -> JobRow | Rejected:
    """The job, when the token holds a claim on it that goes on."""
    clock_ms = writer.counters.clock_ms
    row = queue_moves.read_job(writer, queue, job)
    if row is None or row.state is not JobState.CLAIMED:
        return Rejected(RejectCode.STALE_TOKEN, {"held": None})
    is_over = row.deadline_ms <= clock_ms or (
        row.lease is not None and not leases.is_held_with(writer, row.lease, clock_ms=clock_ms)
    )
    if is_over or row.token != token:
        return Rejected(RejectCode.STALE_TOKEN, {"held": None if is_over else row.token})
    return row


def _to_write_anew(writer: Writer, queue: str, job: int, token: int) -> JobRow | Rejected:
    """As `_held_with`, for a command that writes the job's row with its body. It may be one of a
    thousand in a batch, which writes no more than a claim does."""
    row = _held_with(writer, queue, job, token)
    if isinstance(row, JobRow) and writer.command_job_bytes >= CLAIM_BYTES_MAX:
        return Rejected(RejectCode.BATCH_TOO_LARGE, {"limit": CLAIM_BYTES_MAX})
    return row


def _dead_letters(
    writer: Writer, queue: str, *, after: int | None, count: int
) -> tuple[list[int], bool]:
    """The oldest behind that place, and whether there are more."""
    start, end = prefix_range(t.dead_prefix(queue))
    if after is not None:
        start = t.dead_key(queue, after) + b"\x00"
    keys = islice(writer.scan(start, end), count + 1)
    found = [decode_key(key, str, int)[1] for key, _ in keys]
    return found[:count], len(found) > count


def _purge_dead(writer: Writer, command: QueuePurge) -> tuple[list[int], Stamp | None]:
    """What is removed, and where the next portion begins."""
    queue = command.queue
    jobs, is_more = _dead_letters(writer, queue, after=command.after, count=command.count)
    for job in jobs:
        queue_moves.remove_dead(writer, queue, job)
    return jobs, Stamp(jobs[-1]) if is_more else None


def _purge_waiting(writer: Writer, command: QueuePurge) -> tuple[list[int], Stamp | None]:
    """The oldest that wait. What is claimed or dead lies between them and is passed over, so it
    counts for the bounds: a portion may remove none, and say where the next one begins."""
    queue = command.queue
    start, end = prefix_range(t.jobs_prefix(queue))
    if command.after is not None:
        start = t.job_key(queue, command.after) + b"\x00"
    waiting: list[tuple[int, JobRow]] = []
    size, place, is_more = 0, 0, False
    for count, (key, raw) in enumerate(writer.scan(start, end)):
        size += len(raw)
        is_full = len(waiting) == command.count or count == JOBS_LOOKED_AT_MAX
        if is_full or (count and size > CLAIM_BYTES_MAX):
            is_more = True
            break
        place, row = decode_key(key, str, int)[1], t.read_job_row(raw)
        if row.state is JobState.WAITING:
            waiting.append((place, row))
    for job, row in waiting:
        queue_moves.remove_waiting(writer, queue, job, row)
    return [job for job, _ in waiting], Stamp(place) if is_more else None
