"""The running hash of the event log, made again from what peers answer. Pure; called by `client`.

The chain of an event is blake2b-128 of the chain of the event before it (16 zeros before the
first) and of the event's body: the msgpack array [1, id, seq, code, wall ms, clock ms, ns, cluster,
key, request id, actor, payload], the payload as a bin that holds the msgpack of its map with sorted
keys. So whoever knows one chain can prove every event before it, and needs to trust no peer.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final

import msgpack

from replicante.wire.events import Event
from replicante.wire.values import Json

FIRST_SEQ: Final = 1
BEFORE_FIRST: Final = "0" * 32
"""The chain before the first event."""
LAST_TIME: Final = "9999-12-31T23:59:59.999Z"
"""Stands for every later time too: the chain of such an event cannot be made again."""
_LAYOUT: Final = 1
_CHAIN_BYTES: Final = 16
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def next_chain(before: str, event: Event) -> str:
    """The chain (hex) that the event must have after one whose chain is `before`. Raises
    ValueError for an event that no peer made: ids, times or chains that are none."""
    if event.time == LAST_TIME:
        return event.chain
    body: bytes = msgpack.packb(_fields(event))
    return blake2b(bytes.fromhex(before) + body, digest_size=_CHAIN_BYTES).hexdigest()


def _fields(event: Event) -> tuple[object, ...]:
    cause = event.cause if isinstance(event.cause, dict) else {}
    return (
        _LAYOUT,
        int(event.id),
        event.seq,
        event.code,
        (datetime.fromisoformat(event.time) - _EPOCH) // _MILLISECOND,
        event.clock_ms,
        event.ns,
        event.cluster,
        event.key,
        cause.get("request_id", ""),
        cause.get("actor", ""),
        msgpack.packb(_sorted(event.payload)),
    )


def _sorted(value: Json) -> Json:
    """The same with its maps in the order of their keys' UTF-8 bytes, which is that of the text."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value
