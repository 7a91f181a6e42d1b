"""POST /batch: many operations, one log entry, one answer each; every operation stands alone."""

from __future__ import annotations

from typing import Annotated

import msgspec

from replicante.limits import REQUEST_OPERATIONS_MAX
from replicante.wire.problems import Problem
from replicante.wire.shapes import (
    Attempts,
    DelayText,
    KvKey,
    LeaseDuration,
    Name,
    ObjectName,
    OptionalReason,
    Priority,
    StampText,
    TokenText,
    VisibilityText,
    documented,
)
from replicante.wire.values import Answer, Json, Request


class BatchKvPut(Request, frozen=True, kw_only=True, tag_field="op", tag="kv.put"):
    """if_match: revision that the key must have; is_new: only when there is no such key."""

    key: KvKey
    value: Json
    lease: TokenText | None = None
    if_match: TokenText | None = None
    is_new: bool = False


class BatchKvDelete(Request, frozen=True, kw_only=True, tag_field="op", tag="kv.delete"):
    key: KvKey
    if_match: TokenText | None = None


class BatchObjectApply(Request, frozen=True, kw_only=True, tag_field="op", tag="object.apply"):
    """object: as the body of POST /apply."""

    object: dict[str, Json]
    if_match: TokenText | None = None
    is_new: bool = False


class BatchObjectDelete(Request, frozen=True, kw_only=True, tag_field="op", tag="object.delete"):
    """scope: as in the path, namespace first."""

    kind: str
    scope: tuple[ObjectName, ...]
    if_match: TokenText | None = None


class BatchEnqueue(Request, frozen=True, kw_only=True, tag_field="op", tag="queue.enqueue"):
    """One job for a queue, as POST /queues/{queue}/jobs takes it. The answer's id is the job's."""

    queue: Name
    body: Json
    delay: DelayText = "0s"
    priority: Priority = 0
    group: Name | None = None
    dedup: Name | None = None
    max_attempts: Attempts | None = None


CarriedOperation = BatchKvPut | BatchKvDelete | BatchObjectApply | BatchObjectDelete | BatchEnqueue
"""What an acknowledgement may carry."""


class BatchAck(Request, frozen=True, kw_only=True, tag_field="op", tag="queue.ack"):
    """As POST /queues/{queue}/jobs/{id}/ack without operations: they stand in the batch."""

    queue: Name
    id: TokenText
    token: TokenText


class BatchNack(Request, frozen=True, kw_only=True, tag_field="op", tag="queue.nack"):
    """As POST /queues/{queue}/jobs/{id}/nack."""

    queue: Name
    id: TokenText
    token: TokenText
    delay: DelayText = "0s"
    reason: OptionalReason = ""


class BatchExtend(Request, frozen=True, kw_only=True, tag_field="op", tag="queue.extend"):
    """As POST /queues/{queue}/jobs/{id}/extend."""

    queue: Name
    id: TokenText
    token: TokenText
    visibility_timeout: VisibilityText | None = None


class BatchLeaseAcquire(Request, frozen=True, kw_only=True, tag_field="op", tag="lease.acquire"):
    """As POST /leases/{name}/acquire without waiting. The answer's revision is the token."""

    name: Name
    duration: LeaseDuration
    owner: dict[str, Json] = msgspec.field(default_factory=dict)


class BatchLeaseRenew(Request, frozen=True, kw_only=True, tag_field="op", tag="lease.renew"):
    """As POST /leases/{name}/renew."""

    name: Name
    token: TokenText
    duration: LeaseDuration | None = None


class BatchLeaseRelease(Request, frozen=True, kw_only=True, tag_field="op", tag="lease.release"):
    """As POST /leases/{name}/release."""

    name: Name
    token: TokenText


class BatchConsumerPut(Request, frozen=True, kw_only=True, tag_field="op", tag="consumer.put"):
    """As PUT /events/consumers/{name}."""

    name: Name
    position: StampText | None = None
    if_match: TokenText | None = None
    is_new: bool = False


class BatchConsumerDelete(
    Request, frozen=True, kw_only=True, tag_field="op", tag="consumer.delete"
):
    """As DELETE /events/consumers/{name}."""

    name: Name
    if_match: TokenText | None = None


BatchOperation = (
    CarriedOperation
    | BatchAck
    | BatchNack
    | BatchExtend
    | BatchLeaseAcquire
    | BatchLeaseRenew
    | BatchLeaseRelease
    | BatchConsumerPut
    | BatchConsumerDelete
)


class BatchBody(Request, frozen=True, kw_only=True):
    """operations: 1 to REQUEST_OPERATIONS_MAX, applied in order."""

    operations: Annotated[
        tuple[BatchOperation, ...],
        documented({"minItems": 1, "maxItems": REQUEST_OPERATIONS_MAX}),
    ]


class BatchItem(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """What one operation did. status: the HTTP status that it would have had alone; problem:
    exactly when status ≥ 400; revision: the stamp of the change. key: of a record, or the queue;
    id: of a job, or the name of an object, a lease or a consumer."""

    status: int
    key: str | None = None
    kind: str | None = None
    id: str | None = None
    revision: str | None = None
    problem: Problem | None = None


class BatchAnswer(Answer, frozen=True, kw_only=True):
    """items: one each, in the order of the operations. index: the entry that holds them all."""

    items: tuple[BatchItem, ...]
    index: int


class RequestOutcome(Answer, frozen=True, kw_only=True):
    """GET /requests/{idempotency key}: what became of a write whose answer was lost.

    status: 201 where the write made something new, a grant of a lease too; 200 where it did not,
    else that of its refusal. index: its log entry. items: one for each operation of the request, or
    each of its jobs. body: what more is remembered of the answer, in its words: `is_success` of a
    transaction; `items` with id, token and attempt of a claim, with id and is_new of jobs that were
    sent; `moved` and `left` of a purge or redrive; else null.
    """

    idempotency_key: str
    status: int
    index: int
    items: tuple[BatchItem, ...] = ()
    body: Json = msgspec.field(default=None)
