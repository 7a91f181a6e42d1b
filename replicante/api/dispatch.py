"""Takes each request from its first byte to its last: the one way through the API.

Called by aiohttp for every request. Order: request id, who may come in, which handler, room for
it, parameters, the handler, the answer; then metrics and one log line. Every error becomes a
problem; what nobody expected becomes 500 with the request id, and the traceback goes to the log.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from replicante import errors
from replicante.api import answers
from replicante.api.call import Call
from replicante.api.guard import check_loopback_request
from replicante.api.negotiate import Media, choose_media
from replicante.api.query import parse_query
from replicante.api.routing import Access, Match, Route, Router
from replicante.telemetry.diagnostics import Diagnostic
from replicante.wire import headers

if TYPE_CHECKING:
    from replicante.api.context import Context

_REQUEST_ID = re.compile(headers.REQUEST_ID_PATTERN)
UNROUTED = "none"
"""Route label of requests that match no route: raw paths would make labels without bound."""
HUNG_UP = 499
"""Status in metrics and logs of a request whose client hung up."""


class Dispatcher:
    def __init__(self, ctx: Context, router: Router) -> None:
        self._ctx = ctx
        self._router = router
        self._inflight_count = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Never raises but for a client that hung up, and CancelledError."""
        done = _Done(
            request=request,
            request_id=self._request_id(request),
            started_s=asyncio.get_running_loop().time(),
        )
        try:
            response = await self._answer(done)
            done.status = response.status
            return response
        finally:
            self._report(done)

    async def _answer(self, done: _Done) -> web.StreamResponse:
        try:
            return await self._route(done)
        except errors.ReplicanteError as exc:
            error = exc
        except (ConnectionError, asyncio.CancelledError):
            # The client hung up: there is nobody left to answer.
            done.status = HUNG_UP
            raise
        except Exception:  # noqa: BLE001 - a defect in one handler must not end the others
            error = self._unexpected(done)
        done.code = error.code
        return answers.respond_problem(
            self._ctx,
            error,
            request_id=done.request_id,
            instance=_raw_path(done.request),
            is_original=done.route is not None and done.route.is_original,
        )

    async def _route(self, done: _Done) -> web.StreamResponse:
        ctx, request = self._ctx, done.request
        if not ctx.settings.is_authenticated:
            check_loopback_request(
                host=request.headers.get("Host"), origin=request.headers.get("Origin")
            )
        raw_path, _, raw_query = _raw_target(request).partition("?")
        match = self._router.match(method=request.method, raw_path=raw_path)
        done.route = match.route
        call = _call_of(request, done.request_id, match, raw_query)
        with self._room_for(match.route):
            try:
                reply = await match.route.handler(ctx, call)
            finally:
                ctx.bodies.release(call.held_bytes)
        if isinstance(reply, web.StreamResponse):
            return reply
        done.index = reply.index
        return answers.respond(ctx, reply, media=call.media, request_id=done.request_id)

    @contextmanager
    def _room_for(self, route: Route) -> Iterator[None]:
        """Raises TooManyRequests. Streams have a bound of their own, and what a peer says of
        itself is answered always."""
        if route.access not in (Access.READ, Access.WRITE):
            yield
            return
        if self._inflight_count >= self._ctx.settings.requests_inflight_max:
            raise errors.TooManyRequests()
        self._inflight_count += 1
        self._ctx.metrics.http_inflight.inc()
        try:
            yield
        finally:
            self._inflight_count -= 1
            self._ctx.metrics.http_inflight.dec()

    def _request_id(self, request: web.BaseRequest) -> str:
        given = request.headers.get(headers.REQUEST_ID)
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given
        return self._ctx.entropy.token()

    def _unexpected(self, done: _Done) -> errors.ReplicanteError:
        self._ctx.metrics.http_unexpected.inc()
        self._ctx.log.error(
            Diagnostic.HTTP_UNEXPECTED,
            request_id=done.request_id,
            method=done.request.method,
            path=_raw_path(done.request),
            exc_info=True,
        )
        return errors.ReplicanteError(
            "Replicante made a mistake; whether the request had an effect is not known. "
            "The log of this peer has the details under this request id."
        )

    def _report(self, done: _Done) -> None:
        ctx = self._ctx
        route = done.route.path if done.route is not None else UNROUTED
        method = done.request.method if done.route is not None else "-"
        duration_s = asyncio.get_running_loop().time() - done.started_s
        ctx.metrics.http_requests.labels(method, route, str(done.status)).inc()
        waits = done.route is not None and done.route.access is Access.STREAM
        if not waits:
            ctx.metrics.http_seconds.labels(method, route).observe(duration_s)
        if done.code is not None:
            ctx.metrics.http_problems.labels(done.code).inc()
        duration_ms = round(duration_s * 1_000, 1)
        is_slow = duration_ms >= ctx.settings.slow_request_ms and not waits
        write = ctx.log.warning if is_slow or done.status >= 500 else ctx.log.debug
        write(
            Diagnostic.HTTP_REQUEST,
            request_id=done.request_id,
            method=done.request.method,
            path=_raw_path(done.request),
            route=route,
            status=done.status,
            code=done.code,
            duration_ms=duration_ms,
            index=done.index,
        )


class _Done:
    """What is known of a request when it is over."""

    __slots__ = ("code", "index", "request", "request_id", "route", "started_s", "status")

    def __init__(self, *, request: web.BaseRequest, request_id: str, started_s: float) -> None:
        self.request = request
        self.request_id = request_id
        self.started_s = started_s
        self.route: Route | None = None
        self.status = 500
        self.code: str | None = None
        self.index: int | None = None


def _call_of(request: web.BaseRequest, request_id: str, match: Match, raw_query: str) -> Call:
    route = match.route
    return Call(
        request=request,
        request_id=request_id,
        route=route,
        arguments=match.arguments,
        query=parse_query(raw_query, known=route.known_parameters),
        media=(
            choose_media(request.headers.get("Accept"), offered=route.offered)
            if route.offered
            else Media.JSON
        ),
    )


def _raw_target(request: web.BaseRequest) -> str:
    """Path and query as they came. Some proxies send the whole URL."""
    target = request.raw_path
    if target.startswith("/"):
        return target
    _, scheme, rest = target.partition("://")
    return f"/{rest.partition('/')[2]}" if scheme else target


def _raw_path(request: web.BaseRequest) -> str:
    path = _raw_target(request).partition("?")[0]
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
