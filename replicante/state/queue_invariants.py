"""What is true of every queue, checked over all rows. Pure; part of `invariants`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from replicante.ids import stamp_index
from replicante.model.codec import is_canonical
from replicante.state import queue_tables as t
from replicante.state.queue_tables import JobRow, JobState, QueueRow
from replicante.state.tables import Counters
from replicante.storage.keys import decode_key, prefix_range
from replicante.storage.kv import Reader


def check_queues(reader: Reader, now: Counters) -> Iterator[str]:
    counts: dict[str, Counter[str]] = {}
    heads: dict[tuple[str, str], int] = {}
    for key, _ in reader.scan(*prefix_range(t.GROUPS)):
        queue, group, job = decode_key(key, str, str, int)
        heads.setdefault((queue, group), job)
    busy = {decode_key(key, str, str) for key, _ in reader.scan(*prefix_range(t.GROUPS_BUSY))}
    for place in busy:
        heads[place] = 0  # nothing of it is placed
    expected = Counter[str]()
    for key, raw in reader.scan(*prefix_range(t.JOBS)):
        queue, job = decode_key(key, str, int)
        row = t.read_job_row(raw)
        count = counts.setdefault(queue, Counter())
        count[row.state.name] += 1
        is_head = row.group is None or heads.get((queue, row.group)) == job
        yield from _check_job(reader, now, queue, job, row)
        yield from _check_place(reader, queue, job, row, count, expected, is_head=is_head)
    yield from _check_counts(reader, counts)
    yield from _check_indexes(reader, expected)


def _check_job(reader: Reader, now: Counters, queue: str, job: int, row: JobRow) -> Iterator[str]:
    where = f"job {job} of {queue!r}"
    if not job > 0 or stamp_index(job) > now.index:
        yield f"{where} is of an entry that was not applied"
    if not is_canonical(row.body):
        yield f"{where}: the body is not canonical"
    if row.attempts > row.attempts_max:
        yield f"{where} was claimed {row.attempts} times, allowed are {row.attempts_max}"
    if (row.state is JobState.CLAIMED) != (row.token != 0):
        yield f"{where} is {row.state.name} and has the token {row.token}"
    if row.token and stamp_index(row.token) > now.index:
        yield f"{where}: its claim is of an entry that was not applied"
    if row.dedup is None or row.state is JobState.DEAD:
        return
    if reader.get(t.dedup_key(queue, row.dedup)) != b"%d" % job:
        yield f"{where} is not found by its dedup id"


def _check_place(
    reader: Reader,
    queue: str,
    job: int,
    row: JobRow,
    count: Counter[str],
    expected: Counter[str],
    *,
    is_head: bool,
) -> Iterator[str]:
    """A job is where its state says, and nowhere else: the rows of all indexes are counted."""
    where = f"job {job} of {queue!r}"
    is_ready = reader.get(t.ready_key(queue, row.priority, job)) is not None
    count["ready"] += is_ready
    expected["ready"] += is_ready
    is_due = False
    match row.state:
        case JobState.WAITING:
            is_due = reader.get(t.due_key(row.not_before_ms, queue, job)) is not None
            if is_head != (is_ready or is_due) or (is_ready and is_due):
                yield f"{where} is not placed as its group says"
        case JobState.CLAIMED:
            is_due = reader.get(t.due_key(row.deadline_ms, queue, job)) is not None
            if not is_due or is_ready:
                yield f"{where} is claimed and will not run out, or is ready"
            if row.group is not None:
                expected["busy"] += 1
                if reader.get(t.busy_key(queue, row.group)) is None:
                    yield f"{where} is claimed and its group is not busy"
            if row.lease is not None:
                expected["lease"] += 1
                if reader.get(t.lease_claim_key(row.lease, queue, job)) is None:
                    yield f"{where}: the lease of its claim does not know it"
        case JobState.DEAD:
            expected["dead"] += 1
            if is_ready or reader.get(t.dead_key(queue, job)) is None:
                yield f"{where} is dead and not among the dead letters"
    expected["due"] += is_due
    expected["dedup"] += row.dedup is not None and row.state is not JobState.DEAD
    if row.group is not None and row.state is not JobState.DEAD:
        expected["group"] += 1
        if reader.get(t.group_key(queue, row.group, job)) is None:
            yield f"{where} is not in its group"


def _check_counts(reader: Reader, counts: dict[str, Counter[str]]) -> Iterator[str]:
    seen = set()
    for key, raw in reader.scan(*prefix_range(t.QUEUES)):
        (queue,) = decode_key(key, str)
        seen.add(queue)
        row, count = t.read_queue_row(raw), counts.get(queue, Counter())
        counted = QueueRow(
            waiting_count=count["WAITING"],
            ready_count=count["ready"],
            claimed_count=count["CLAIMED"],
            dead_count=count["DEAD"],
            paused_ms=row.paused_ms,
            paused_by=row.paused_by,
            paused_reason=row.paused_reason,
        )
        if counted != row:
            yield f"queue {queue!r} holds {dict(count)}; counted {row}"
        if row.is_empty and row.paused_ms is None:
            yield f"queue {queue!r} holds nothing and is still there"
    for queue in counts.keys() - seen:
        yield f"queue {queue!r} holds jobs and is not there"


def _check_indexes(reader: Reader, expected: Counter[str]) -> Iterator[str]:
    tables = {
        "ready": t.READY,
        "due": t.DUE,
        "group": t.GROUPS,
        "dedup": t.DEDUP,
        "dead": t.DEAD,
        "lease": t.LEASE_CLAIMS,
        "busy": t.GROUPS_BUSY,
    }
    for name, table in tables.items():
        rows = sum(1 for _ in reader.scan(*prefix_range(table)))
        if rows != expected[name]:
            yield f"{rows} rows in the index {name!r}, {expected[name]} belong to jobs"
