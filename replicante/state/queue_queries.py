"""What can be asked about queues. Pure; one function each, bounded, over a View.

Called by `api` and by workers.
"""

from __future__ import annotations

from itertools import islice

import msgspec

from replicante.ids import Stamp
from replicante.limits import (
    JOB_PRIORITY_MAX,
    JOBS_LOOKED_AT_MAX,
    NAME_BYTES_MAX,
    PAGE_BYTES_MAX,
    PAGE_ITEMS_DEFAULT,
    PAGE_ITEMS_MAX,
    QUEUE_LOOKS_MAX,
    QUEUES_COUNTED_MAX,
)
from replicante.state import queue_tables as t
from replicante.state.queries import fits
from replicante.state.queue_tables import JobRow, JobState, QueueRow
from replicante.storage.keys import decode_key, prefix_range
from replicante.storage.kv import Reader


class QueueRecord(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    row: QueueRow
    oldest_ready_ms: int | None
    """Cluster time at which the oldest of the jobs that are ready was enqueued."""


class QueuePage(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[QueueRecord, ...]
    next: str | None


class QueueSurvey(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[QueueRecord, ...]
    ages_left_out_count: int
    """Of these, the ones of which the age was not looked for: it is None though jobs are ready."""
    left_out_count: int
    """Queues that come after these, QUEUES_COUNTED_MAX at most."""


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    id: Stamp
    row: JobRow


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[JobRecord, ...]
    next: Stamp | None


def queue_get(reader: Reader, name: str) -> QueueRecord | None:
    """None for a queue that holds nothing and is not paused."""
    if not 0 < len(name.encode()) <= NAME_BYTES_MAX:
        return None
    raw = reader.get(t.queue_key(name))
    return None if raw is None else _record(reader, name, raw)[0]


def queue_list(
    reader: Reader, *, prefix: str = "", after: str | None = None, limit: int = PAGE_ITEMS_DEFAULT
) -> QueuePage:
    """Queues by name. limit: 1 to PAGE_ITEMS_MAX. A page ends after QUEUE_LOOKS_MAX rows, too."""
    assert 1 <= limit <= PAGE_ITEMS_MAX
    if len(prefix.encode()) > NAME_BYTES_MAX or not fits(after or ""):
        return QueuePage(items=(), next=None)
    start, end = prefix_range(t.queue_key(prefix))
    if after is not None:
        start = max(start, t.queue_key(after) + b"\x00")
    items: list[QueueRecord] = []
    looks_count = 0
    if start < end:
        for key, raw in reader.scan(start, end):
            if len(items) == limit or looks_count > QUEUE_LOOKS_MAX:
                return QueuePage(items=tuple(items), next=items[-1].name)
            record, looked_count = _record(reader, decode_key(key, str)[0], raw)
            items.append(record)
            looks_count += looked_count
    return QueuePage(items=tuple(items), next=None)


def queue_survey(reader: Reader, *, limit: int) -> QueueSurvey:
    """The first queues by name with all their counts, and the ages of their oldest jobs as far as
    QUEUE_LOOKS_MAX rows go."""
    items: list[QueueRecord] = []
    looks_count = ages_left_out_count = left_out_count = 0
    for key, raw in islice(reader.scan(*prefix_range(t.QUEUES)), limit + QUEUES_COUNTED_MAX):
        if len(items) == limit:
            left_out_count += 1
            continue
        name, row, oldest_ms = decode_key(key, str)[0], t.read_queue_row(raw), None
        if row.ready_count and looks_count < QUEUE_LOOKS_MAX:
            oldest_ms, looked_count = _oldest_ready_ms(reader, name)
            looks_count += looked_count
        elif row.ready_count:
            ages_left_out_count += 1
        items.append(QueueRecord(name=name, row=row, oldest_ready_ms=oldest_ms))
    return QueueSurvey(
        items=tuple(items),
        ages_left_out_count=ages_left_out_count,
        left_out_count=left_out_count,
    )


def ready_count(reader: Reader, name: str) -> int:
    """Jobs that a claim would find now."""
    raw = reader.get(t.queue_key(name))
    if raw is None:
        return 0
    row = t.read_queue_row(raw)
    return 0 if row.paused_ms is not None else row.ready_count


def job_get(reader: Reader, queue: str, job: int) -> JobRow | None:
    raw = reader.get(t.job_key(queue, job))
    return None if raw is None else t.read_job_row(raw)


def job_list(
    reader: Reader,
    queue: str,
    *,
    is_dead: bool = False,
    after: int | None = None,
    limit: int = PAGE_ITEMS_DEFAULT,
) -> JobPage:
    """Jobs of a queue by id, which is the order of their arrival: the dead letters, or all others.

    limit: 1 to PAGE_ITEMS_MAX. A page ends before the row that would take it beyond
    PAGE_BYTES_MAX, and after JOBS_LOOKED_AT_MAX rows; it may hold none when dead letters were
    passed over.
    """
    assert 1 <= limit <= PAGE_ITEMS_MAX
    prefix = t.dead_prefix(queue) if is_dead else t.jobs_prefix(queue)
    start, end = prefix_range(prefix)
    if after is not None:
        key = t.dead_key(queue, after) if is_dead else t.job_key(queue, after)
        start = max(start, key + b"\x00")
    items: list[JobRecord] = []
    size, place = 0, after or 0
    for count, (key, raw) in enumerate(reader.scan(start, end) if start < end else ()):
        job = decode_key(key, str, int)[1]
        stored = reader.get(t.job_key(queue, job)) if is_dead else raw
        assert stored is not None, "a dead letter is a job"
        # With its history, which may be larger than the body.
        size += len(stored)
        is_full = len(items) == limit or count == JOBS_LOOKED_AT_MAX
        if is_full or (count and size > PAGE_BYTES_MAX):
            return JobPage(items=tuple(items), next=Stamp(place))
        place, row = job, t.read_job_row(stored)
        if is_dead or row.state is not JobState.DEAD:
            items.append(JobRecord(id=Stamp(place), row=row))
    return JobPage(items=tuple(items), next=None)


def _record(reader: Reader, name: str, raw: bytes) -> tuple[QueueRecord, int]:
    """And how many rows were looked at."""
    oldest_ms, looked_count = _oldest_ready_ms(reader, name)
    row = t.read_queue_row(raw)
    return QueueRecord(name=name, row=row, oldest_ready_ms=oldest_ms), looked_count + 1


def _oldest_ready_ms(reader: Reader, name: str) -> tuple[int | None, int]:
    """A job of low priority may have waited for long behind those that are claimed first, so each
    priority is looked at: its first row in READY is its oldest job."""
    oldest_ms: int | None = None
    looked_count = 0
    start, end = prefix_range(t.ready_prefix(name))
    while (first := next(reader.scan(start, end), None)) is not None:
        _, rank, job = decode_key(first[0], str, int, int)
        row = job_get(reader, name, job)
        assert row is not None, "what is ready is a job"
        oldest_ms = row.enqueued_ms if oldest_ms is None else min(oldest_ms, row.enqueued_ms)
        start = t.ready_key(name, JOB_PRIORITY_MAX - rank - 1, 0)
        looked_count += 1
    return oldest_ms, looked_count
