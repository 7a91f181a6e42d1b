"""How the texts and numbers of requests look, as JSON Schema. Pure constants.

For OpenAPI and for whoever generates code or requests from it: nothing is checked here. Admission
checks, and says more about a fault than a pattern could; `make fuzz` shows that the two agree.

Bounds of texts are bytes of UTF-8. JSON Schema counts characters, so `maxLength` is what no valid
text exceeds, and `format` names what it cannot say: our formats are words for people, and other
programs may ignore them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from replicante import limits
from replicante.wire.durations import format_duration_ms

Shape: TypeAlias = "Mapping[str, Any]"

VALUE = "Value"
"""Name of the schema of user values; it contains itself."""
VALUE_SCHEMA: Shape = {
    "title": VALUE,
    "description": "Any JSON, at most 32 deep: integers of 64 bits, finite numbers, valid UTF-8.",
    "anyOf": [
        {"type": "null"},
        {"type": "boolean"},
        {"type": "integer", "minimum": limits.INTEGER_MIN, "maximum": limits.INTEGER_MAX},
        {"type": "number"},
        {"type": "string"},
        {"type": "array", "items": {"$ref": f"#/components/schemas/{VALUE}"}},
        {"type": "object", "additionalProperties": {"$ref": f"#/components/schemas/{VALUE}"}},
    ],
}


def text(*, bytes_max: int, bytes_min: int = 1, format: str = "text") -> Shape:
    return {"type": "string", "format": format, "minLength": bytes_min, "maxLength": bytes_max}


def whole(low: int, high: int) -> Shape:
    return {"type": "integer", "minimum": low, "maximum": high}


def any_case(word: str) -> Shape:
    """word: ASCII letters."""
    letters = "".join(f"[{one.upper()}{one.lower()}]" for one in word)
    return {"type": "string", "pattern": f"^{letters}$", "examples": [word]}


def choice(*words: str) -> Shape:
    return {"type": "string", "enum": list(words)}


def _pattern(pattern: str, *, format: str, example: str) -> Shape:
    return {
        "type": "string",
        "format": format,
        "pattern": f"^{pattern}$",
        "examples": [example],
    }


ANY_TEXT: Shape = {"type": "string"}
FLAG = choice("true", "false")
NAME = text(bytes_max=limits.NAME_BYTES_MAX, format="name")
"""Of a queue, a lease, a consumer, a group: any text."""
OBJECT_NAME = _pattern(limits.NAME_PATTERN, format="object-name", example="prod-1")
PEER_ID = _pattern(limits.PEER_ID_PATTERN, format="peer-id", example="p1")
KV_KEY = text(bytes_max=limits.KV_KEY_BYTES_MAX, format="kv-key")
STAMP = _pattern(r"[0-9]{1,19}", format="stamp", example="0000000000000065537")
"""At most 2^63 − 1."""
TOKEN = _pattern(r"0{0,18}[1-9][0-9]{0,18}", format="token", example="0000000000000065537")
"""A stamp of something that exists: a revision, a token, an id. Never 0."""
INDEX = _pattern(r"[0-9]{1,19}", format="index", example="7")


LONGEST_MS = 999_999_999 * 86_400_000
"""The most days that can be written."""


def duration(low_ms: int, high_ms: int) -> Shape:
    """As text. The format tells the bounds, as `duration:1s:12h`."""
    example_ms = min(max(low_ms, 30_000), high_ms)
    return {
        "type": "string",
        "format": f"duration:{format_duration_ms(low_ms)}:{format_duration_ms(high_ms)}",
        "pattern": "^([0-9]{1,12}(ms|[dhms]))+$",
        "examples": [format_duration_ms(example_ms)],
    }


WAIT = duration(0, limits.BLOCKING_WAIT_MS_MAX)
TIMEOUT = duration(1, limits.REQUEST_DEADLINE_MS_MAX)
REASON = text(bytes_max=limits.JOB_REASON_BYTES_MAX, format="reason")
IDEMPOTENCY_KEY = _pattern(r"[!-~]{1,128}", format="idempotency-key", example="order-1")
CURSOR: Shape = {"type": "string", "format": "cursor", "pattern": "^[A-Za-z0-9_-]+$"}
"""Opaque: `next` of a page of the same list."""
INCARNATION = _pattern("[0-9a-f]{32}", format="incarnation", example="0" * 32)
ADDRESS = text(bytes_max=limits.ADDRESS_BYTES_MAX, format="address")


def documented(shape: Shape) -> Meta:
    """For Annotated: says in OpenAPI how a field looks, and checks nothing."""
    return Meta(extra_json_schema=dict(shape))


Name = Annotated[str, documented(NAME)]
ObjectName = Annotated[str, documented(OBJECT_NAME)]
PeerName = Annotated[str, documented(PEER_ID)]
KvKey = Annotated[str, documented(KV_KEY)]
StampText = Annotated[str, documented(STAMP)]
TokenText = Annotated[str, documented(TOKEN)]
ReasonText = Annotated[str, documented(REASON)]
OptionalReason = Annotated[str, documented({**REASON, "minLength": 0})]
WorkerName = Annotated[str, documented({**NAME, "minLength": 0})]
IncarnationText = Annotated[str, documented(INCARNATION)]
AddressText = Annotated[str, documented(ADDRESS)]
WaitText = Annotated[str, documented(WAIT)]
DelayText = Annotated[str, documented(duration(0, limits.JOB_DELAY_MS_MAX))]
VisibilityText = Annotated[
    str, documented(duration(limits.JOB_VISIBILITY_MS_MIN, limits.JOB_VISIBILITY_MS_MAX))
]
LeaseDuration = Annotated[str, documented(duration(limits.LEASE_MS_MIN, limits.LEASE_MS_MAX))]
ValidText = Annotated[str, documented(duration(1, limits.JOIN_VALID_MS_MAX))]
Priority = Annotated[int, documented(whole(-limits.JOB_PRIORITY_MAX, limits.JOB_PRIORITY_MAX))]
Attempts = Annotated[int, documented(whole(1, limits.JOB_ATTEMPTS_MAX))]
ClaimCount = Annotated[int, documented(whole(1, limits.CLAIM_JOBS_MAX))]
StepCount = Annotated[int, documented(whole(1, limits.QUEUE_STEP_JOBS_MAX))]
NodeIds = Annotated[
    list[Name], documented({"minItems": 1, "maxItems": limits.DISCOVERED_NODES_MAX})
]
RecordReason = Annotated[
    str, documented(text(bytes_max=limits.REASON_BYTES_MAX, bytes_min=0, format="reason"))
]
JobIds = Annotated[
    tuple[TokenText, ...],
    documented({"maxItems": limits.QUEUE_STEP_JOBS_MAX, "uniqueItems": True}),
]
