"""The bounds of queue commands, checked before they are proposed. Pure; called by `envelope.admit`.

Every refusal names the field and the limit.
"""

from __future__ import annotations

from replicante.errors import BodyTooLarge, Invalid
from replicante.limits import (
    CLAIM_JOBS_MAX,
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
from replicante.state.admission import check_name, check_positive, check_text, check_time
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
    check_name(command.queue, f"{where}queue")
    match command:
        case QueueEnqueue(_, jobs):
            _check_between(
                len(jobs), 1, REQUEST_OPERATIONS_MAX, f"{where}jobs", "the number of jobs"
            )
            for i, job in enumerate(jobs):
                place = where if len(jobs) == 1 else f"{where}[{i}]."
                _check_job(command.queue, job, place)
        case QueueClaim(_, count, visibility_ms, worker, lease):
            _check_between(count, 1, CLAIM_JOBS_MAX, "max", "the number of jobs")
            _check_visibility(visibility_ms, where)
            check_text(worker, "worker", bytes_max=NAME_BYTES_MAX)
            if lease is not None:
                check_positive(lease, "lease", what="the token of a lease")
        case QueueAck(_, job, token, operations):
            _check_claim(where, job=job, token=token)
            count = len(operations)
            _check_between(
                count, 0, REQUEST_OPERATIONS_MAX - 1, "operations", "the number of operations"
            )
        case QueueNack(_, job, token, delay_ms, reason):
            _check_claim(where, job=job, token=token)
            check_time(
                delay_ms, f"{where}delay", low_ms=0, high_ms=JOB_DELAY_MS_MAX, what="a delay"
            )
            check_text(reason, f"{where}reason", bytes_max=JOB_REASON_BYTES_MAX)
        case QueueExtend(_, job, token, visibility_ms):
            _check_claim(where, job=job, token=token)
            if visibility_ms is not None:
                _check_visibility(visibility_ms, where)
        case QueuePause(_, reason):
            _check_reason(reason)
        case QueueRedrive(_, count, jobs, after):
            wanted = len(jobs) or count
            _check_between(wanted, 1, QUEUE_STEP_JOBS_MAX, "count", "the number of dead letters")
            if len(set(jobs)) != len(jobs):
                raise Invalid("each id is named once", path="ids")
            for i, named in enumerate(jobs):
                check_positive(named, f"ids[{i}]", what="the id of a job")
            if jobs and after is not None:
                raise Invalid("give ids, or the place after which they lie", path="after")
            _check_place(after)
        case QueuePurge(_, count, _, reason, after):
            _check_between(count, 1, QUEUE_STEP_JOBS_MAX, "count", "the number of jobs")
            _check_reason(reason)
            _check_place(after)
        case _:
            pass


def _check_place(after: int | None) -> None:
    if after is not None:
        check_positive(after, "after", what="the id of a job")


def _check_claim(where: str, *, job: int, token: int) -> None:
    check_positive(job, f"{where}id", what="the id of a job")
    check_positive(token, f"{where}token", what="a token")


def _check_job(queue: str, job: NewJob, where: str) -> None:
    if len(job.body) > JOB_BODY_BYTES_MAX:
        raise BodyTooLarge(
            f"{where}body is {len(job.body)} bytes; the limit is {JOB_BODY_BYTES_MAX}",
            path=f"{where}body",
            limit=JOB_BODY_BYTES_MAX,
        )
    if not is_canonical(job.body):
        raise Invalid("not the canonical bytes of a value", path=f"{where}body")
    check_time(job.delay_ms, f"{where}delay", low_ms=0, high_ms=JOB_DELAY_MS_MAX, what="a delay")
    _check_between(
        job.priority, -JOB_PRIORITY_MAX, JOB_PRIORITY_MAX, f"{where}priority", "a priority"
    )
    _check_between(
        job.attempts_max, 1, JOB_ATTEMPTS_MAX, f"{where}max_attempts", "the number of attempts"
    )
    for name, path in ((job.group, "group"), (job.dedup, "dedup")):
        if name is not None:
            check_name(name, f"{where}{path}")
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


def _check_visibility(visibility_ms: int, where: str) -> None:
    check_time(
        visibility_ms,
        f"{where}visibility_timeout",
        low_ms=JOB_VISIBILITY_MS_MIN,
        high_ms=JOB_VISIBILITY_MS_MAX,
        what="a visibility timeout",
    )


def _check_between(number: int, low: int, high: int, path: str, what: str) -> None:
    if not low <= number <= high:
        raise Invalid(f"{what} is {low} to {high}, not {number}", path=path, limit=high)


def _check_reason(reason: str) -> None:
    if not reason:
        raise Invalid("say why; the event keeps it", path="reason")
    check_text(reason, "reason", bytes_max=JOB_REASON_BYTES_MAX)
