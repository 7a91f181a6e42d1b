"""Where a job is: placed, blocked behind its group, claimed, dead, gone. Pure; called by
`apply_queue` and `sweeps`.

Every change of place goes through here, so that the indexes and the counts of a queue always agree
with its jobs. None of these functions decides whether something may happen.
"""

from __future__ import annotations

from itertools import islice

from msgspec.structs import replace

from replicante.ids import format_stamp
from replicante.limits import JOB_HISTORY_ATTEMPTS_MAX
from replicante.state import queue_tables as t
from replicante.state.eventlog import EventCode, pack_payload
from replicante.state.queue_tables import Attempt, JobRow, JobState, QueueRow
from replicante.state.queue_tally import JobMove
from replicante.state.sweep_room import SweepRoom
from replicante.state.writer import Writer
from replicante.storage.keys import decode_key, prefix_range


def read_queue(writer: Writer, queue: str) -> QueueRow:
    return writer.queue_rows.read(writer, queue)


def write_queue(writer: Writer, queue: str, row: QueueRow) -> None:
    writer.queue_rows.write(queue, row)


def read_job(writer: Writer, queue: str, job: int) -> JobRow | None:
    raw = writer.get(t.job_key(queue, job))
    return None if raw is None else t.read_job_row(raw)


def write_job(writer: Writer, queue: str, job: int, row: JobRow) -> None:
    packed = t.job_row(row)
    writer.command_job_bytes += len(packed)
    writer.put(t.job_key(queue, job), packed)


def arrive(writer: Writer, queue: str, job: int, row: JobRow) -> None:
    """A job that waits, new or from among the dead. A younger head of its group gives way."""
    write_job(writer, queue, job, row)
    if row.dedup is not None:
        writer.put(t.dedup_key(queue, row.dedup), b"%d" % job)
    _count(writer, queue, waiting=1)
    if row.group is None:
        _place(writer, queue, job, row)
        return
    head = group_head(writer, queue, row.group)
    writer.put(t.group_key(queue, row.group, job), b"")
    if _is_busy(writer, queue, row.group) or (head is not None and head < job):
        return
    if head is not None:
        before = read_job(writer, queue, head)
        assert before is not None, "a group names its jobs"
        _unplace(writer, queue, head, before)
    _place(writer, queue, job, row)


def claim(
    writer: Writer,
    queue: str,
    job: int,
    row: JobRow,
    *,
    visibility_ms: int,
    worker: str,
    lease: int | None,
) -> JobRow:
    """row: of a job that is ready. The claim's token is a stamp of its own."""
    clock_ms = writer.counters.clock_ms
    writer.delete(t.ready_key(queue, row.priority, job))
    claimed = replace(
        row,
        state=JobState.CLAIMED,
        attempts=row.attempts + 1,
        token=writer.stamp(),
        claimed_ms=clock_ms,
        deadline_ms=clock_ms + visibility_ms,
        visibility_ms=visibility_ms,
        worker=worker,
        lease=lease,
    )
    write_job(writer, queue, job, claimed)
    _set_due(writer, queue, job, claimed.deadline_ms)
    if lease is not None:
        writer.put(t.lease_claim_key(lease, queue, job), b"")
    if row.group is not None:
        writer.put(t.busy_key(queue, row.group), b"")
    _count(writer, queue, waiting=-1, ready=-1, claimed=1)
    writer.queue_tally.note(queue, JobMove.CLAIMED)
    return claimed


def extend(writer: Writer, queue: str, job: int, row: JobRow, *, visibility_ms: int) -> None:
    _clear_due(writer, queue, job, row.deadline_ms)
    deadline_ms = writer.counters.clock_ms + visibility_ms
    write_job(
        writer, queue, job, replace(row, deadline_ms=deadline_ms, visibility_ms=visibility_ms)
    )
    _set_due(writer, queue, job, deadline_ms)


def cut_short(writer: Writer, queue: str, job: int, row: JobRow) -> None:
    """A claim that goes on is over now, by its deadline; the next sweep gives the job back."""
    _clear_due(writer, queue, job, row.deadline_ms)
    clock_ms = writer.counters.clock_ms
    write_job(writer, queue, job, replace(row, deadline_ms=clock_ms))
    _set_due(writer, queue, job, clock_ms)


def remove_claimed(writer: Writer, queue: str, job: int, row: JobRow) -> None:
    """It is done."""
    _end_claim(writer, queue, job, row)
    _count(writer, queue, claimed=-1)
    writer.queue_tally.note(queue, JobMove.ACKED)
    writer.delete(t.job_key(queue, job))
    _forget_dedup(writer, queue, row)
    _leave_group(writer, queue, job, row)


def give_back(
    writer: Writer, queue: str, job: int, row: JobRow, *, how: str, reason: str, delay_ms: int
) -> None:
    """A claim ends without an acknowledgement: the job waits again, or is a dead letter now."""
    _end_claim(writer, queue, job, row)
    clock_ms = writer.counters.clock_ms
    attempt = Attempt(row.attempts, row.worker, row.claimed_ms, clock_ms, how, reason)
    history = (*row.history, attempt)[-JOB_HISTORY_ATTEMPTS_MAX:]
    is_dead = row.attempts >= row.attempts_max
    back = replace(
        row,
        state=JobState.DEAD if is_dead else JobState.WAITING,
        token=0,
        deadline_ms=0,
        lease=None,
        not_before_ms=clock_ms + delay_ms,
        history=history,
    )
    _count(writer, queue, claimed=-1)
    writer.queue_tally.note(queue, JobMove.NACKED if how == "nack" else JobMove.RETURNED)
    if is_dead:
        writer.queue_tally.note(queue, JobMove.DEAD_LETTERED)
        write_job(writer, queue, job, back)
        writer.put(t.dead_key(queue, job), b"")
        _count(writer, queue, dead=1)
        _forget_dedup(writer, queue, row)
        _leave_group(writer, queue, job, row)
    else:
        write_job(writer, queue, job, back)
        _count(writer, queue, waiting=1)
        if row.group is None:
            _place(writer, queue, job, back)
        else:
            _place_head(writer, queue, row.group)
    tell_end(writer, queue, job, row, how=how, reason=reason, is_dead=is_dead)


def tell_end(
    writer: Writer, queue: str, job: int, row: JobRow, *, how: str, reason: str, is_dead: bool
) -> None:
    payload = pack_payload(
        {
            "attempt": row.attempts,
            "how": how,
            "id": format_stamp(job),
            "reason": reason,
            "token": format_stamp(row.token),
            "worker": row.worker,
        }
    )
    code = EventCode.JOB_DEAD if is_dead else EventCode.JOB_RETURNED
    if how == "nack":
        writer.emit(code, payload, key=queue)
    else:
        writer.emit_unasked(code, payload, key=queue)


def remove_waiting(writer: Writer, queue: str, job: int, row: JobRow) -> None:
    is_head = row.group is None or (
        group_head(writer, queue, row.group) == job and not _is_busy(writer, queue, row.group)
    )
    if is_head:
        _unplace(writer, queue, job, row)
    writer.delete(t.job_key(queue, job))
    _forget_dedup(writer, queue, row)
    _count(writer, queue, waiting=-1)
    if row.group is not None:
        writer.delete(t.group_key(queue, row.group, job))
        if is_head:
            _place_head(writer, queue, row.group)


def remove_dead(writer: Writer, queue: str, job: int) -> None:
    writer.delete(t.dead_key(queue, job))
    writer.delete(t.job_key(queue, job))
    _count(writer, queue, dead=-1)


def redrive(writer: Writer, queue: str, job: int, row: JobRow) -> None:
    """A dead letter waits again, with all its attempts before it."""
    writer.delete(t.dead_key(queue, job))
    _count(writer, queue, dead=-1)
    is_taken = row.dedup is not None and writer.get(t.dedup_key(queue, row.dedup)) is not None
    fresh = replace(
        row,
        state=JobState.WAITING,
        attempts=0,
        not_before_ms=writer.counters.clock_ms,
        dedup=None if is_taken else row.dedup,
    )
    arrive(writer, queue, job, fresh)


def group_head(writer: Writer, queue: str, group: str) -> int | None:
    """The oldest job of a group that is not dead."""
    for key, _ in islice(writer.scan(*prefix_range(t.group_prefix(queue, group))), 1):
        return decode_key(key, str, str, int)[2]
    return None


def sweep_due(writer: Writer, room: SweepRoom) -> None:
    """Delays that are over make ready, claims that ran out are given back, while there is room."""
    clock_ms = writer.counters.clock_ms
    start, _ = prefix_range(t.DUE)
    end = t.due_key(clock_ms + 1, "", 0)
    keys = islice(writer.scan(start, end), room.records_left)
    for due_ms, queue, job in [decode_key(key, int, str, int) for key, _ in keys]:
        if not room.is_left:
            return
        raw = writer.get(t.job_key(queue, job))
        assert raw is not None, "what is due belongs to a job"
        room.note(size_bytes=len(raw))
        row = t.read_job_row(raw)
        if row.state is JobState.CLAIMED:
            give_back(writer, queue, job, row, how="timeout", reason="", delay_ms=0)
        else:
            _clear_due(writer, queue, job, due_ms)
            _make_ready(writer, queue, job, row)


def return_claims(writer: Writer, lease: int, room: SweepRoom) -> None:
    """Gives back what was claimed under a lease that is over, while there is room; the rows of the
    rest stay and say that it is to be given back."""
    keys = islice(writer.scan(*prefix_range(t.lease_claim_prefix(lease))), room.records_left)
    for _, queue, job in [decode_key(key, int, str, int) for key, _ in keys]:
        if not room.is_left:
            return
        raw = writer.get(t.job_key(queue, job))
        assert raw is not None, "a claim belongs to a job"
        room.note(size_bytes=len(raw))
        give_back(writer, queue, job, t.read_job_row(raw), how="lease", reason="", delay_ms=0)


# --- below ---------------------------------------------------------------------------------------


def _place(writer: Writer, queue: str, job: int, row: JobRow) -> None:
    if row.not_before_ms > writer.counters.clock_ms:
        _set_due(writer, queue, job, row.not_before_ms)
    else:
        _make_ready(writer, queue, job, row)


def _make_ready(writer: Writer, queue: str, job: int, row: JobRow) -> None:
    key = t.ready_key(queue, row.priority, job)
    writer.put(key, b"")
    writer.ready_starts.note_ready(queue, key)
    _count(writer, queue, ready=1)


def _unplace(writer: Writer, queue: str, job: int, row: JobRow) -> None:
    key = t.ready_key(queue, row.priority, job)
    if writer.get(key) is not None:
        writer.delete(key)
        _count(writer, queue, ready=-1)
    else:
        _clear_due(writer, queue, job, row.not_before_ms)


def _end_claim(writer: Writer, queue: str, job: int, row: JobRow) -> None:
    _clear_due(writer, queue, job, row.deadline_ms)
    if row.lease is not None:
        writer.delete(t.lease_claim_key(row.lease, queue, job))
    if row.group is not None:
        writer.delete(t.busy_key(queue, row.group))


def _is_busy(writer: Writer, queue: str, group: str) -> bool:
    return writer.get(t.busy_key(queue, group)) is not None


def _leave_group(writer: Writer, queue: str, job: int, row: JobRow) -> None:
    if row.group is not None:
        writer.delete(t.group_key(queue, row.group, job))
        _place_head(writer, queue, row.group)


def _place_head(writer: Writer, queue: str, group: str) -> None:
    """The group is not busy any more, or lost the head that was placed."""
    head = group_head(writer, queue, group)
    if head is not None:
        row = read_job(writer, queue, head)
        assert row is not None, "a group names its jobs"
        _place(writer, queue, head, row)


def _forget_dedup(writer: Writer, queue: str, row: JobRow) -> None:
    if row.dedup is not None:
        writer.delete(t.dedup_key(queue, row.dedup))


def _set_due(writer: Writer, queue: str, job: int, due_ms: int) -> None:
    writer.put(t.due_key(due_ms, queue, job), b"")
    writer.queue_times.note(due_ms)


def _clear_due(writer: Writer, queue: str, job: int, due_ms: int) -> None:
    writer.delete(t.due_key(due_ms, queue, job))
    writer.queue_times.note_gone(due_ms)


def _count(
    writer: Writer, queue: str, *, waiting: int = 0, ready: int = 0, claimed: int = 0, dead: int = 0
) -> None:
    row = read_queue(writer, queue)
    changed = replace(
        row,
        waiting_count=row.waiting_count + waiting,
        ready_count=row.ready_count + ready,
        claimed_count=row.claimed_count + claimed,
        dead_count=row.dead_count + dead,
    )
    write_queue(writer, queue, changed)
