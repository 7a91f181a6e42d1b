"""Rows of the work queue: jobs, and the indexes by which none is ever looked for. Pure.

Called by the queue's apply files, `queue_queries` and `queue_invariants`.

A job is *placed* when it may be claimed, now or later: it has a row in READY or in DUE. A claimed
job has one in DUE, its deadline. Of a group only the head, its oldest job, is ever placed, and none
while one of it is claimed; the others have a row in GROUPS alone. So claiming reads the first rows
of READY and nothing else.
"""

from __future__ import annotations

import enum
import struct
from functools import lru_cache
from typing import Any, Final

import msgpack
import msgspec

from replicante.errors import FatalError
from replicante.limits import JOB_PRIORITY_MAX, READY_STARTS_MAX
from replicante.storage.keys import INTEGER_BYTES, encode_key, encode_prefix

QUEUES: Final = b"\x20"
"""str name → QueueRow, while the queue holds anything or is paused."""
JOBS: Final = b"\x21"
"""(str queue, int id) → JobRow."""
READY: Final = b"\x22"
"""(str queue, int rank, int id) → empty: in the order of claiming."""
DUE: Final = b"\x23"
"""(int due_ms, str queue, int id) → empty: delays that end, claims that run out."""
GROUPS: Final = b"\x24"
"""(str queue, str group, int id) → empty: jobs of a group that are not dead."""
DEDUP: Final = b"\x25"
"""(str queue, str dedup) → id of the job that waits or is claimed, as text of a number."""
DEAD: Final = b"\x26"
"""(str queue, int id) → empty: the dead letters."""
LEASE_CLAIMS: Final = b"\x27"
"""(int lease token, str queue, int id) → empty: claims that end with a lease."""
GROUPS_BUSY: Final = b"\x28"
"""(str queue, str group) → empty: one of its jobs is claimed, so none is placed."""

QUEUE_TABLES: Final = (QUEUES, JOBS, READY, DUE, GROUPS, DEDUP, DEAD, LEASE_CLAIMS, GROUPS_BUSY)

_LAYOUT: Final = 1
_READY_PLACE: Final = struct.Struct(">QQ")
"""Rank and id, as the last two parts of a key of READY."""
_pack = msgpack.Packer(use_bin_type=True).pack


class JobState(enum.IntEnum):
    """Stored in rows: never renumbered."""

    WAITING = 1
    CLAIMED = 2
    DEAD = 3


_STATES: Final = {int(state): state for state in JobState}


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    waiting_count: int = 0
    """Neither claimed nor dead: ready, delayed or behind another of their group."""
    ready_count: int = 0
    """Of these, the ones that a claim gets."""
    claimed_count: int = 0
    dead_count: int = 0
    paused_ms: int | None = None
    """Cluster time at which it was paused."""
    paused_by: str = ""
    paused_reason: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.waiting_count or self.claimed_count or self.dead_count)


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One claim that came to an end without an acknowledgement."""

    number: int
    worker: str
    claimed_ms: int
    ended_ms: int
    how: str
    """nack, timeout or lease."""
    reason: str


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    state: JobState
    priority: int
    group: str | None
    dedup: str | None
    body: bytes
    """Canonical bytes of a value."""
    enqueued_ms: int
    not_before_ms: int
    """Cluster time before which it is not claimed."""
    attempts: int
    """Claims so far."""
    attempts_max: int
    token: int
    """Of the claim that goes on; 0 while there is none."""
    deadline_ms: int
    """Of that claim."""
    visibility_ms: int
    claimed_ms: int
    worker: str
    lease: int | None
    """Token of the lease that the claim ends with."""
    history: tuple[Attempt, ...]


def queue_key(queue: str) -> bytes:
    return encode_key(QUEUES, queue)


def job_key(queue: str, job: int) -> bytes:
    return JOBS + _closed(queue) + job.to_bytes(INTEGER_BYTES, "big")


def ready_key(queue: str, priority: int, job: int) -> bytes:
    """The highest priority first, then the oldest."""
    rank = JOB_PRIORITY_MAX - priority
    return READY + _closed(queue) + _READY_PLACE.pack(rank, job)


def ready_prefix(queue: str) -> bytes:
    return READY + _closed(queue)


def due_key(due_ms: int, queue: str, job: int) -> bytes:
    return (
        DUE
        + due_ms.to_bytes(INTEGER_BYTES, "big")
        + _closed(queue)
        + job.to_bytes(INTEGER_BYTES, "big")
    )


def group_key(queue: str, group: str, job: int) -> bytes:
    return encode_key(GROUPS, queue, group, job)


def group_prefix(queue: str, group: str) -> bytes:
    return encode_prefix(GROUPS, queue, group)


def busy_key(queue: str, group: str) -> bytes:
    return encode_key(GROUPS_BUSY, queue, group)


def dedup_key(queue: str, dedup: str) -> bytes:
    return encode_key(DEDUP, queue, dedup)


def jobs_prefix(queue: str) -> bytes:
    return encode_prefix(JOBS, queue)


def dead_prefix(queue: str) -> bytes:
    return encode_prefix(DEAD, queue)


def dead_key(queue: str, job: int) -> bytes:
    return encode_key(DEAD, queue, job)


def lease_claim_key(lease: int, queue: str, job: int) -> bytes:
    return encode_key(LEASE_CLAIMS, lease, queue, job)


def lease_claim_prefix(lease: int) -> bytes:
    return encode_prefix(LEASE_CLAIMS, lease)


def queue_row(row: QueueRow) -> bytes:
    packed: bytes = _pack(
        (
            _LAYOUT,
            row.waiting_count,
            row.ready_count,
            row.claimed_count,
            row.dead_count,
            row.paused_ms,
            row.paused_by,
            row.paused_reason,
        )
    )
    return packed


def read_queue_row(raw: bytes) -> QueueRow:
    waiting, ready, claimed, dead, paused_ms, paused_by, paused_reason = _fields(raw, count=7)
    return QueueRow(
        waiting_count=waiting,
        ready_count=ready,
        claimed_count=claimed,
        dead_count=dead,
        paused_ms=paused_ms,
        paused_by=paused_by,
        paused_reason=paused_reason,
    )


def job_row(row: JobRow) -> bytes:
    packed: bytes = _pack(
        (
            _LAYOUT,
            int(row.state),
            row.priority,
            row.group,
            row.dedup,
            row.enqueued_ms,
            row.not_before_ms,
            row.attempts,
            row.attempts_max,
            row.token,
            row.deadline_ms,
            row.visibility_ms,
            row.claimed_ms,
            row.worker,
            row.lease,
            [
                (one.number, one.worker, one.claimed_ms, one.ended_ms, one.how, one.reason)
                for one in row.history
            ],
            row.body,
        )
    )
    return packed


def read_job_row(raw: bytes) -> JobRow:
    fields = _fields(raw, count=16)
    return JobRow(
        state=_STATES[fields[0]],
        priority=fields[1],
        group=fields[2],
        dedup=fields[3],
        enqueued_ms=fields[4],
        not_before_ms=fields[5],
        attempts=fields[6],
        attempts_max=fields[7],
        token=fields[8],
        deadline_ms=fields[9],
        visibility_ms=fields[10],
        claimed_ms=fields[11],
        worker=fields[12],
        lease=fields[13],
        history=tuple(Attempt(*one) for one in fields[14]),
        body=fields[15],
    )


@lru_cache(maxsize=READY_STARTS_MAX)
def _closed(queue: str) -> bytes:
    """The name as every key of a job holds it before another part: made once for all of them."""
    return encode_prefix(QUEUES, queue)[1:]


def _fields(raw: bytes, *, count: int) -> list[Any]:
    """The fields after the layout number. Raises FatalError: rows are ours, so they are right."""
    fields = msgpack.unpackb(raw)
    if fields[0] != _LAYOUT or len(fields) != count + 1:
        raise FatalError(f"a queue row of layout {fields[0]} with {len(fields) - 1} fields")
    del fields[0]
    assert isinstance(fields, list)
    return fields
