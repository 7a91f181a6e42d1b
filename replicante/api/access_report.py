"""What remains of a request when it is over: metrics, and one log line when it is worth one.

Called by `dispatch`. Metric children are looked up once for each route and status: the library's
own look-up costs more than the count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replicante.api.routing import Access, Route
from replicante.telemetry.diagnostics import Diagnostic

if TYPE_CHECKING:
    from aiohttp import web
    from prometheus_client import Counter, Histogram
    from structlog.typing import FilteringBoundLogger

    from replicante.telemetry.metrics import Metrics
    from replicante.wire.headers import Consistency

UNROUTED = "none"
"""Route label of requests that match no route: raw paths would make labels without bound."""


@dataclass(slots=True, kw_only=True)
class Finished:
    """Filled in while the request is worked on."""

    request: web.BaseRequest
    request_id: str
    started_s: float
    route: Route | None = None
    status: int = 500
    code: str | None = None
    """Of the problem that was answered."""
    index: int | None = None
    seen_as: Consistency | None = None
    """How the tables were read before a problem was found."""


class AccessReport:
    def __init__(
        self, *, metrics: Metrics, log: FilteringBoundLogger, slow_request_ms: int
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._slow_request_ms = slow_request_ms
        self._is_chatty = log.is_enabled_for(logging.DEBUG)
        self._counters: dict[tuple[Route | None, str, int], Counter] = {}
        self._histograms: dict[tuple[Route | None, str], Histogram] = {}

    def tell(self, done: Finished, *, now_s: float) -> None:
        duration_s = now_s - done.started_s
        route, status = done.route, done.status
        # Only methods that a route takes become labels: a caller may invent others.
        method = done.request.method if route is not None else "-"
        self._counter(route, method, status).inc()
        waits = route is not None and (route.access is Access.STREAM or route.may_wait)
        if not waits:
            self._histogram(route, method).observe(duration_s)
        if done.code is not None:
            self._metrics.http_problems.labels(done.code).inc()
        is_slow = duration_s * 1_000 >= self._slow_request_ms and not waits
        if is_slow or status >= 500:
            self._write_line(done, duration_s, self._log.warning)
        elif self._is_chatty:
            self._write_line(done, duration_s, self._log.debug)

    def _counter(self, route: Route | None, method: str, status: int) -> Counter:
        key = (route, method, status)
        found = self._counters.get(key)
        if found is None:
            found = self._metrics.http_requests.labels(method, _name(route), str(status))
            self._counters[key] = found
        return found

    def _histogram(self, route: Route | None, method: str) -> Histogram:
        key = (route, method)
        found = self._histograms.get(key)
        if found is None:
            found = self._metrics.http_seconds.labels(method, _name(route))
            self._histograms[key] = found
        return found

    def _write_line(self, done: Finished, duration_s: float, write: Callable[..., object]) -> None:
        write(
            Diagnostic.HTTP_REQUEST,
            request_id=done.request_id,
            method=done.request.method,
            path=printable_path(done.request),
            route=_name(done.route),
            status=done.status,
            code=done.code,
            duration_ms=round(duration_s * 1_000, 1),
            index=done.index,
        )


def raw_target(request: web.BaseRequest) -> str:
    """Path and query as they came. Some proxies send the whole URL."""
    target = request.raw_path
    if target.startswith("/"):
        return target
    _, scheme, rest = target.partition("://")
    return f"/{rest.partition('/')[2]}" if scheme else target


def printable_path(request: web.BaseRequest) -> str:
    """Without the query, which may hold what is nobody else's business."""
    path = raw_target(request).partition("?")[0]
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _name(route: Route | None) -> str:
    return UNROUTED if route is None else route.path
