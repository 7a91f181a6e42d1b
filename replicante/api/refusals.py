"""Which problems a path may answer, for OpenAPI. Pure; read by `openapi` and by the tests, which
refuse an answer that is not described.

Most follow from what a path does: how it reaches the tables, what it takes. What belongs to one
path alone stands in its row of the table of routes.
"""

from __future__ import annotations

from collections.abc import Iterator

from replicante import errors
from replicante.api.routing import Access, Method, Route

Kind = type[errors.ReplicanteError]

_CONFIRMED: tuple[Kind, ...] = (
    errors.NoLeader,
    errors.ReadTimeout,
    errors.PeerStopping,
    errors.QueueFull,
    errors.Quarantined,
)
_READ: tuple[Kind, ...] = (*_CONFIRMED, errors.StaleRead, errors.TooManyRequests)
_BY_ACCESS: dict[Access, tuple[Kind, ...]] = {
    Access.LOCAL: (),
    Access.READ: _READ,
    Access.STREAM: (*_READ, errors.HistoryForked, errors.HistoryGone, errors.TooManyStreams),
    Access.OPERATE: (
        *_CONFIRMED,
        errors.TooManyRequests,
        errors.OutcomeUnknown,
        errors.DiskFull,
    ),
    Access.WRITE: (
        *_CONFIRMED,
        errors.TooManyRequests,
        errors.SessionEnded,
        errors.OutcomeUnknown,
        errors.OutcomeExpired,
        errors.IdempotencyKeyReused,
        errors.FirstAttemptInFuture,
        errors.TooLarge,
        errors.DiskFull,
        errors.StorageFull,
    ),
}
_BODY: tuple[Kind, ...] = (errors.BodyTooLarge, errors.BodyTimeout, errors.UnsupportedMedia)


def refusals(route: Route) -> Iterator[Kind]:
    """What this path may answer instead of what was asked for; a kind may come twice."""
    yield from (errors.Invalid, errors.MalformedHttp, errors.Forbidden)
    if route.offered:
        yield errors.NotAcceptable
    yield from _BY_ACCESS[route.access]
    if route.body is not None:
        yield from _BODY
    if route.takes_match:
        yield errors.RevisionMismatch
    if "{" in route.path and route.method in (Method.GET, Method.DELETE):
        yield errors.NotFound
    yield from route.refuses


def refusal_codes(route: Route) -> dict[int, tuple[str, ...]]:
    """HTTP status → the problem codes that come with it, both in order."""
    found: dict[int, set[str]] = {}
    for kind in refusals(route):
        found.setdefault(kind.http_status, set()).add(kind.code)
    return {status: tuple(sorted(found[status])) for status in sorted(found)}
