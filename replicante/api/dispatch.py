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
from replicante.api.access_report import AccessReport, Finished, printable_path, raw_target
from replicante.api.call import Call
from replicante.api.guard import check_loopback_request, refuse_quarantined
from replicante.api.negotiate import Media, choose_media
from replicante.api.query import parse_query
from replicante.api.routing import Access, Match, Route, Router
from replicante.telemetry.diagnostics import Diagnostic
from replicante.wire import headers

if TYPE_CHECKING:
    from replicante.api.context import Context

_REQUEST_ID = re.compile(headers.REQUEST_ID_PATTERN)
HUNG_UP = 499
"""Status in metrics and logs of a request whose client hung up."""


class Dispatcher:
    def __init__(self, ctx: Context, router: Router) -> None:
        self._ctx = ctx
        self._router = router
        self._inflight_count = 0
        self._report = AccessReport(
            metrics=ctx.metrics, log=ctx.log, slow_request_ms=ctx.settings.slow_request_ms
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Never raises but for a client that hung up, and CancelledError."""
        clock = asyncio.get_running_loop().time
        done = Finished(request=request, request_id=self._request_id(request), started_s=clock())
        try:
            response = await self._answer(done)
            done.status = response.status
            return response
        finally:
            self._report.tell(done, now_s=clock())

    async def _answer(self, done: Finished) -> web.StreamResponse:
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
            instance=printable_path(done.request),
            is_original=done.route is not None and done.route.is_original,
            seen_as=done.seen_as,
        )

    async def _route(self, done: Finished) -> web.StreamResponse:
        ctx, request = self._ctx, done.request
        if not ctx.settings.is_authenticated:
            check_loopback_request(
                host=request.headers.get("Host"), origin=request.headers.get("Origin")
            )
        raw_path, _, raw_query = raw_target(request).partition("?")
        match = self._router.match(method=request.method, raw_path=raw_path)
        done.route = match.route
        if match.route.access is not Access.LOCAL:
            refuse_quarantined(ctx.presence.status())
        call = _call_of(request, done.request_id, match, raw_query)
        with self._room_for(match.route):
            try:
                reply = await match.route.handler(ctx, call)
            except errors.ReplicanteError:
                done.seen_as = call.seen_as
                raise
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
        if route.access not in (Access.READ, Access.WRITE, Access.OPERATE):
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

    def _unexpected(self, done: Finished) -> errors.ReplicanteError:
        self._ctx.metrics.http_unexpected.inc()
        self._ctx.log.error(
            Diagnostic.HTTP_UNEXPECTED,
            request_id=done.request_id,
            method=done.request.method,
            path=printable_path(done.request),
            exc_info=True,
        )
        return errors.ReplicanteError(
            "Replicante made a mistake; whether the request had an effect is not known. "
            "The log of this peer has the details under this request id."
        )


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
