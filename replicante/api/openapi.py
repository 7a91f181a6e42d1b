"""The API as an OpenAPI 3.1 document, made from the table of routes and the wire structs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Any

import msgspec

from replicante.api import shapes as api_shapes
from replicante.api.links import LINKS, Link
from replicante.api.negotiate import PLAIN, Media
from replicante.api.refusals import refusal_codes
from replicante.api.routing import ACCESS_PARAMETERS, Access, Route
from replicante.wire import headers, shapes
from replicante.wire.problems import Problem
from replicante.wire.values import Json

_REF = "#/components/schemas/{name}"
_CONDITIONS = (
    (headers.IF_MATCH, 'Only when the thing has this revision, as `"0000000000000065537"`.'),
    (headers.IF_NONE_MATCH, "`*`: only when there is no such thing yet."),
)
_KEYS = (
    (headers.IDEMPOTENCY_KEY, "Makes repeats of the same request harmless for a day."),
    (headers.FIRST_ATTEMPT_MS, "On a repeat: a cluster clock not later than the first attempt."),
)
_ANSWER_HEADERS: Mapping[str, str] = {
    headers.INDEX: "Index of the state that the answer shows.",
    headers.SERVED_BY: "Peer that answered.",
    headers.LEADER: "Leader as this peer knows it; empty when it knows none.",
    headers.CONSISTENCY: "How the answer was read.",
    headers.STALENESS_MS: "Upper bound of the age of what was read, or `unknown`.",
    headers.CLOCK_MS: "Cluster clock as this peer knows it.",
    headers.REQUEST_ID: "Of this request, sent or minted.",
}


def openapi_document(routes: Iterable[Route], *, version: str) -> dict[str, Json]:
    routes = tuple(routes)
    types = [kind for route in routes for kind in (route.body, route.answer) if kind is not None]
    types = list(dict.fromkeys([*types, Problem]))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    references = dict(zip(types, schemas, strict=True))
    found: dict[str, dict[str, Json]] = {}
    for route in routes:
        for path in (route.path, *route.aliases):
            operation = _operation(route, path, references)
            found.setdefault(_template(path), {})[route.method.value.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Replicante",
            "version": version,
            "summary": "Control plane for clusters of data stores.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": found,
        "components": {
            "schemas": {**components, shapes.VALUE: dict(shapes.VALUE_SCHEMA)},
            "headers": {
                name: {
                    "description": meaning,
                    "required": True,
                    "schema": dict(api_shapes.ANSWER_HEADERS[name]),
                }
                for name, meaning in _ANSWER_HEADERS.items()
            },
        },
    }


def path_arguments(path: str) -> tuple[str, ...]:
    """Names in braces, in order; a rest argument without its dots."""
    return tuple(
        segment[1:-1].removesuffix("...") for segment in path.split("/") if segment[:1] == "{"
    )


def _operation(
    route: Route, path: str, references: Mapping[type | UnionType, Any]
) -> dict[str, Json]:
    found: dict[str, Json] = {
        "operationId": _operation_id(route, path),
        "summary": route.summary,
        "tags": [route.access.value],
        "parameters": [*_path_parameters(path), *_query_parameters(route), *_headers_of(route)],
        "responses": {
            **{str(status): _response(route, path, references) for status in route.statuses},
            **{
                str(status): _refusal(codes, references)
                for status, codes in refusal_codes(route).items()
            },
        },
    }
    if route.body is not None:
        found["requestBody"] = {
            "required": True,
            "content": {
                media.value: {"schema": references[route.body]}
                for media in (Media.JSON, Media.MSGPACK)
            },
        }
    return found


def _response(
    route: Route, path: str, references: Mapping[type | UnionType, Any]
) -> dict[str, Json]:
    content: dict[str, Json] = {}
    if route.answer is not None:
        content = {
            media.value: {"schema": references[route.answer] if media in PLAIN else {}}
            for media in route.offered
        }
    elif route.answer_text is not None:
        content = {route.answer_text.partition(";")[0]: {"schema": {}}}
    found: dict[str, Json] = {
        "description": route.summary,
        "headers": _answer_headers(),
        "content": content,
    }
    onward = LINKS.get(route.handler.__name__, ()) if path == route.path else ()
    if onward:
        found["links"] = {link.name: _link(link) for link in onward}
    return found


def _refusal(codes: Sequence[str], references: Mapping[type | UnionType, Any]) -> dict[str, Json]:
    return {
        "description": f"Refused: {', '.join(codes)}.",
        "headers": _answer_headers(),
        "content": {headers.PROBLEM_JSON: {"schema": references[Problem]}},
    }


def _answer_headers() -> dict[str, Json]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in _ANSWER_HEADERS}


def _link(link: Link) -> dict[str, Json]:
    found: dict[str, Json] = {
        "operationId": link.operation,
        "parameters": dict(link.parameters),
    }
    if link.body is not None:
        found["requestBody"] = link.body
    return found


def _path_parameters(path: str) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": "The raw rest of the path, percent-decoded once."
            if f"{{{name}...}}" in path
            else "Percent-decoded once.",
            "schema": dict(api_shapes.argument_shape(path, name)),
        }
        for name in path_arguments(path)
    ]


def _query_parameters(route: Route) -> list[Json]:
    return [
        {
            "name": parameter.name,
            "in": "query",
            "required": parameter.is_needed,
            "description": parameter.meaning,
            "schema": dict(api_shapes.query_shape(route.path, parameter.name)),
        }
        for parameter in (*route.parameters, *ACCESS_PARAMETERS[route.access])
    ]


def _headers_of(route: Route) -> list[Json]:
    names = [(headers.REQUEST_ID, "Kept on the answer, in the log and in the events.")]
    if route.access is Access.WRITE:
        names += _KEYS
    if route.takes_match:
        names += _CONDITIONS
    if route.access is Access.STREAM:
        names.append((headers.LAST_EVENT_ID, "Resumes a stream; wins over `after`."))
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": meaning,
            "schema": dict(api_shapes.REQUEST_HEADERS[name]),
        }
        for name, meaning in names
    ]


def _operation_id(route: Route, path: str) -> str:
    name = route.handler.__name__
    return f"{name}_alias" if path in route.aliases else name


def _template(path: str) -> str:
    return path.replace("...}", "}")
