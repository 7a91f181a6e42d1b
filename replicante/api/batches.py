"""Operations of a batch: wire → commands, outcomes → wire. Pure; called by routes_batch and
routes_requests."""

from __future__ import annotations

from replicante import errors
from replicante.api.answers import problem_of
from replicante.api.jobs import new_job
from replicante.api.rejections import rejection
from replicante.api.routes_objects import object_kind, put_command, read_document
from replicante.api.writes import expect_revision, lease_token
from replicante.ids import format_stamp
from replicante.model.codec import encode_value
from replicante.model.objects import read_scope
from replicante.state.commands import (
    KvDelete,
    KvPut,
    Operation,
)
from replicante.state.expect import Expect
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
from replicante.state.queue_commands import QueueEnqueue
from replicante.wire.batch import (
    BatchEnqueue,
    BatchItem,
    BatchKvDelete,
    BatchKvPut,
    BatchObjectApply,
    BatchObjectDelete,
    BatchOperation,
)


def operation_command(operation: BatchOperation, *, where: str) -> Operation:
    """where: path of the operation in the body, as `operations[3]`. Raises Invalid, NotFound."""
    try:
        return _command(operation)
    except errors.Invalid as exc:
        raise _moved(exc, where) from None


def outcome_item(outcome: Applied | Rejected, operation: Operation | None) -> BatchItem:
    """operation: what was asked; None when only the outcome is remembered."""
    key: str | None = None
    kind: str | None = None
    name: str | None = None
    match operation:
        case QueueEnqueue(queue):
            return _job_item(outcome, queue)
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
        status=201 if outcome.is_created else 200,
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


def _result_item(result: Applied | Got) -> BatchItem:
    if isinstance(result, Applied):
        return outcome_item(result, None) if result.is_changed else BatchItem(status=404)
    if result.revision is None:
        return BatchItem(status=404)
    return BatchItem(status=200, revision=format_stamp(result.revision))


def _command(operation: BatchOperation) -> Operation:
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
