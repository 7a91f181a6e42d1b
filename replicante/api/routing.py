"""Finds the handler of a raw request target. Pure; built once by `app`, used by `dispatch`.

The table of routes is data: OpenAPI and the reference page are made from it. Paths are matched as
they arrived, never normalised: `..` and `//` are ordinary characters of a kv key.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import TYPE_CHECKING, TypeAlias

from replicante import errors
from replicante.api.negotiate import PLAIN, Media
from replicante.wire import headers
from replicante.wire.paths import unquote_once

if TYPE_CHECKING:
    from aiohttp import web

    from replicante.api.call import Call, Reply
    from replicante.api.context import Context

Handler: TypeAlias = "Callable[[Context, Call], Awaitable[Reply | web.StreamResponse]]"


class Method(enum.Enum):
    GET = "GET"
    PUT = "PUT"
    POST = "POST"
    DELETE = "DELETE"


class Access(enum.Enum):
    """What a request does; decides the parameters and headers that every such route takes."""

    READ = "read"
    """A query over the tables; takes the consistency parameters."""
    WRITE = "write"
    """Goes through the log; takes `timeout`, Idempotency-Key."""
    OPERATE = "operate"
    """Acts on the peers themselves, once however often it is asked; takes `timeout`."""
    LOCAL = "local"
    """What this peer knows by itself: answered always, also without a leader."""
    STREAM = "stream"
    """Events: a page, a long poll or a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query parameter. meaning: one sentence."""

    name: str
    meaning: str
    is_needed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """Compared by identity: one object a row of the table.

    path: `{name}` stands for one segment, a last `{name...}` for the raw rest. body, answer:
    wire structs. statuses: successful answers."""

    method: Method
    path: str
    access: Access
    handler: Handler
    summary: str
    body: type | UnionType | None = None
    answer: type | None = None
    answer_text: str | None = None
    """Content type of an answer that is no struct."""
    statuses: tuple[int, ...] = (200,)
    refuses: tuple[type[errors.ReplicanteError], ...] = ()
    """Problems that this path answers beside those that follow from what it does: `refusals`."""
    parameters: tuple[Parameter, ...] = ()
    offered: tuple[Media, ...] = PLAIN
    """Formats to choose from by Accept; empty: there is one, whatever is asked."""
    is_original: bool = False
    """A path of the original: its problems also carry `error`, `error_msg`, `violations`."""
    takes_match: bool = False
    """If-Match and If-None-Match."""
    may_wait: bool = False
    """Answers late by design, so it is never reported as slow."""
    aliases: tuple[str, ...] = ()
    known_parameters: frozenset[str] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        names = {
            parameter.name for parameter in (*self.parameters, *ACCESS_PARAMETERS[self.access])
        }
        object.__setattr__(self, "known_parameters", frozenset(names))


_OUTCOME_TIMEOUT = Parameter(
    name=headers.Q_TIMEOUT,
    meaning="Answer 504 when the outcome is not known by then. Default 10s, at most 60s.",
)
ACCESS_PARAMETERS: Mapping[Access, tuple[Parameter, ...]] = {
    Access.READ: (
        Parameter(
            name=headers.Q_CONSISTENCY,
            meaning="linearizable (default), bounded or stale.",
        ),
        Parameter(
            name=headers.Q_MAX_STALE_MS,
            meaning="With bounded: refuse rather than answer with older data. Default 5000.",
        ),
        Parameter(
            name=headers.Q_AFTER_INDEX,
            meaning="Answer only when this peer has applied at least this index.",
        ),
        Parameter(
            name=headers.Q_WAIT,
            meaning="How long to wait for after_index, at most 10m. Default: the timeout.",
        ),
        Parameter(
            name=headers.Q_TIMEOUT,
            meaning="Give up confirming the read after this. Default 10s, at most 60s.",
        ),
    ),
    Access.WRITE: (_OUTCOME_TIMEOUT,),
    Access.OPERATE: (_OUTCOME_TIMEOUT,),
    Access.LOCAL: (),
    Access.STREAM: (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    route: Route
    arguments: dict[str, str]
    """Percent-decoded once, valid UTF-8."""


@dataclass(slots=True)
class _Place:
    """A node of the tree of segments."""

    literals: dict[str, _Place] = field(default_factory=dict)
    argument: tuple[str, _Place] | None = None
    rest: tuple[str, dict[str, Route]] | None = None
    routes: dict[str, Route] = field(default_factory=dict)


_Found: TypeAlias = tuple[dict[str, Route], dict[str, str]]
"""By method, and the arguments as they stand in the path."""


class Router:
    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact: dict[str, dict[str, Route]] = {}
        self._root = _Place()
        for route in self.routes:
            for path in (route.path, *route.aliases):
                self._add(path, route)

    def match(self, *, method: str, raw_path: str) -> Match:
        """raw_path: the request target without its query.

        Raises NoSuchPath, MethodNotAllowed (details: allow), Invalid for a broken escape.
        """
        exact = self._exact.get(raw_path)
        if exact is not None:
            return Match(route=_by_method(exact, method), arguments={})
        found = _find(self._root, raw_path, 1)
        if found is None:
            raise errors.NoSuchPath()
        routes, raw_arguments = found
        route = _by_method(routes, method)
        arguments = {name: _decoded(name, raw) for name, raw in raw_arguments.items()}
        return Match(route=route, arguments=arguments)

    def _add(self, path: str, route: Route) -> None:
        if "{" not in path:
            self._exact.setdefault(path, {})[route.method.value] = route
            return
        place = self._root
        for segment in path.split("/")[1:]:
            if segment.endswith("...}"):
                if place.rest is None:
                    place.rest = (segment[1:-4], {})
                place.rest[1][route.method.value] = route
                return
            if segment.startswith("{"):
                if place.argument is None:
                    place.argument = (segment[1:-1], _Place())
                place = place.argument[1]
            else:
                place = place.literals.setdefault(segment, _Place())
        place.routes[route.method.value] = route


def _find(place: _Place, raw_path: str, position: int) -> _Found | None:
    """What the path from `position` on leads to, below `place`; as deep as the table of routes. A
    literal segment goes before an argument, unless it leads nowhere."""
    if place.rest is not None:
        name, routes = place.rest
        return routes, {name: raw_path[position:]}
    end = raw_path.find("/", position)
    segment = raw_path[position : end if end >= 0 else None]
    literal = place.literals.get(segment)
    found = None if literal is None else _below(literal, raw_path, end)
    if found is not None or place.argument is None:
        return found
    name, following = place.argument
    found = _below(following, raw_path, end)
    return None if found is None else (found[0], {name: segment, **found[1]})


def _below(place: _Place, raw_path: str, end: int) -> _Found | None:
    if end >= 0:
        return _find(place, raw_path, end + 1)
    return (place.routes, {}) if place.routes else None


def _by_method(routes: Mapping[str, Route], method: str) -> Route:
    route = routes.get("GET" if method == "HEAD" else method)
    if route is None:
        allow = sorted({*routes, *(["HEAD"] if "GET" in routes else [])})
        raise errors.MethodNotAllowed(
            f"This path takes {', '.join(allow)}, not {method[:20]}.", allow=allow
        )
    return route


def _decoded(name: str, raw: str) -> str:
    data = unquote_once(raw)
    if data is None:
        raise errors.Invalid("A % in the path is not followed by two hex digits.", path=name)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise errors.Invalid("The path is not valid UTF-8.", path=name) from None
