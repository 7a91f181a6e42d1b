"""What the process says of itself: health, readiness, version, tasks, metrics, OpenAPI."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from replicante import errors
from replicante.api.call import Call, Reply
from replicante.api.event_lines import rfc3339
from replicante.api.routes_status import not_ready_reason
from replicante.api.routing import Access, Handler, Method, Route
from replicante.wire import headers, paths
from replicante.wire.durations import format_duration_ms
from replicante.wire.status import (
    HealthAnswer,
    SelfAnswer,
    TaskAnswer,
    TasksAnswer,
    VersionAnswer,
)

if TYPE_CHECKING:
    from replicante.api.context import Context

TASKS_SHOWN_MAX = 500


async def get_health(ctx: Context, call: Call) -> Reply:
    """Live: this code runs. Nothing is asked of anybody. A peer in quarantine lives: to start it
    again would not help it."""
    status = ctx.presence.status()
    if status.quarantine is None:
        return Reply(body=HealthAnswer(status="ok", peer=status.peer_id))
    reason = not_ready_reason(status)
    return Reply(body=HealthAnswer(status="quarantined", reason=reason, peer=status.peer_id))


async def get_ready(ctx: Context, call: Call) -> Reply:
    status = ctx.peer.status()
    reason = not_ready_reason(status)
    if reason is not None:
        raise errors.NotReady(f"This peer is not ready to serve. {reason}", reason=reason)
    if ctx.feed.is_stopping:
        raise errors.PeerStopping()
    return Reply(
        body=HealthAnswer(
            status="ready",
            peer=status.peer_id,
            role=status.role.value,
            leader=status.leader_id,
        )
    )


async def get_self(ctx: Context, call: Call) -> Reply:
    status, identity = ctx.presence.status(), ctx.identity
    uptime_ms = ctx.clock.monotonic_ms() - identity.started_monotonic_ms
    body = SelfAnswer(
        peer=status.peer_id,
        incarnation=status.incarnation,
        cluster=status.cluster_name,
        pid=identity.pid,
        started=rfc3339(identity.started_wall_ms),
        uptime=format_duration_ms(uptime_ms // 1_000 * 1_000),
    )
    return Reply(body=body)


async def get_version(ctx: Context, call: Call) -> Reply:
    identity = ctx.identity
    body = VersionAnswer(version=identity.version, python=identity.python, api=headers.API_PREFIX)
    return Reply(body=body)


async def get_tasks(ctx: Context, call: Call) -> Reply:
    """What runs in the process; tasks that do the same are counted, not repeated."""
    found: Counter[tuple[str, str]] = Counter()
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        activity = getattr(coroutine, "__qualname__", type(coroutine).__name__)
        name = task.get_name()
        found["" if name.startswith("Task-") else name, activity] += 1
    tasks = tuple(
        TaskAnswer(name=name, activity=activity, count=count)
        for (name, activity), count in found.most_common(TASKS_SHOWN_MAX)
    )
    return Reply(body=TasksAnswer(tasks=tasks))


async def get_metrics(ctx: Context, call: Call) -> Reply:
    return Reply(raw=ctx.metrics.render(), content_type=headers.OPENMETRICS_TEXT)


async def get_openapi(ctx: Context, call: Call) -> Reply:
    return Reply(raw=ctx.openapi_json, content_type=headers.JSON)


def _local(
    path: str,
    handler: Handler,
    summary: str,
    answer: type | None,
    *refuses: type[errors.ReplicanteError],
) -> Route:
    return Route(
        method=Method.GET,
        path=path,
        access=Access.LOCAL,
        handler=handler,
        summary=summary,
        answer=answer,
        refuses=refuses,
        aliases=(f"{headers.API_PREFIX}{path}",),
    )


ROUTES = (
    _local(paths.HEALTH, get_health, "200 while the process lives.", HealthAnswer),
    _local(
        paths.READY,
        get_ready,
        "200 when this peer may be sent requests.",
        HealthAnswer,
        errors.NotReady,
        errors.PeerStopping,
    ),
    _local(paths.SELF, get_self, "Who this peer is.", SelfAnswer),
    _local(paths.VERSION, get_version, "What it runs.", VersionAnswer),
    _local(paths.TASKS, get_tasks, "What it is doing.", TasksAnswer),
    Route(
        method=Method.GET,
        path=paths.METRICS,
        access=Access.LOCAL,
        handler=get_metrics,
        summary="Metrics in the Prometheus text format.",
        answer_text=headers.OPENMETRICS_TEXT,
        offered=(),
        aliases=(f"{headers.API_PREFIX}{paths.METRICS}",),
    ),
    Route(
        method=Method.GET,
        path=paths.OPENAPI,
        access=Access.LOCAL,
        handler=get_openapi,
        summary="This API as an OpenAPI 3.1 document.",
        answer_text=headers.JSON,
        offered=(),
        aliases=(f"{headers.API_PREFIX}{paths.OPENAPI}",),
    ),
)
