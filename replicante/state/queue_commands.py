"""What can be done with a queue, as values, and their fields in a packed command. Pure.

Part of `commands`, which knows the tags. A claim is held by a token, the stamp of the claim; the
name of the worker is for people and decides nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from replicante.limits import JOB_PRIORITY_MAX, NAME_BYTES_MAX


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    body: bytes
    """Canonical bytes of a value, at most JOB_BODY_BYTES_MAX."""
    delay_ms: int = 0
    priority: int = 0
    """−JOB_PRIORITY_MAX to JOB_PRIORITY_MAX; the highest is claimed first."""
    group: str | None = None
    """Jobs of a group are claimed in their order, one at a time."""
    dedup: str | None = None
    """While a job with it is not done, another one is not added: its id is answered."""
    attempts_max: int
    """After so many claims without an acknowledgement it is a dead letter."""


class QueueEnqueue(msgspec.Struct, frozen=True):
    queue: str
    jobs: tuple[NewJob, ...]
    """1 to REQUEST_OPERATIONS_MAX."""


class QueueClaim(msgspec.Struct, frozen=True):
    """Takes up to `count` jobs that are ready; none while the queue is paused."""

    queue: str
    count: int
    visibility_ms: int
    """After so much cluster time without an acknowledgement the job is ready again."""
    worker: str
    lease: int | None = None
    """Token of a lease that is held: the claims end with it."""


class QueueAck(msgspec.Struct, frozen=True):
    """The job is done and gone; `operations` happen in the same write. Rejected stale_token, and
    none of them happens, when the token does not hold the claim."""

    queue: str
    job: int
    token: int
    operations: tuple[Any, ...] = ()
    """KvPut, KvDelete, PutObject, DeleteObject or QueueEnqueue, without expectations."""


class QueueNack(msgspec.Struct, frozen=True):
    """Gives the job back, to be claimed again after the delay; a dead letter when its attempts are
    used up."""

    queue: str
    job: int
    token: int
    delay_ms: int = 0
    reason: str = ""


class QueueExtend(msgspec.Struct, frozen=True):
    """Begins the visibility timeout anew."""

    queue: str
    job: int
    token: int
    visibility_ms: int | None = None
    """None: as long as before."""


class QueuePause(msgspec.Struct, frozen=True):
    """Nothing is claimed until it is resumed; what is claimed goes on."""

    queue: str
    reason: str


class QueueResume(msgspec.Struct, frozen=True):
    queue: str


class QueueRedrive(msgspec.Struct, frozen=True):
    """Dead letters wait again, with all their attempts: the given ones, or the oldest `count`."""

    queue: str
    count: int
    jobs: tuple[int, ...] = ()
    after: int | None = None
    """Only those with a greater id: where the portion before this one ended."""


class QueuePurge(msgspec.Struct, frozen=True):
    """Removes jobs that wait, or dead letters, at most `count`; never what is claimed."""

    queue: str
    count: int
    is_dead: bool
    reason: str
    after: int | None = None
    """As of a redrive."""


QueueCommand = (
    QueueEnqueue
    | QueueClaim
    | QueueAck
    | QueueNack
    | QueueExtend
    | QueuePause
    | QueueResume
    | QueueRedrive
    | QueuePurge
)


def pack_queue_fields(command: QueueCommand, *, operations: list[Any]) -> list[Any]:
    """operations: those of an acknowledgement, packed."""
    match command:
        case QueueEnqueue(queue, jobs):
            return [queue, [_pack_job(job) for job in jobs]]
        case QueueClaim(queue, count, visibility_ms, worker, lease):
            return [queue, count, visibility_ms, worker, lease]
        case QueueAck(queue, job, token):
            return [queue, job, token, operations]
        case QueueNack(queue, job, token, delay_ms, reason):
            return [queue, job, token, delay_ms, reason]
        case QueueExtend(queue, job, token, visibility_ms):
            return [queue, job, token, visibility_ms]
        case QueuePause(queue, reason):
            return [queue, reason]
        case QueueResume(queue):
            return [queue]
        case QueueRedrive(queue, count, jobs, after):
            return _with_place([queue, count, list(jobs)], after)
        case QueuePurge(queue, count, is_dead, reason, after):
            return _with_place([queue, count, is_dead, reason], after)


def unpack_enqueue(packed: list[Any]) -> QueueEnqueue:
    _, queue, jobs = packed
    return QueueEnqueue(_name(queue), tuple(_unpack_job(job) for job in jobs))


def unpack_claim(packed: list[Any]) -> QueueClaim:
    _, queue, count, visibility_ms, worker, lease = packed
    token = None if lease is None else _positive(lease)
    return QueueClaim(
        _name(queue), _positive(count), _positive(visibility_ms), _text(worker), token
    )


def unpack_nack(packed: list[Any]) -> QueueNack:
    _, queue, job, token, delay_ms, reason = packed
    return QueueNack(
        _name(queue), _positive(job), _positive(token), _natural(delay_ms), _text(reason)
    )


def unpack_extend(packed: list[Any]) -> QueueExtend:
    _, queue, job, token, visibility_ms = packed
    visibility = None if visibility_ms is None else _positive(visibility_ms)
    return QueueExtend(_name(queue), _positive(job), _positive(token), visibility)


def unpack_pause(packed: list[Any]) -> QueuePause:
    _, queue, reason = packed
    return QueuePause(_name(queue), _text(reason))


def unpack_resume(packed: list[Any]) -> QueueResume:
    _, queue = packed
    return QueueResume(_name(queue))


def unpack_redrive(packed: list[Any]) -> QueueRedrive:
    _, queue, count, jobs, *place = packed
    named = tuple(_positive(job) for job in jobs)
    return QueueRedrive(_name(queue), _natural(count), named, _place(place))


def unpack_purge(packed: list[Any]) -> QueuePurge:
    _, queue, count, is_dead, reason, *place = packed
    if type(is_dead) is not bool:
        raise TypeError("dead letters or not")
    return QueuePurge(_name(queue), _positive(count), is_dead, _text(reason), _place(place))


def unpack_ack_fields(packed: list[Any]) -> tuple[str, int, int, list[Any]]:
    """(queue, job, token, packed operations)"""
    _, queue, job, token, operations = packed
    if type(operations) is not list:
        raise TypeError("operations are a list")
    return _name(queue), _positive(job), _positive(token), operations


def _with_place(fields: list[Any], after: int | None) -> list[Any]:
    return fields if after is None else [*fields, after]


def _place(packed: list[Any]) -> int | None:
    if not packed:
        return None
    (after,) = packed
    return _positive(after)


def _pack_job(job: NewJob) -> list[Any]:
    return [job.body, job.delay_ms, job.priority, job.group, job.dedup, job.attempts_max]


def _unpack_job(packed: list[Any]) -> NewJob:
    body, delay_ms, priority, group, dedup, attempts_max = packed
    if type(body) is not bytes:
        raise TypeError("a body is bytes")
    if type(priority) is not int or not -JOB_PRIORITY_MAX <= priority <= JOB_PRIORITY_MAX:
        raise ValueError("a priority lies between its bounds")
    return NewJob(
        body=body,
        delay_ms=_natural(delay_ms),
        priority=priority,
        group=None if group is None else _name(group),
        dedup=None if dedup is None else _name(dedup),
        attempts_max=_positive(attempts_max),
    )


def _name(name: Any) -> str:
    if type(name) is not str or not 0 < len(name.encode()) <= NAME_BYTES_MAX:
        raise TypeError("a name is text")
    return name


def _text(text: Any) -> str:
    if type(text) is not str:
        raise TypeError("a reason or a worker is text")
    text.encode()
    return text


def _positive(number: Any) -> int:
    if type(number) is not int or number <= 0:
        raise ValueError("a positive number is needed")
    return number


def _natural(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError("a number from 0 is needed")
    return number
