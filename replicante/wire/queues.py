"""Requests and answers of the queue paths. Ids and tokens are stamps, as text of 19 digits."""

from __future__ import annotations

from typing import Annotated

import msgspec

from replicante.limits import REQUEST_OPERATIONS_MAX
from replicante.wire.batch import BatchItem, CarriedOperation
from replicante.wire.shapes import (
    Attempts,
    ClaimCount,
    DelayText,
    JobIds,
    Name,
    OptionalReason,
    Priority,
    ReasonText,
    StepCount,
    TokenText,
    VisibilityText,
    WaitText,
    WorkerName,
    documented,
)
from replicante.wire.values import Answer, Json, Request


class JobBody(Request, frozen=True, kw_only=True):
    """body: what is to be done. delay: not claimed before. priority: the highest is claimed first.
    group: its jobs are claimed in their order, one at a time. dedup: while a job with it waits or
    is claimed, no other is added; a dead letter has given it up. max_attempts: claims before it is
    a dead letter."""

    body: Json
    delay: DelayText = "0s"
    priority: Priority = 0
    group: Name | None = None
    dedup: Name | None = None
    max_attempts: Attempts | None = None


JobsBody = Annotated[list[JobBody], documented({"minItems": 1, "maxItems": REQUEST_OPERATIONS_MAX})]


class JobAdded(Answer, frozen=True, kw_only=True):
    """is_new: false when a job with this dedup id was there; it is that one."""

    id: str
    is_new: bool = True


class JobsAdded(Answer, frozen=True, kw_only=True):
    items: tuple[JobAdded, ...]


class ClaimBody(Request, frozen=True, kw_only=True):
    """max: so many jobs at most. visibility_timeout: after it an unfinished job is ready again;
    null: 30 s.
    wait: how long to wait for a job; nothing is written meanwhile. worker: for people. lease: token
    of a lease, with which the claims end."""

    max: ClaimCount = 1
    visibility_timeout: VisibilityText | None = None
    wait: WaitText = "0s"
    worker: WorkerName = ""
    lease: TokenText | None = None


class Claimed(Answer, frozen=True, kw_only=True):
    """expires_in: counted from before the request was sent, by the worker's monotonic clock; take
    5 % and 250 ms off."""

    id: str
    token: str
    attempt: int
    body: Json
    expires_in: str


class JobsClaimed(Answer, frozen=True, kw_only=True):
    """Empty when there is none."""

    items: tuple[Claimed, ...]


class AckBody(Request, frozen=True, kw_only=True):
    """operations: happen in the same write as the acknowledgement, or not at all when the token is
    stale; without conditions."""

    token: TokenText
    operations: Annotated[
        tuple[CarriedOperation, ...], documented({"maxItems": REQUEST_OPERATIONS_MAX - 1})
    ] = ()


class JobDone(Answer, frozen=True, kw_only=True):
    """items: one for each operation."""

    id: str
    revision: str
    items: tuple[BatchItem, ...] = ()


class NackBody(Request, frozen=True, kw_only=True):
    """delay: not claimed again before. reason: kept with the job and its event."""

    token: TokenText
    delay: DelayText = "0s"
    reason: OptionalReason = ""


class ExtendBody(Request, frozen=True, kw_only=True):
    """visibility_timeout: null keeps the one before."""

    token: TokenText
    visibility_timeout: VisibilityText | None = None


class JobExtended(Answer, frozen=True, kw_only=True):
    id: str
    token: str
    expires_in: str


class PauseBody(Request, frozen=True, kw_only=True):
    reason: ReasonText


class RedriveBody(Request, frozen=True, kw_only=True):
    """ids: these dead letters; empty: the oldest, at most max. after: without ids, `next` of the
    portion before."""

    ids: JobIds = ()
    max: StepCount = 1_000
    after: TokenText | None = None


class PurgeBody(Request, frozen=True, kw_only=True):
    """dead: the dead letters instead of what waits. after: `next` of the portion before."""

    reason: ReasonText
    dead: bool = False
    max: StepCount = 1_000
    after: TokenText | None = None


class JobsMoved(Answer, frozen=True, kw_only=True):
    """One portion, in the order of arrival. left: jobs of the same kind that are still there.
    next: `after` of the next portion, null when nothing lies behind this one. A portion may move
    none and have a next: it passed over jobs of other kinds. Of ids the first `moved` were
    moved."""

    moved: int
    left: int
    next: str | None = None


class QueueChanged(Answer, frozen=True, kw_only=True):
    """is_changed: false when it already was so."""

    name: str
    is_changed: bool


class QueueItem(Answer, frozen=True, kw_only=True):
    """waiting: neither claimed nor dead, of which ready are claimed next; delayed ones and those
    behind another of their group are not. oldest_age: of the oldest job that is ready, by the
    cluster clock."""

    name: str
    waiting: int
    ready: int
    claimed: int
    dead: int
    oldest_age: str | None = None
    paused: bool = False
    paused_by: str = ""
    paused_reason: str = ""
    paused_for: str | None = None


class QueuePage(Answer, frozen=True, kw_only=True):
    """By name. next: cursor, null at the end."""

    items: tuple[QueueItem, ...]
    next: str | None = None


class JobAttempt(Answer, frozen=True, kw_only=True):
    """how: nack, timeout or lease. lasted: by the cluster clock."""

    attempt: int
    worker: str
    how: str
    reason: str
    lasted: str


class JobItem(Answer, frozen=True, kw_only=True):
    """state: waiting, claimed or dead. due_in: until it may be claimed, or its claim runs out.
    history: claims that ended without an acknowledgement, the last ones."""

    id: str
    state: str
    body: Json
    priority: int
    group: str | None
    dedup: str | None
    attempts: int
    max_attempts: int
    age: str
    due_in: str
    worker: str = ""
    history: tuple[JobAttempt, ...] = msgspec.field(default=())


class JobPage(Answer, frozen=True, kw_only=True):
    """By id, which is the order of arrival. A page may hold fewer items than asked for, or none."""

    items: tuple[JobItem, ...]
    next: str | None = None
