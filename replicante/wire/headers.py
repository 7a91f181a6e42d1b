"""Header names, media types and query parameters of the HTTP API. Pure constants."""

from __future__ import annotations

import enum

API_PREFIX = "/api/v0"

# --- on every answer of an API path -----------------------------------------------------------
INDEX = "Replicante-Index"
"""Index of the state that the answer shows: what was read, or the entry that the write made.
A client that sends the highest one it saw as `after_index` never goes back."""
SERVED_BY = "Replicante-Served-By"
LEADER = "Replicante-Leader"
"""Peer id; empty when this peer knows no leader."""
CONSISTENCY = "Replicante-Consistency"
STALENESS_MS = "Replicante-Staleness-Ms"
"""Upper bound of the age of the state that was read; `unknown` when this peer cannot prove one."""
STALENESS_UNKNOWN = "unknown"
REQUEST_ID = "Replicante-Request-Id"
"""Accepted from the caller (REQUEST_ID_PATTERN), else minted; on every answer and log line."""
REQUEST_ID_PATTERN = r"[A-Za-z0-9._:-]{1,64}"
CLOCK_MS = "Replicante-Clock-Ms"
"""Cluster clock that this peer knows: what a client sends as FIRST_ATTEMPT_MS when it repeats."""
REPLAYED = "Replicante-Replayed"
"""`true`: the outcome of an earlier attempt with the same Idempotency-Key; nothing was done now."""

# --- on requests ------------------------------------------------------------------------------
IDEMPOTENCY_KEY = "Idempotency-Key"
"""1 to IDEMPOTENCY_KEY_BYTES_MAX visible ASCII characters, no space."""
IDEMPOTENCY_KEY_PATTERN = r"[!-~]{1,128}"
FIRST_ATTEMPT_MS = "Replicante-First-Attempt-Ms"
"""With an Idempotency-Key, on a repeat: a cluster clock not later than the first attempt. A repeat
that comes after the window in which outcomes are kept is then refused instead of applied again."""
IF_MATCH = "If-Match"
"""`"<revision>"`: only when the thing has exactly this revision."""
IF_NONE_MATCH = "If-None-Match"
"""`*`: only when there is no such thing yet."""
LAST_EVENT_ID = "Last-Event-ID"
RETRY_AFTER = "Retry-After"
ETAG = "ETag"
"""The revision in quotes, on answers that show one thing: fit for If-Match."""

# --- media types ------------------------------------------------------------------------------
JSON = "application/json"
MSGPACK = "application/msgpack"
MSGPACK_ALIASES = ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack")
PROBLEM_JSON = "application/problem+json"
NDJSON = "application/x-ndjson"
EVENT_STREAM = "text/event-stream"
OPENMETRICS_TEXT = "text/plain; version=0.0.4; charset=utf-8"

# --- query parameters -------------------------------------------------------------------------
Q_CONSISTENCY = "consistency"
Q_MAX_STALE_MS = "max_stale_ms"
"""With `bounded`: refuse rather than answer with older data. Default 5000."""
MAX_STALE_MS_DEFAULT = 5_000
MAX_STALE_MS_MAX = 86_400_000
Q_AFTER_INDEX = "after_index"
"""Wait until this peer has applied at least this index, for at most `wait`."""
Q_WAIT = "wait"
"""Duration of a blocking read, at most 10 minutes."""
Q_TIMEOUT = "timeout"
"""Duration after which a write or a confirmed read gives up. Default 10s, at most 60s."""
Q_LIMIT = "limit"
Q_CURSOR = "cursor"
Q_PREFIX = "prefix"
Q_FROM = "from"
Q_TO = "to"
Q_KEYS_ONLY = "keys_only"
"""Keys between two: the first is in it, the second is not."""
Q_LABELS = "labels"
"""Objects that a selector chooses."""
Q_ALL = "all"
Q_AT = "at"
"""An event id: how things stood then."""
Q_NODE_ID = "node_id"
Q_REASON = "reason"
"""Why something is done that its owner did not ask for."""
Q_DRY_RUN = "dry_run"
Q_AFTER = "after"
Q_BEFORE = "before"
"""Events with a lower id, newest first; BEFORE_END begins with the newest."""
BEFORE_END = "end"
Q_CODE = "code"
"""Events whose code starts with this."""
Q_NS = "ns"
Q_CLUSTER = "cluster"
Q_KEY = "key"
"""Events whose key starts with this."""


class Consistency(enum.Enum):
    LINEARIZABLE = "linearizable"
    """Confirmed by a majority: sees every write that was answered before the read began."""
    BOUNDED = "bounded"
    """From this peer's copy, which is provably not older than `max_stale_ms`."""
    STALE = "stale"
    """From this peer's copy, however old."""


def quote_revision(revision: str) -> str:
    return f'"{revision}"'
