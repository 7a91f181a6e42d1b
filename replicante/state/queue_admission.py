"""The bounds of queue commands, checked before they are proposed. Pure; called by `envelope.admit`.

Every refusal names the field and the limit.
"""

from __future__ import annotations

from replicante.errors import BodyTooLarge, Invalid
from replicante.limits import (
    CLAIM_JOBS_MAX,
    INTEGER_MAX,
    JOB_ATTEMPTS_MAX,
    JOB_BODY_BYTES_MAX,
    JOB_DELAY_MS_MAX,
    JOB_PRIORITY_MAX,
    JOB_REASON_BYTES_MAX,
    JOB_VISIBILITY_MS_MAX,
    JOB_VISIBILITY_MS_MIN,
    NAME_BYTES_MAX,
    QUEUE_STEP_JOBS_MAX,
    REQUEST_OPERATIONS_MAX,
    ROW_KEY_BYTES_MAX,
)
from replicante.model.codec import is_canonical
from replicante.state.admission import check_positive
from replicante.state.queue_commands import (
    NewJob,
    QueueAck,
    QueueClaim,
    QueueCommand,
    QueueEnqueue,
    QueueExtend,
    QueueNack,
    QueuePause,
    QueuePurge,
    QueueRedrive,
)
from replicante.storage.keys import encoded_key_bytes

_PLACEHOLDER = 0
"""A number in a row key, whose size does not depend on it."""


def check_queue_command(command: QueueCommand, where: str = "") -> None:
    """where: beginning of the path of a fault, as `operations[3].`. The operations of an
    acknowledgement are the caller's. Raises Invalid, BodyTooLarge."""
    _check_name(command.queue, f"{where}queue")
    match command:
        case QueueEnqueue(_, jobs):
            _check_between(len(jobs), 1, REQUEST_OPERATIONS_MAX, f"{where}jobs", "jobs")
            for i, job in enumerate(jobs):
                place = where if len(jobs) == 1 else f"{where}[{i}]."
                _check_job(command.queue, job, place)
        case QueueClaim(_, count, visibility_ms, worker, lease):
            _check_between(count, 1, CLAIM_JOBS_MAX, "max", "jobs")
            _check_visibility(visibility_ms)
            _check_text(worker, "worker", bytes_max=NAME_BYTES_MAX)
            if lease is not None:
                _check_between(lease, 1, INTEGER_MAX, "lease", "the token of a lease")
        case QueueAck(_, job, token, operations):
            _check_claim(job=job, token=token)
            count = len(operations)
            _check_between(count, 0, REQUEST_OPERATIONS_MAX - 1, "operations", "operations")
        case QueueNack(_, job, token, delay_ms, reason):
            _check_claim(job=job, token=token)
            _check_between(delay_ms, 0, JOB_DELAY_MS_MAX, "delay", "ms")
            _check_text(reason, "reason", bytes_max=JOB_REASON_BYTES_MAX)
        case QueueExtend(_, job, token, visibility_ms):
            _check_claim(job=job, token=token)
            if visibility_ms is not None:
                _check_visibility(visibility_ms)
        case QueuePause(_, reason):
            _check_reason(reason)
        case QueueRedrive(_, count, jobs):
            wanted = len(jobs) or count
            _check_between(wanted, 1, QUEUE_STEP_JOBS_MAX, "count", "dead letters")
            if len(set(jobs)) != len(jobs):
                raise Invalid("each id is named once", path="ids")
            for i, named in enumerate(jobs):
                check_positive(named, f"ids[{i}]", what="the id of a job")
        case QueuePurge(_, count, _, reason):
            _check_between(count, 1, QUEUE_STEP_JOBS_MAX, "count", "jobs")
            _check_reason(reason)
        case _:
            pass


def _check_claim(*, job: int, token: int) -> None:
    check_positive(job, "id", what="the id of a job")
    check_positive(token, "token", what="a token")


def _check_job(queue: str, job: NewJob, where: str) -> None:
    if len(job.body) > JOB_BODY_BYTES_MAX:
        raise BodyTooLarge(
            f"{where}body is {len(job.body)} bytes; the limit is {JOB_BODY_BYTES_MAX}",
            path=f"{where}body",
            limit=JOB_BODY_BYTES_MAX,
        )
    if not is_canonical(job.body):
        raise Invalid("not the canonical bytes of a value", path=f"{where}body")
    _check_between(job.delay_ms, 0, JOB_DELAY_MS_MAX, f"{where}delay", "ms")
    _check_between(
        job.priority, -JOB_PRIORITY_MAX, JOB_PRIORITY_MAX, f"{where}priority", "a priority"
    )
    _check_between(job.attempts_max, 1, JOB_ATTEMPTS_MAX, f"{where}max_attempts", "attempts")
    for name, path in ((job.group, "group"), (job.dedup, "dedup")):
        if name is not None:
            _check_name(name, f"{where}{path}")
            _check_key(queue, name, f"{where}{path}")


def _check_key(queue: str, name: str, path: str) -> None:
    size = encoded_key_bytes(queue, name, _PLACEHOLDER)
    if size > ROW_KEY_BYTES_MAX:
        raise Invalid(
            f"with the queue's name it is {size} bytes as a row key; the limit is"
            f" {ROW_KEY_BYTES_MAX}",
            path=path,
            limit=ROW_KEY_BYTES_MAX,
        )


def _check_visibility(visibility_ms: int) -> None:
    low, high = JOB_VISIBILITY_MS_MIN, JOB_VISIBILITY_MS_MAX
    _check_between(visibility_ms, low, high, "visibility_timeout", "ms")


def _check_between(number: int, low: int, high: int, path: str, what: str) -> None:
    if not low <= number <= high:
        raise Invalid(f"{number} is not {low} to {high} ({what})", path=path, limit=high)


def _check_name(name: str, path: str) -> None:
    if not name:
        raise Invalid("a name is not empty", path=path)
    _check_text(name, path, bytes_max=NAME_BYTES_MAX)


def _check_reason(reason: str) -> None:
    if not reason:
        raise Invalid("say why; the event keeps it", path="reason")
    _check_text(reason, "reason", bytes_max=JOB_REASON_BYTES_MAX)


def _check_text(text: str, path: str, *, bytes_max: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Invalid("not valid UTF-8: a lone surrogate", path=path) from None
    if size > bytes_max:
        raise Invalid(f"{size} bytes; the limit is {bytes_max}", path=path, limit=bytes_max)
