"""Operations of a batch: wire → commands, outcomes → wire. Pure; called by routes_batch and
routes_requests."""

from __future__ import annotations

from replicante import errors
from replicante.api import query as q
from replicante.api.answers import problem_of
from replicante.api.jobs import duration_ms, job_stamp, new_job
from replicante.api.rejections import rejection
from replicante.api.routes_objects import object_kind, put_command, read_document
from replicante.api.writes import expect_revision, lease_token
from replicante.ids import format_stamp
from replicante.model.codec import encode_value
from replicante.model.objects import read_scope
from replicante.state.commands import (
    BatchedCommand,
    KvDelete,
    KvPut,
    Operation,
)
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.expect import Expect
from replicante.state.lease_commands import LeaseAcquire, LeaseRelease, LeaseRenew
from replicante.state.object_commands import DeleteObject, PutObject
from replicante.state.outcome import (
    Applied,
    BatchApplied,
    Got,
    JobsAdded,
    JobsClaimed,
    JobsMoved,
    Outcome,
    Rejected,
    TxnApplied,
)
from replicante.state.queue_commands import QueueAck, QueueEnqueue, QueueExtend, QueueNack
from replicante.wire.batch import (
    BatchAck,
    BatchConsumerDelete,
    BatchConsumerPut,
    BatchEnqueue,
    BatchExtend,
    BatchItem,
    BatchKvDelete,
    BatchKvPut,
    BatchLeaseAcquire,
    BatchLeaseRelease,
    BatchLeaseRenew,
    BatchNack,
    BatchObjectApply,
    BatchObjectDelete,
    BatchOperation,
    CarriedOperation,
)
from replicante.wire.values import Json


def batched_command(operation: BatchOperation, *, where: str) -> BatchedCommand:
    """where: path of the operation in the body, as `operations[3]`. Raises Invalid, NotFound."""
    try:
        return _batched(operation)
    except errors.Invalid as exc:
        raise _moved(exc, where) from None


def operation_command(operation: CarriedOperation, *, where: str) -> Operation:
    """As `batched_command`, of what an acknowledgement carries."""
    try:
        return _command(operation)
    except errors.Invalid as exc:
        raise _moved(exc, where) from None


def outcome_item(outcome: Applied | Rejected, operation: BatchedCommand | None) -> BatchItem:
    """operation: what was asked; None when only the outcome is remembered."""
    key: str | None = None
    kind: str | None = None
    name: str | None = None
    may_be_new = True
    match operation:
        case QueueEnqueue(queue):
            return _job_item(outcome, queue)
        case QueueAck(queue, job) | QueueNack(queue, job) | QueueExtend(queue, job):
            key, name = queue, format_stamp(job)
        case LeaseAcquire(lease) | LeaseRenew(lease) | LeaseRelease(lease):
            name, may_be_new = lease, False
        case PutConsumer(consumer) | DeleteConsumer(consumer):
            name = consumer
        case KvPut(raw_key) | KvDelete(raw_key):
            key = raw_key.decode()
        case PutObject(object_kind_, scope) | DeleteObject(object_kind_, scope):
            kind, name = object_kind_.title, scope[-1]
        case None:
            pass
    if isinstance(outcome, Rejected):
        problem = problem_of(rejection(outcome, operation))
        return BatchItem(status=problem.status, key=key, kind=kind, id=name, problem=problem)
    return BatchItem(
        status=201 if outcome.is_created and may_be_new else 200,
        key=key,
        kind=kind,
        id=name,
        revision=format_stamp(outcome.revision),
    )


def _job_item(outcome: Applied | Rejected, queue: str) -> BatchItem:
    assert isinstance(outcome, Applied), "an enqueue is never rejected"
    status = 201 if outcome.is_created else 200
    return BatchItem(status=status, key=queue, id=format_stamp(outcome.revision))


def outcome_items(outcome: Outcome) -> tuple[BatchItem, ...]:
    """Of an outcome that is remembered without its command."""
    if isinstance(outcome, TxnApplied):
        return tuple(_result_item(one) for one in outcome.results)
    if isinstance(outcome, JobsAdded):
        return tuple(
            BatchItem(status=201 if one.is_new else 200, id=format_stamp(one.job))
            for one in outcome.jobs
        )
    if isinstance(outcome, JobsClaimed):
        return tuple(BatchItem(status=200, id=format_stamp(one.job)) for one in outcome.jobs)
    if isinstance(outcome, JobsMoved):
        return (BatchItem(status=200),)
    outcomes = outcome.outcomes if isinstance(outcome, BatchApplied) else (outcome,)
    return tuple(outcome_item(one, None) for one in outcomes)


def outcome_body(outcome: Outcome) -> Json:
    """What is remembered of an answer beside its items, in the words of that answer."""
    match outcome:
        case TxnApplied():
            return {"is_success": outcome.is_success}
        case JobsAdded():
            return {
                "items": [{"id": format_stamp(it.job), "is_new": it.is_new} for it in outcome.jobs]
            }
        case JobsClaimed():
            return {
                "items": [
                    {
                        "id": format_stamp(one.job),
                        "token": format_stamp(one.token),
                        "attempt": one.attempt,
                    }
                    for one in outcome.jobs
                ]
            }
        case JobsMoved():
            place = None if outcome.next is None else format_stamp(outcome.next)
            return {"moved": outcome.count, "left": outcome.left_count, "next": place}
        case _:
            return None


def outcome_status(outcome: Outcome) -> int:
    """As `RequestOutcome` says: an outcome does not name its command."""
    match outcome:
        case Applied() | Rejected():
            return outcome_item(outcome, None).status
        case JobsAdded():
            return 201
        case _:
            return 200


def _result_item(result: Applied | Got) -> BatchItem:
    if isinstance(result, Applied):
        return outcome_item(result, None) if result.is_changed else BatchItem(status=404)
    if result.revision is None:
        return BatchItem(status=404)
    return BatchItem(status=200, revision=format_stamp(result.revision))


def _batched(operation: BatchOperation) -> BatchedCommand:
    match operation:
        case BatchAck(queue=queue):
            job, token = _claim(operation)
            return QueueAck(queue, job, token)
        case BatchNack(queue=queue, delay=delay, reason=reason):
            job, token = _claim(operation)
            return QueueNack(queue, job, token, duration_ms(delay, path="delay"), reason)
        case BatchExtend(queue=queue, visibility_timeout=timeout):
            job, token = _claim(operation)
            return QueueExtend(queue, job, token, _time_ms(timeout, path="visibility_timeout"))
        case BatchLeaseAcquire(name=name, duration=duration, owner=owner):
            lasts_ms = duration_ms(duration, path="duration")
            return LeaseAcquire(name, lasts_ms, encode_value(owner, path=("owner",)))
        case BatchLeaseRenew(name=name, token=text, duration=duration):
            return LeaseRenew(name, _token(text), _time_ms(duration, path="duration"))
        case BatchLeaseRelease(name=name, token=text):
            return LeaseRelease(name, _token(text))
        case BatchConsumerPut(name=name, position=text):
            position = None if text is None else q.stamp(text, path="position")
            return PutConsumer(name, position, _expect(operation.if_match, is_new=operation.is_new))
        case BatchConsumerDelete(name=name):
            return DeleteConsumer(name, _expect(operation.if_match))
        case _:
            return _command(operation)


def _claim(sent: BatchAck | BatchNack | BatchExtend) -> tuple[int, int]:
    """Of which job, by which token."""
    return job_stamp(sent.id, path="id"), job_stamp(sent.token, path="token")


def _token(text: str) -> int:
    token = lease_token(text, path="token")
    assert token is not None, "there is a text"
    return token


def _time_ms(text: str | None, *, path: str) -> int | None:
    return None if text is None else duration_ms(text, path=path)


def _command(operation: CarriedOperation) -> Operation:
    match operation:
        case BatchKvPut():
            lease = lease_token(operation.lease, path="lease")
            value = encode_value(operation.value, path=("value",))
            expect = _expect(operation.if_match, is_new=operation.is_new)
            return KvPut(operation.key.encode(), value, expect, lease)
        case BatchEnqueue():
            return QueueEnqueue(operation.queue, (new_job(operation),))
        case BatchKvDelete():
            return KvDelete(operation.key.encode(), _expect(operation.if_match))
        case BatchObjectApply():
            expect = _expect(operation.if_match, is_new=operation.is_new)
            return _apply_command(operation, expect)
        case BatchObjectDelete():
            kind = object_kind(operation.kind)
            scope = read_scope(kind, operation.scope)
            return DeleteObject(kind, scope, _expect(operation.if_match))


def _apply_command(operation: BatchObjectApply, expect: Expect | None) -> PutObject:
    try:
        return put_command(read_document(operation.object), expect)
    except errors.Invalid as exc:
        raise _moved(exc, "object") from None


def _expect(if_match: str | None, *, is_new: bool = False) -> Expect | None:
    if is_new and if_match is not None:
        raise errors.Invalid("if_match and is_new exclude each other.", path="if_match")
    if is_new:
        return Expect.absent()
    return None if if_match is None else expect_revision(if_match, path="if_match")


def _moved(error: errors.Invalid, where: str) -> errors.Invalid:
    """The same fault, seen from further out."""
    details = {name: value for name, value in error.details.items() if name != "path"}
    if "violations" in details:
        details["violations"] = [
            {**one, "path": _joined(where, str(one.get("path", "")))}
            for one in details["violations"]
        ]
    return errors.Invalid(
        error.message, path=_joined(where, error.path), hints=error.hints, **details
    )


def _joined(where: str, path: str) -> str:
    if not path:
        return where
    return f"{where}{path}" if path.startswith("[") else f"{where}.{path}"
