"""Paths of the HTTP API, built by the client and taken apart by the server. Pure.

A kv key is the raw rest of the path, percent-decoded once, so any key works: `/`, `%2F`, `..`,
empty segments, spaces, line breaks. Rules for both sides: the client sends what `kv_path` gives
without normalising it (`yarl.URL(…, encoded=True)`), the server reads the raw request target.
"""

from __future__ import annotations

from replicante.wire.headers import API_PREFIX

OBJECT_API_VERSION = "replicante.io/v0"

APPLY = f"{API_PREFIX}/apply"
BATCH = f"{API_PREFIX}/batch"
EVENTS = f"{API_PREFIX}/events"
CONSUMERS = f"{EVENTS}/consumers"
RETENTION = f"{EVENTS}/retention"
KV = f"{API_PREFIX}/kv"
LEASES = f"{API_PREFIX}/leases"
QUEUES = f"{API_PREFIX}/queues"
TXN = f"{API_PREFIX}/txn"
STATUS = f"{API_PREFIX}/status"
RAFT_BACKUP = f"{API_PREFIX}/raft/backup"
RAFT_LEVEL = f"{API_PREFIX}/raft/level"
RAFT_PEERS = f"{API_PREFIX}/raft/peers"
RAFT_TOKENS = f"{API_PREFIX}/raft/tokens"
RAFT_TRANSFER = f"{API_PREFIX}/raft/transfer"
RAFT_STATUS = f"{API_PREFIX}/raft/status"
REQUESTS = f"{API_PREFIX}/requests"
HEALTH = "/introspect/health"
READY = "/introspect/ready"
SELF = "/introspect/self"
VERSION = "/introspect/version"
TASKS = "/introspect/tasks"
METRICS = "/metrics"
OPENAPI = "/openapi.json"

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SAFE_IN_SEGMENT = tuple(
    chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in range(256)
)


def quote_segment(text: str) -> str:
    """One path segment. A segment of dots alone is escaped too, so that no proxy resolves it.

    Raises UnicodeEncodeError for text with lone surrogates: such text has no encoding.
    """
    quoted = "".join(_SAFE_IN_SEGMENT[byte] for byte in text.encode("utf-8"))
    return quoted.replace(".", "%2E") if quoted in (".", "..") else quoted


def quote_key(key: str) -> str:
    """The rest of a kv path. Slashes stay readable unless the key has empty or dot segments,
    which some proxies would fold."""
    segments = key.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        return quote_segment(key)
    return "/".join(quote_segment(segment) for segment in segments)


def unquote_once(raw: str) -> bytes | None:
    """Percent-decoded once; None when a `%` is not followed by two hex digits.

    raw: part of a request target as received; characters above ASCII (some clients send UTF-8
    undecorated) count as their UTF-8 bytes.
    """
    data = raw.encode("utf-8", "surrogateescape")
    if b"%" not in data:
        return data
    head, *tails = data.split(b"%")
    parts = [head]
    for tail in tails:
        try:
            parts.append(bytes((_HEX[tail[:2]],)))
        except KeyError:
            return None
        parts.append(tail[2:])
    return b"".join(parts)


_HEX = {
    f"{high}{low}".encode(): int(f"{high}{low}", 16)
    for high in "0123456789abcdefABCDEF"
    for low in "0123456789abcdefABCDEF"
}


def kv_path(key: str) -> str:
    return f"{KV}/{quote_key(key)}"


def consumer_path(name: str) -> str:
    return f"{CONSUMERS}/{quote_segment(name)}"


def lease_path(name: str, *verb: str) -> str:
    """verb: acquire, renew or release; none for the lease itself."""
    return "/".join((LEASES, quote_segment(name), *verb))


def raft_peer_path(peer_id: str, *verb: str) -> str:
    """verb: promote; none for the member itself."""
    return "/".join((RAFT_PEERS, quote_segment(peer_id), *verb))


def queue_path(name: str, *rest: str) -> str:
    """rest: jobs, claim, pause, resume, redrive or purge; jobs, an id and perhaps a verb."""
    return "/".join((QUEUES, quote_segment(name), *rest))


def object_path(kind: str, *scope: str) -> str:
    """scope: namespace, then what the kind asks for, as (`default`, `redis-main`)."""
    segments = (kind.lower(), *scope)
    return "/".join(
        (API_PREFIX, "object", OBJECT_API_VERSION, *(quote_segment(part) for part in segments))
    )


def list_path(kind: str, *scope: str) -> str:
    segments = (kind.lower(), *scope)
    return "/".join(
        (API_PREFIX, "list", OBJECT_API_VERSION, *(quote_segment(part) for part in segments))
    )


def request_path(idempotency_key: str) -> str:
    return f"{REQUESTS}/{quote_segment(idempotency_key)}"
