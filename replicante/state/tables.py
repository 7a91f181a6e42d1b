"""Names every table of the replicated state and turns its rows into values and back. Pure.

Called by `machine` and the apply files (writes), `queries` (reads), `invariants` and `digest`.

Rules: a table byte and a row layout are stored on disk: never reused; a new layout has a new number
in front. Nothing that differs between peers is ever stored here: rows are compared.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import msgpack
import msgspec

from replicante.errors import FatalError
from replicante.ids import Stamp
from replicante.limits import (
    EVENTS_KEPT_BYTES_DEFAULT,
    EVENTS_KEPT_COUNT_DEFAULT,
    EVENTS_KEPT_MS_DEFAULT,
    ROW_KEY_BYTES_MAX,
)
from replicante.model.codec import load_value
from replicante.model.objects import ObjectKind, StoredObject
from replicante.state.levels import LEVEL_FIRST
from replicante.state.queue_tables import QUEUE_TABLES
from replicante.state.record_tables import ALL_RECORD_TABLES
from replicante.storage.keys import encode_key

META: Final = b"\x01"
"""str name → COUNTERS_KEY, RETENTION_KEY, FORKS_KEY (`forks`), QUARANTINES_KEY
(`apply_quarantines`) only."""
SESSIONS: Final = b"\x02"
"""bytes → bytes, owned by the forwarding sessions of `raft`."""
REQUESTS: Final = b"\x03"
"""str Idempotency-Key → RequestRecord."""
REQUESTS_BY_CLOCK: Final = b"\x04"
"""(int recorded_ms, str key) → empty: the order in which requests are forgotten."""
EVENTS: Final = b"\x05"
"""int stamp → chain, then body (`eventlog`)."""
CONSUMERS: Final = b"\x06"
"""str name → ConsumerRow (`consumers`)."""
KV: Final = b"\x10"
"""bytes key → KvRecord."""
NAMESPACES: Final = b"\x11"
"""str name → StoredObject."""
LEASES: Final = b"\x12"
"""str name → LeaseRow."""
LEASES_BY_DEADLINE: Final = b"\x13"
"""(int deadline_ms, str name) → empty: the order in which leases run out."""
LEASES_BY_TOKEN: Final = b"\x14"
"""int token → name, of every lease."""
LEASE_RECORDS: Final = b"\x15"
"""(int token, bytes key) → empty: the records that are bound to a grant."""
LEASES_ENDED: Final = b"\x16"
"""int token → empty: grants that are over and have left records behind."""
PLATFORMS: Final = b"\x30"
"""(str ns, str name) → StoredObject."""
CLUSTER_SPECS: Final = b"\x31"
"""(str ns, str cluster) → StoredObject."""

OBJECT_TABLES: Final[dict[ObjectKind, bytes]] = {
    ObjectKind.NAMESPACE: NAMESPACES,
    ObjectKind.PLATFORM: PLATFORMS,
    ObjectKind.CLUSTER_SPEC: CLUSTER_SPECS,
}
ALL_TABLES: Final = (
    META,
    SESSIONS,
    REQUESTS,
    REQUESTS_BY_CLOCK,
    EVENTS,
    CONSUMERS,
    KV,
    *OBJECT_TABLES.values(),
    LEASES,
    LEASES_BY_DEADLINE,
    LEASES_BY_TOKEN,
    LEASE_RECORDS,
    LEASES_ENDED,
    *ALL_RECORD_TABLES,
    *QUEUE_TABLES,
)

OBJECT_KEY_BYTES_MAX: Final = ROW_KEY_BYTES_MAX - 3
"""Leaves room for the end of a part and one byte more, so that a scan can begin after any key."""

COUNTERS_KEY: Final = encode_key(META, "counters")
RETENTION_KEY: Final = encode_key(META, "retention")
FORKS_KEY: Final = encode_key(META, "forks")
QUARANTINES_KEY: Final = encode_key(META, "quarantines")
META_KEYS: Final = (COUNTERS_KEY, RETENTION_KEY, FORKS_KEY, QUARANTINES_KEY)

CHAIN_BYTES: Final = 16
CHAIN_START: Final = bytes(CHAIN_BYTES)

_LAYOUT: Final = 1
KV_PLAIN: Final = _LAYOUT
"""First byte of a kv row that is bound to no lease."""
_KV_HEAD: Final = struct.Struct(">BQ")
_KV_HEAD_BYTES: Final = _KV_HEAD.size
_pack_kv_head = _KV_HEAD.pack
_read_kv_head = _KV_HEAD.unpack_from
_LAYOUT_LABELLED: Final = 2
"""Of an object row that ends with labels."""
_LAYOUT_BOUND: Final = 2
_KV_BOUND_HEAD: Final = struct.Struct(">BQQ")
"""Layout, revision, token of the lease."""
_pack = msgpack.Packer(use_bin_type=True).pack


@dataclass(slots=True, kw_only=True)
class Counters:
    """What is known of the whole state; one row, rewritten by every entry. Mutable: owned by the
    machine between begin and end."""

    index: int = 0
    """Of the last entry: the row itself says to which entry these tables belong."""
    feature_level: int = LEVEL_FIRST
    clock_ms: int = 0
    """The cluster clock."""
    events_seq: int = 0
    """seq of the last event ever; the first has 1."""
    events_chain: bytes = CHAIN_START
    """chain of the last event ever."""
    events_head: int = 0
    """id of the last event ever."""
    events_floor: int = 0
    """id of the last event that was removed: everything after it is kept."""
    events_floor_chain: bytes = CHAIN_START
    """chain of that event, so that the kept ones can be verified."""
    events_count: int = 0
    events_bytes: int = 0
    """Keys and values of the kept events as stored."""
    requests_count: int = 0
    requests_horizon_ms: int = -1
    """Requests recorded at or before this cluster time may have been forgotten."""
    kv_count: int = 0
    kv_bytes: int = 0
    """Keys and values of kv rows as stored."""
    objects_count: int = 0

    def to_row(self) -> bytes:
        row: bytes = _pack(
            (
                _LAYOUT,
                self.index,
                self.feature_level,
                self.clock_ms,
                self.events_seq,
                self.events_chain,
                self.events_head,
                self.events_floor,
                self.events_floor_chain,
                self.events_count,
                self.events_bytes,
                self.requests_count,
                self.requests_horizon_ms,
                self.kv_count,
                self.kv_bytes,
                self.objects_count,
            )
        )
        return row

    @classmethod
    def from_row(cls, row: bytes | None) -> Counters:
        """row: None for a state without entries."""
        if row is None:
            return cls()
        names = cls.__slots__
        return cls(**dict(zip(names, _fields(row, count=len(names)), strict=True)))


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the event log is kept; each bound on its own removes the oldest."""

    count_max: int = EVENTS_KEPT_COUNT_DEFAULT
    bytes_max: int = EVENTS_KEPT_BYTES_DEFAULT
    age_ms_max: int = EVENTS_KEPT_MS_DEFAULT

    def to_row(self) -> bytes:
        row: bytes = _pack((_LAYOUT, self.count_max, self.bytes_max, self.age_ms_max))
        return row

    @classmethod
    def from_row(cls, row: bytes | None) -> Retention:
        if row is None:
            return cls()
        count_max, bytes_max, age_ms_max = _fields(row, count=3)
        return cls(count_max=count_max, bytes_max=bytes_max, age_ms_max=age_ms_max)


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a request with an Idempotency-Key."""

    recorded_ms: int
    """Cluster time of the entry that carried it."""
    index: int
    """That entry."""
    fingerprint: bytes
    outcome: bytes
    """As `outcome.encode_outcome` made it."""


def kv_key(key: bytes) -> bytes:
    return KV + key


def kv_row(*, revision: int, value: bytes, lease: int | None = None) -> bytes:
    """lease: token of the grant that the record is bound to."""
    if lease is not None:
        return _KV_BOUND_HEAD.pack(_LAYOUT_BOUND, revision, lease) + value
    return _pack_kv_head(_LAYOUT, revision) + value


def kv_revision(row: bytes) -> int:
    """Raises FatalError when the row is no kv row."""
    if len(row) <= _KV_HEAD_BYTES or not _LAYOUT <= row[0] <= _LAYOUT_BOUND:
        raise FatalError(f"a kv row of {len(row)} bytes and layout {row[:1].hex()}")
    revision: int = _read_kv_head(row)[1]
    return revision


def kv_value(row: bytes) -> bytes:
    return row[_KV_HEAD_BYTES if row[0] == _LAYOUT else _KV_BOUND_HEAD.size :]


def kv_lease(row: bytes) -> int | None:
    """Token of the grant that the record is bound to."""
    if row[0] != _LAYOUT_BOUND:
        return None
    lease: int = _KV_BOUND_HEAD.unpack_from(row)[2]
    return lease


def object_key(kind: ObjectKind, scope: tuple[str, ...]) -> bytes:
    return encode_key(OBJECT_TABLES[kind], *scope)


def object_row(
    *,
    revision: int,
    created: int,
    is_deleting: bool,
    finalisers: tuple[str, ...],
    spec: bytes,
    labels: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """spec: canonical bytes."""
    fields = (revision, created, is_deleting, finalisers, spec)
    row: bytes = _pack((_LAYOUT_LABELLED, *fields, labels) if labels else (_LAYOUT, *fields))
    return row


class ObjectRow(msgspec.Struct, frozen=True, kw_only=True):
    """An object row with its spec still packed, as apply compares it."""

    revision: int
    created: int
    is_deleting: bool
    finalisers: tuple[str, ...]
    spec: bytes
    labels: tuple[tuple[str, str], ...] = ()


def read_object_row(row: bytes) -> ObjectRow:
    fields = msgpack.unpackb(row)
    if fields[0] == _LAYOUT_LABELLED and len(fields) == 7:
        _, revision, created, is_deleting, finalisers, spec, labels = fields
    else:
        (revision, created, is_deleting, finalisers, spec), labels = _fields(row, count=5), ()
    return ObjectRow(
        revision=revision,
        created=created,
        is_deleting=is_deleting,
        finalisers=tuple(finalisers),
        spec=spec,
        labels=tuple((name, value) for name, value in labels),
    )


def stored_object(kind: ObjectKind, scope: tuple[str, ...], row: bytes) -> StoredObject:
    read = read_object_row(row)
    return StoredObject(
        kind=kind,
        scope=scope,
        revision=Stamp(read.revision),
        created=Stamp(read.created),
        is_deleting=read.is_deleting,
        finalisers=read.finalisers,
        labels=dict(read.labels),
        spec=load_value(read.spec),
    )


class LeaseRow(msgspec.Struct, frozen=True, kw_only=True):
    """One lease that was granted and has not been seen to end."""

    token: int
    """Stamp of the grant."""
    duration_ms: int
    deadline_ms: int
    """Cluster time from which on nobody holds it."""
    acquired_ms: int
    owner: bytes
    """Canonical bytes of a map."""


def lease_key(name: str) -> bytes:
    return encode_key(LEASES, name)


def lease_deadline_key(deadline_ms: int, name: str) -> bytes:
    return encode_key(LEASES_BY_DEADLINE, deadline_ms, name)


def lease_token_key(token: int) -> bytes:
    return encode_key(LEASES_BY_TOKEN, token)


def lease_record_key(token: int, key: bytes) -> bytes:
    return encode_key(LEASE_RECORDS, token, key)


def lease_ended_key(token: int) -> bytes:
    return encode_key(LEASES_ENDED, token)


def lease_row(lease: LeaseRow) -> bytes:
    row: bytes = _pack(
        (
            _LAYOUT,
            lease.token,
            lease.duration_ms,
            lease.deadline_ms,
            lease.acquired_ms,
            lease.owner,
        )
    )
    return row


def read_lease_row(row: bytes) -> LeaseRow:
    token, duration_ms, deadline_ms, acquired_ms, owner = _fields(row, count=5)
    return LeaseRow(
        token=token,
        duration_ms=duration_ms,
        deadline_ms=deadline_ms,
        acquired_ms=acquired_ms,
        owner=owner,
    )


def request_key(key: str) -> bytes:
    return encode_key(REQUESTS, key)


def request_clock_key(recorded_ms: int, key: str) -> bytes:
    return encode_key(REQUESTS_BY_CLOCK, recorded_ms, key)


def request_row(record: RequestRecord) -> bytes:
    row: bytes = _pack(
        (_LAYOUT, record.recorded_ms, record.index, record.fingerprint, record.outcome)
    )
    return row


def read_request_row(row: bytes) -> RequestRecord:
    recorded_ms, index, fingerprint, outcome = _fields(row, count=4)
    return RequestRecord(
        recorded_ms=recorded_ms, index=index, fingerprint=fingerprint, outcome=outcome
    )


def event_key(stamp: int) -> bytes:
    return EVENTS + stamp.to_bytes(8, "big")


def _fields(row: bytes, *, count: int) -> list[Any]:
    """The fields after the layout number.  Raises FatalError: rows are ours, so they are right."""
    fields = msgpack.unpackb(row)
    if fields[0] != _LAYOUT or len(fields) != count + 1:
        raise FatalError(f"a row of layout {fields[0]} with {len(fields) - 1} fields, not {count}")
    del fields[0]
    assert isinstance(fields, list)
    return fields
