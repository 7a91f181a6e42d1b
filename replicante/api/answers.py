"""Turns replies and errors into HTTP answers: bodies, headers about the peer, problems.

Called by `dispatch`, `event_stream` and the protocol of `http_server`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from replicante import errors
from replicante.api.call import Reply
from replicante.api.negotiate import Media
from replicante.wire import headers
from replicante.wire.headers import Consistency
from replicante.wire.problems import OUTCOME_UNKNOWN, Problem, title_of, type_of
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context

RETRY_AFTER_SECONDS = "1"
"""An election takes about this long, and a full queue drains faster."""

_LIFTED = frozenset(("path", "violations", "allow", "index", "request_id", "outcome", "blocked_by"))
"""Details that are fields of the problem, or a header."""


def encode(body: object, media: Media) -> bytes:
    if media is Media.MSGPACK:
        return msgspec.msgpack.encode(body)
    return msgspec.json.encode(body)


def respond(ctx: Context, reply: Reply, *, media: Media, request_id: str) -> web.Response:
    content_type = reply.content_type or media.value
    raw = reply.raw if reply.raw is not None else encode(reply.body, media)
    response_headers = peer_headers(ctx, reply, request_id=request_id)
    response_headers["Content-Type"] = content_type
    return web.Response(body=raw, status=reply.status, headers=response_headers)


def peer_headers(ctx: Context, reply: Reply, *, request_id: str) -> dict[str, str]:
    """The headers that every answer carries, errors and streams too."""
    status = ctx.presence.status()
    # A write is ordered like a linearizable read; what a peer says of itself is its own copy.
    local = Consistency.LINEARIZABLE if reply.is_write else Consistency.STALE
    read = reply.consistency
    staleness_ms = ctx.peer.staleness_ms() if read is None else reply.staleness_ms
    index = ctx.peer.applied_index if reply.index is None else reply.index
    found = {
        headers.INDEX: str(index),
        headers.SERVED_BY: status.peer_id,
        headers.LEADER: status.leader_id or "",
        headers.CONSISTENCY: (read or local).value,
        headers.STALENESS_MS: (
            headers.STALENESS_UNKNOWN if staleness_ms is None else str(staleness_ms)
        ),
        headers.CLOCK_MS: str(status.clock_ms),
        headers.REQUEST_ID: request_id,
        "Server": "replicante",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **reply.headers,
    }
    if reply.revision is not None:
        found[headers.ETAG] = headers.quote_revision(reply.revision)
    if reply.is_replayed:
        found[headers.REPLAYED] = "true"
    return found


def respond_problem(
    ctx: Context,
    error: errors.ReplicanteError,
    *,
    request_id: str,
    instance: str | None = None,
    is_original: bool = False,
    seen_as: Consistency | None = None,
) -> web.Response:
    """Always problem+json, whatever the caller accepts: a problem is read by people too.

    seen_as: how the tables were read before the problem was found; None when they were not.
    """
    problem = problem_of(error, request_id=request_id, instance=instance, is_original=is_original)
    reply = Reply(
        status=problem.status,
        raw=encode(problem, Media.JSON),
        content_type=headers.PROBLEM_JSON,
        index=problem.index,
        consistency=seen_as,
        staleness_ms=ctx.peer.staleness_ms(),
        headers=problem_headers(error),
    )
    return respond(ctx, reply, media=Media.JSON, request_id=request_id)


def problem_headers(error: errors.ReplicanteError) -> dict[str, str]:
    if "allow" in error.details:
        return {"Allow": ", ".join(error.details["allow"])}
    if error.http_status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return {headers.RETRY_AFTER: RETRY_AFTER_SECONDS}
    return {}


def problem_of(
    error: errors.ReplicanteError,
    *,
    request_id: str | None = None,
    instance: str | None = None,
    is_original: bool = False,
) -> Problem:
    """is_original: on a path of the original, whose clients look for `error` and `error_msg`."""
    found = error.details
    violations: list[Json] | None = found.get("violations")
    if is_original and violations is None and isinstance(error, errors.Invalid):
        violations = [{"path": error.path, "message": error.message}]
    return Problem(
        type=type_of(error.code),
        title=title_of(error.code),
        status=error.http_status,
        detail=error.message,
        code=error.code,
        definite=error.definite,
        retry=error.retry,
        instance=instance,
        request_id=request_id,
        index=found.get("index"),
        outcome=OUTCOME_UNKNOWN if isinstance(error, errors.OutcomeUnknown) else None,
        path=found.get("path") or None,
        blocked_by=tuple(found.get("blocked_by", ())),
        hints=error.hints,
        details={name: value for name, value in found.items() if name not in _LIFTED},
        error=True if is_original else None,
        error_msg=error.message if is_original else None,
        violations=None if violations is None else tuple(violations),
        resource=found.get("resource") if is_original else None,
    )
