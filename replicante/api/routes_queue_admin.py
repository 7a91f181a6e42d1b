"""The queue paths of operators: look at queues and jobs, pause, redrive, purge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors
from replicante.api import query as q
from replicante.api.bodies import to_request
from replicante.api.call import Call, Reply
from replicante.api.cursors import read_scope_cursor, write_cursor
from replicante.api.jobs import job_item, job_stamp, queue_item
from replicante.api.reads import read
from replicante.api.routes_queues import JOB, QUEUE, clock_of, job_of, queue_of
from replicante.api.routing import Access, Method, Parameter, Route
from replicante.api.writes import Written, write
from replicante.ids import format_stamp
from replicante.state import outcome as outcomes
from replicante.state import queue_queries
from replicante.state.queue_commands import (
    QueuePause,
    QueuePurge,
    QueueRedrive,
    QueueResume,
)
from replicante.state.queue_queries import JobRecord
from replicante.wire import headers, paths
from replicante.wire.queues import (
    JobItem,
    JobPage,
    JobsMoved,
    PauseBody,
    PurgeBody,
    QueueChanged,
    QueueItem,
    QueuePage,
    RedriveBody,
)
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context

_QUEUES_CURSOR, _JOBS_CURSOR = "queues", "jobs"
_DEAD = "dead"


async def pause(ctx: Context, call: Call) -> Reply:
    name = queue_of(call)

    def build(body: Json) -> tuple[QueuePause, None]:
        return QueuePause(name, to_request(body, PauseBody).reason), None

    written = await write(ctx, call, build)
    return written.reply(QueueChanged(name=name, is_changed=written.applied.is_changed))


async def resume(ctx: Context, call: Call) -> Reply:
    name = queue_of(call)
    command = QueueResume(name)
    written = await write(ctx, call, lambda _body: (command, None))
    return written.reply(QueueChanged(name=name, is_changed=written.applied.is_changed))


async def redrive(ctx: Context, call: Call) -> Reply:
    name = queue_of(call)

    def build(body: Json) -> tuple[QueueRedrive, None]:
        request = to_request(body, RedriveBody)
        ids = tuple(job_stamp(one, path=f"ids[{i}]") for i, one in enumerate(request.ids))
        return QueueRedrive(name, 0 if ids else request.max, ids, _place(request.after)), None

    return _moved(await write(ctx, call, build))


async def purge(ctx: Context, call: Call) -> Reply:
    name = queue_of(call)

    def build(body: Json) -> tuple[QueuePurge, None]:
        request = to_request(body, PurgeBody)
        place = _place(request.after)
        return QueuePurge(name, request.max, request.dead, request.reason, place), None

    return _moved(await write(ctx, call, build))


def _moved(written: Written[None]) -> Reply:
    outcome = written.outcome
    assert isinstance(outcome, outcomes.JobsMoved), "what a purge or a redrive answers"
    place = None if outcome.next is None else format_stamp(outcome.next)
    return written.reply(JobsMoved(moved=outcome.count, left=outcome.left_count, next=place))


def _place(after: str | None) -> int | None:
    return None if after is None else job_stamp(after, path="after")


async def get_queue(ctx: Context, call: Call) -> Reply:
    name = queue_of(call)
    seen = await read(ctx, call, lambda view: queue_queries.queue_get(view, name))
    if seen.value is None:
        raise errors.NotFound(f"The queue {name!r} is empty and not paused.", index=seen.index)
    return seen.reply(queue_item(seen.value, now_ms=clock_of(ctx)))


async def list_queues(ctx: Context, call: Call) -> Reply:
    prefix = q.name_prefix(call.query, headers.Q_PREFIX)
    after = read_scope_cursor(_QUEUES_CURSOR, call.query.get(headers.Q_CURSOR), names_count=1)
    limit = q.page_limit(call.query, headers.Q_LIMIT)
    seen = await read(
        ctx,
        call,
        lambda view: queue_queries.queue_list(
            view, prefix=prefix, after=None if after is None else after[0], limit=limit
        ),
    )
    page, now_ms = seen.value, clock_of(ctx)
    items = tuple(queue_item(record, now_ms=now_ms) for record in page.items)
    cursor = None if page.next is None else write_cursor(_QUEUES_CURSOR, (page.next,))
    return seen.reply(QueuePage(items=items, next=cursor))


async def get_job(ctx: Context, call: Call) -> Reply:
    name, job = queue_of(call), job_of(call)
    seen = await read(ctx, call, lambda view: queue_queries.job_get(view, name, job))
    if seen.value is None:
        raise errors.NotFound("There is no such job: it is done, or never was.", index=seen.index)
    return seen.reply(job_item(JobRecord(id=job, row=seen.value), now_ms=clock_of(ctx)))


async def list_jobs(ctx: Context, call: Call) -> Reply:
    name = queue_of(call)
    is_dead = q.flag(call.query, _DEAD)
    text = call.query.get(headers.Q_CURSOR)
    after = read_scope_cursor(_JOBS_CURSOR, text, names_count=1)
    limit = q.page_limit(call.query, headers.Q_LIMIT)
    place = None if after is None else q.stamp(after[0], path=f"?{headers.Q_CURSOR}")
    seen = await read(
        ctx,
        call,
        lambda view: queue_queries.job_list(view, name, is_dead=is_dead, after=place, limit=limit),
    )
    page, now_ms = seen.value, clock_of(ctx)
    items = tuple(job_item(record, now_ms=now_ms) for record in page.items)
    cursor = None
    if page.next is not None:
        cursor = write_cursor(_JOBS_CURSOR, (format_stamp(page.next),))
    return seen.reply(JobPage(items=items, next=cursor))


_PAGE = (
    Parameter(name=headers.Q_LIMIT, meaning="Items of a page, 1 to 1000. Default 100."),
    Parameter(name=headers.Q_CURSOR, meaning="`next` of the page before."),
)

ROUTES = (
    Route(
        method=Method.GET,
        path=JOB,
        access=Access.READ,
        handler=get_job,
        summary="One job that is not done, with its attempts.",
        answer=JobItem,
    ),
    Route(
        method=Method.GET,
        path=f"{QUEUE}/jobs",
        access=Access.READ,
        handler=list_jobs,
        summary="Looks at jobs in the order of their arrival, without claiming them.",
        answer=JobPage,
        parameters=(
            Parameter(name=_DEAD, meaning="true: the dead letters instead of all others."),
            *_PAGE,
        ),
    ),
    Route(
        method=Method.POST,
        path=f"{QUEUE}/pause",
        access=Access.WRITE,
        handler=pause,
        summary="Nothing is claimed until the queue is resumed; what is claimed goes on.",
        body=PauseBody,
        answer=QueueChanged,
    ),
    Route(
        method=Method.POST,
        path=f"{QUEUE}/resume",
        access=Access.WRITE,
        handler=resume,
        summary="Jobs are claimed again.",
        answer=QueueChanged,
    ),
    Route(
        method=Method.POST,
        path=f"{QUEUE}/redrive",
        access=Access.WRITE,
        handler=redrive,
        summary="Dead letters wait again, with all their attempts, a portion at a time.",
        body=RedriveBody,
        answer=JobsMoved,
        refuses=(errors.NotFound,),
    ),
    Route(
        method=Method.POST,
        path=f"{QUEUE}/purge",
        access=Access.WRITE,
        handler=purge,
        summary="Removes a portion of the jobs that wait, or of the dead letters; none is claimed.",
        body=PurgeBody,
        answer=JobsMoved,
    ),
    Route(
        method=Method.GET,
        path=QUEUE,
        access=Access.READ,
        handler=get_queue,
        summary="How much a queue holds; 404 when it is empty and not paused.",
        answer=QueueItem,
    ),
    Route(
        method=Method.GET,
        path=paths.QUEUES,
        access=Access.READ,
        handler=list_queues,
        summary="Lists the queues that hold anything or are paused, by name.",
        answer=QueuePage,
        parameters=(
            Parameter(name=headers.Q_PREFIX, meaning="Only names that begin with this."),
            *_PAGE,
        ),
    ),
)
