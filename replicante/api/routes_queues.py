"""The queue paths of producers and workers: send, claim with or without waiting, finish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors, limits
from replicante.api.batches import operation_command, outcome_item
from replicante.api.bodies import to_request
from replicante.api.call import Call, Reply
from replicante.api.jobs import duration_ms, job_stamp, new_job
from replicante.api.repeats import was_answered
from replicante.api.routing import Access, Method, Route
from replicante.api.writes import Prepared, Written, carry_out, lease_token, prepare, write
from replicante.ids import Stamp, format_stamp
from replicante.model.codec import load_value
from replicante.state import outcome as outcomes
from replicante.state import queue_queries
from replicante.state.commands import Operation
from replicante.state.queue_commands import (
    QueueAck,
    QueueClaim,
    QueueEnqueue,
    QueueExtend,
    QueueNack,
)
from replicante.state.queue_tables import JobRow
from replicante.wire import paths
from replicante.wire.durations import format_duration_ms
from replicante.wire.queues import (
    AckBody,
    ClaimBody,
    Claimed,
    ExtendBody,
    JobAdded,
    JobBody,
    JobDone,
    JobExtended,
    JobsAdded,
    JobsBody,
    JobsClaimed,
    NackBody,
)
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context


async def enqueue(ctx: Context, call: Call) -> Reply:
    name = queue_of(call)

    def build(body: Json) -> tuple[QueueEnqueue, None]:
        if not isinstance(body, list):
            return QueueEnqueue(name, (new_job(to_request(body, JobBody)),)), None
        if len(body) > limits.REQUEST_OPERATIONS_MAX:
            raise errors.Invalid(
                f"At most {limits.REQUEST_OPERATIONS_MAX} jobs at once, not {len(body)}.",
                limit=limits.REQUEST_OPERATIONS_MAX,
            )
        sent = to_request(body, list[JobBody])
        return QueueEnqueue(
            name, tuple(new_job(one, where=f"[{i}].") for i, one in enumerate(sent))
        ), None

    written = await write(ctx, call, build)
    outcome = written.outcome
    assert isinstance(outcome, outcomes.JobsAdded), "what an enqueue answers"
    items = tuple(JobAdded(id=format_stamp(one.job), is_new=one.is_new) for one in outcome.jobs)
    return written.reply(JobsAdded(items=items), status=201)


async def claim(ctx: Context, call: Call) -> Reply:
    name = queue_of(call)

    def build(body: Json) -> tuple[QueueClaim, int]:
        request = to_request(body, ClaimBody)
        visibility_ms = limits.JOB_VISIBILITY_MS_DEFAULT
        if request.visibility_timeout is not None:
            visibility_ms = duration_ms(request.visibility_timeout, path="visibility_timeout")
        wait_ms = duration_ms(request.wait, path="wait")
        if wait_ms > limits.CLAIM_WAIT_MS_MAX:
            raise errors.Invalid(
                f"A claim waits at most {format_duration_ms(limits.CLAIM_WAIT_MS_MAX)}.",
                path="wait",
                limit=limits.CLAIM_WAIT_MS_MAX,
            )
        lease = lease_token(request.lease, path="lease")
        return QueueClaim(name, request.max, visibility_ms, request.worker, lease), wait_ms

    prepared = await prepare(ctx, call, build)
    command = prepared.command
    assert isinstance(command, QueueClaim), "built above"
    written = await _claim(ctx, prepared, name)
    if written is None:
        return Reply(body=JobsClaimed(items=()), index=ctx.peer.applied_index)
    outcome = written.outcome
    assert isinstance(outcome, outcomes.JobsClaimed), "what a claim answers"
    return written.reply(JobsClaimed(items=_claimed(ctx, name, outcome)))


async def _claim(ctx: Context, prepared: Prepared[int], name: str) -> Written[int] | None:
    """Proposes only when this peer sees a job that is ready; None when there was none until the
    time was over, which the barrier proves. With an Idempotency-Key it always proposes: the log
    knows whether this claim was answered before."""
    until_ms = ctx.clock.monotonic_ms() + prepared.built
    is_idempotent = prepared.sender.idempotency_key is not None
    if prepared.built and await was_answered(ctx, prepared):
        return await carry_out(ctx, prepared)
    while True:
        is_turn = False
        if not ctx.claim_waits.is_free(name):
            left_ms = until_ms - ctx.clock.monotonic_ms()
            if left_ms > 0:
                is_turn = await ctx.claim_waits.park(name, timeout_ms=left_ms)
            if not is_turn and not is_idempotent:
                await ctx.peer.read_barrier(timeout_ms=prepared.timeout_ms)
                if not ctx.claim_waits.is_free(name):
                    return None
        try:
            written = await carry_out(ctx, prepared)
        finally:
            if is_turn:
                ctx.claim_waits.took(name)
        outcome = written.outcome
        assert isinstance(outcome, outcomes.JobsClaimed), "what a claim answers"
        if outcome.jobs or is_idempotent or ctx.clock.monotonic_ms() >= until_ms:
            return written


def _claimed(ctx: Context, name: str, outcome: outcomes.JobsClaimed) -> tuple[Claimed, ...]:
    """With what is to be done; a claim that is over already is left out."""
    items = []
    with ctx.state.view() as view:
        for one in outcome.jobs:
            row = queue_queries.job_get(view, name, one.job)
            if row is None or row.token != one.token:
                continue
            left_ms = _left_ms(ctx, row, is_replayed=outcome.is_replayed)
            items.append(
                Claimed(
                    id=format_stamp(one.job),
                    token=format_stamp(one.token),
                    attempt=one.attempt,
                    body=load_value(row.body),
                    expires_in=format_duration_ms(left_ms),
                )
            )
    return tuple(items)


async def ack(ctx: Context, call: Call) -> Reply:
    name, job = queue_of(call), job_of(call)

    def build(body: Json) -> tuple[QueueAck, tuple[Operation, ...]]:
        request = to_request(body, AckBody)
        operations = tuple(
            operation_command(operation, where=f"operations[{i}]")
            for i, operation in enumerate(request.operations)
        )
        return QueueAck(name, job, job_stamp(request.token, path="token"), operations), operations

    written = await write(ctx, call, build)
    outcome = written.outcome
    assert isinstance(outcome, outcomes.BatchApplied), "what an acknowledgement answers"
    done, *rest = outcome.outcomes
    assert isinstance(done, outcomes.Applied), "a refused one answers as a whole"
    items = tuple(outcome_item(one, of) for one, of in zip(rest, written.built, strict=True))
    revision = format_stamp(done.revision)
    return written.reply(JobDone(id=format_stamp(job), revision=revision, items=items))


async def nack(ctx: Context, call: Call) -> Reply:
    name, job = queue_of(call), job_of(call)

    def build(body: Json) -> tuple[QueueNack, None]:
        request = to_request(body, NackBody)
        delay_ms = duration_ms(request.delay, path="delay")
        token = job_stamp(request.token, path="token")
        return QueueNack(name, job, token, delay_ms, request.reason), None

    written = await write(ctx, call, build)
    revision = format_stamp(written.applied.revision)
    return written.reply(JobDone(id=format_stamp(job), revision=revision))


async def extend(ctx: Context, call: Call) -> Reply:
    name, job = queue_of(call), job_of(call)

    def build(body: Json) -> tuple[QueueExtend, int]:
        request = to_request(body, ExtendBody)
        visibility_ms = None
        if request.visibility_timeout is not None:
            visibility_ms = duration_ms(request.visibility_timeout, path="visibility_timeout")
        token = job_stamp(request.token, path="token")
        return QueueExtend(name, job, token, visibility_ms), token

    written = await write(ctx, call, build)
    token = written.built
    with ctx.state.view() as view:
        row = queue_queries.job_get(view, name, job)
    left_ms = 0
    if row is not None and row.token == token:
        left_ms = _left_ms(ctx, row, is_replayed=written.outcome.is_replayed)
    return written.reply(
        JobExtended(
            id=format_stamp(job),
            token=format_stamp(token),
            expires_in=format_duration_ms(left_ms),
        )
    )


def _left_ms(ctx: Context, row: JobRow, *, is_replayed: bool) -> int:
    """Of a claim. Only a repeated answer may find that time has passed since it began."""
    if not is_replayed:
        return row.visibility_ms
    return min(row.visibility_ms, max(0, row.deadline_ms - clock_of(ctx)))


def clock_of(ctx: Context) -> int:
    """The cluster clock, as this peer knows it: of the last entry, or of what was heard since."""
    return ctx.peer.status().clock_ms


def queue_of(call: Call) -> str:
    return call.name("queue")


def job_of(call: Call) -> Stamp:
    return job_stamp(call.arguments["id"], path="id")


QUEUE = f"{paths.QUEUES}/{{queue}}"
JOB = f"{QUEUE}/jobs/{{id}}"
ROUTES = (
    Route(
        method=Method.POST,
        path=f"{QUEUE}/jobs",
        access=Access.WRITE,
        handler=enqueue,
        summary="Sends one job, or a list of up to 1000 in one write.",
        body=JobBody | JobsBody,
        answer=JobsAdded,
        statuses=(201,),
    ),
    Route(
        method=Method.POST,
        path=f"{QUEUE}/claim",
        access=Access.WRITE,
        handler=claim,
        summary="Claims up to 100 jobs, waiting for one if asked to; an empty list when none.",
        body=ClaimBody,
        answer=JobsClaimed,
        refuses=(errors.StaleToken, errors.TooManyStreams),
        may_wait=True,
    ),
    Route(
        method=Method.POST,
        path=f"{JOB}/ack",
        access=Access.WRITE,
        handler=ack,
        summary="The job is done, and the operations with it; 409 stale_token when it is lost.",
        body=AckBody,
        answer=JobDone,
        refuses=(errors.StaleToken, errors.NotFound),
    ),
    Route(
        method=Method.POST,
        path=f"{JOB}/nack",
        access=Access.WRITE,
        handler=nack,
        summary="Gives a job back; a dead letter when its attempts are used up.",
        body=NackBody,
        answer=JobDone,
        refuses=(errors.StaleToken,),
    ),
    Route(
        method=Method.POST,
        path=f"{JOB}/extend",
        access=Access.WRITE,
        handler=extend,
        summary="Begins the visibility timeout of a claim anew.",
        body=ExtendBody,
        answer=JobExtended,
        refuses=(errors.StaleToken,),
    ),
)
