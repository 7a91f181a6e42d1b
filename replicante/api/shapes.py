"""How query parameters, parts of paths and headers look, for OpenAPI. Pure; read by `openapi`.

A name means the same on every path, so a shape belongs to the name; `id`, `ns`, `name` and the like
mean what the first words of their path say.
"""

from __future__ import annotations

from collections.abc import Mapping

from replicante import limits
from replicante.ids import STAMP_MAX
from replicante.wire import headers, paths, shapes
from replicante.wire.shapes import Shape

_LABEL = rf"{limits.NAME_PATTERN}(/{limits.NAME_PATTERN})?"
_TERM = rf" *(!?{_LABEL}|{_LABEL}!?=[A-Za-z0-9._-]{{0,128}}) *"
_QUERY: Mapping[str, Shape] = {
    headers.Q_CONSISTENCY: shapes.choice(*(one.value for one in headers.Consistency)),
    headers.Q_MAX_STALE_MS: shapes.whole(0, headers.MAX_STALE_MS_MAX),
    headers.Q_AFTER_INDEX: shapes.whole(0, STAMP_MAX),
    headers.Q_WAIT: shapes.WAIT,
    headers.Q_TIMEOUT: shapes.TIMEOUT,
    headers.Q_LIMIT: shapes.whole(1, limits.PAGE_ITEMS_MAX),
    headers.Q_CURSOR: shapes.CURSOR,
    headers.Q_LABELS: {
        "type": "string",
        "format": "label-selector",
        "pattern": rf"^({_TERM}(,{_TERM}){{0,{limits.SELECTOR_TERMS_MAX - 1}}})?$",
    },
    headers.Q_ALL: shapes.FLAG,
    headers.Q_DRY_RUN: shapes.FLAG,
    headers.Q_AT: shapes.STAMP,
    headers.Q_NODE_ID: shapes.ANY_TEXT,
    headers.Q_REASON: shapes.REASON,
    headers.Q_AFTER: {
        "anyOf": [
            shapes.STAMP,
            shapes.choice("head"),
            {"type": "string", "format": "after-index", "pattern": "^index:[0-9]{1,15}$"},
        ]
    },
    headers.Q_BEFORE: {"anyOf": [shapes.STAMP, shapes.choice(headers.BEFORE_END)]},
    headers.Q_CODE: {
        "type": "string",
        "pattern": f"^[^,]*(,[^,]*){{0,{limits.EVENT_FILTER_CODES_MAX - 1}}}$",
    },
    headers.Q_NS: shapes.ANY_TEXT,
    headers.Q_CLUSTER: shapes.ANY_TEXT,
    headers.Q_KEY: shapes.ANY_TEXT,
    "dead": shapes.FLAG,
    headers.Q_KEYS_ONLY: shapes.FLAG,
    "digest": shapes.choice("now"),
}

_OBJECT = {
    # By one name: the other kinds live in a namespace, and have paths of their own.
    "kind": shapes.any_case("namespace"),
    **dict.fromkeys(("ns", "name", "cluster"), shapes.OBJECT_NAME),
    **dict.fromkeys(("node", "id"), shapes.NAME),
}
_ARGUMENTS: Mapping[str, Mapping[str, Shape]] = {
    paths.KV: {"key": shapes.KV_KEY},
    paths.LEASES: {"name": shapes.NAME},
    paths.QUEUES: {"queue": shapes.NAME, "id": shapes.TOKEN},
    paths.CONSUMERS: {"name": shapes.NAME},
    paths.REQUESTS: {"id": shapes.text(bytes_max=limits.IDEMPOTENCY_KEY_BYTES_MAX)},
    paths.RAFT_PEERS: {"id": shapes.PEER_ID},
    f"{headers.API_PREFIX}/object": _OBJECT,
    f"{headers.API_PREFIX}/list": {**_OBJECT, "kind": shapes.ANY_TEXT},
}

_REVISION: Shape = {
    "type": "string",
    "format": "if-match",
    "pattern": r'^(\*|"0{0,18}[1-9][0-9]{0,18}")$',
}
REQUEST_HEADERS: Mapping[str, Shape] = {
    headers.REQUEST_ID: shapes.ANY_TEXT,
    headers.IDEMPOTENCY_KEY: shapes.IDEMPOTENCY_KEY,
    headers.FIRST_ATTEMPT_MS: {"type": "string", "pattern": "^[0-9]{1,18}$"},
    headers.IF_MATCH: _REVISION,
    headers.IF_NONE_MATCH: shapes.choice("*"),
    headers.LAST_EVENT_ID: {"type": "string", "format": "event-id", "pattern": "^[0-9]{0,19}$"},
}
_NUMBER: Shape = {"type": "string", "pattern": "^[0-9]+$"}
ANSWER_HEADERS: Mapping[str, Shape] = {
    headers.INDEX: _NUMBER,
    headers.SERVED_BY: shapes.PEER_ID,
    headers.LEADER: shapes.ANY_TEXT,
    headers.CONSISTENCY: _QUERY[headers.Q_CONSISTENCY],
    headers.STALENESS_MS: {
        "type": "string",
        "pattern": f"^([0-9]+|{headers.STALENESS_UNKNOWN})$",
    },
    headers.CLOCK_MS: _NUMBER,
    headers.REQUEST_ID: {"type": "string", "pattern": f"^{headers.REQUEST_ID_PATTERN}$"},
}


def query_shape(path: str, name: str) -> Shape:
    """KeyError for a parameter that nobody described."""
    if name in (headers.Q_PREFIX, headers.Q_FROM, headers.Q_TO):
        is_kv = path.startswith(paths.KV)
        bytes_max = limits.KV_KEY_BYTES_MAX if is_kv else limits.NAME_BYTES_MAX
        return shapes.text(bytes_max=bytes_max, bytes_min=0, format="prefix")
    return _QUERY[name]


def argument_shape(path: str, name: str) -> Shape:
    """Of a part of a path, as it is written in the table of routes. KeyError for one that nobody
    described."""
    places = [place for place in _ARGUMENTS if path.startswith(f"{place}/")]
    return _ARGUMENTS[max(places, key=len)][name]
