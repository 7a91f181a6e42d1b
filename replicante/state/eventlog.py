"""One event as a row and as a value, and what a reader may ask the log to leave out. Pure.

Written by `writer`, read by `queries` and `invariants`. ADR 0007.

Row: the chain (16 bytes), then the body, a msgpack array [layout, id, seq, code, wall_ms, clock_ms,
ns, cluster, key, request_id, actor, payload], payload being canonical bytes in a bin. The chain of
an event is blake2b-128(chain of the event before + body); before the first it is 16 zeros. So one
chain value says that two logs agree on everything up to it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

import msgpack
import msgspec

from replicante.errors import FatalError
from replicante.ids import Index, Stamp, stamp_index
from replicante.limits import EVENT_FILTER_CODES_MAX
from replicante.model.codec import Value, load_value
from replicante.state.tables import CHAIN_BYTES

LAYOUT: Final = 1
BODY_FIELDS: Final = 12
_pack = msgpack.Packer(use_bin_type=True).pack


class EventCode(enum.StrEnum):
    """Every code that apply emits. A code is never reused; one that is no longer emitted stays."""

    RAFT_GENESIS = "RAFT_GENESIS"
    """The control plane was born. payload: cluster, cluster_id, voters."""
    RAFT_TERM_STARTED = "RAFT_TERM_STARTED"
    """A leader began. payload: leader, term."""
    RAFT_CONFIGURATION_CHANGED = "RAFT_CONFIGURATION_CHANGED"
    """Membership. payload: voters, learners."""
    RAFT_ENTRY_SKIPPED = "RAFT_ENTRY_SKIPPED"
    """An operator declared an entry void. payload: reason, chain (of the entry that it was)."""
    RAFT_RECOVERED = "RAFT_RECOVERED"
    """A generation began: history went on from a backup (restored) or from a survivor (forced), and
    what came after last_index before is lost. payload: recovery (how, from, generation, last_index,
    last_term, reason), voters, ended (how many claims, leases and sessions; each has its event)."""
    RAFT_PEER_QUARANTINED = "RAFT_PEER_QUARANTINED"
    """A peer's state is not what a majority of the voters has: it serves nobody any more. key: its
    id. payload: incarnation, index (at which that was found), digests (by peer, of that index, as
    the leader had heard them), revision."""
    FEATURE_LEVEL_RAISED = "FEATURE_LEVEL_RAISED"
    """payload: before, after."""
    EVENT_RETENTION_SET = "EVENT_RETENTION_SET"
    """payload: count_max, bytes_max, age_ms_max."""
    EVENT_CONSUMER_CREATED = "EVENT_CONSUMER_CREATED"
    """key: the consumer's name. payload: position, revision. Its moves emit nothing."""
    EVENT_CONSUMER_DELETED = "EVENT_CONSUMER_DELETED"
    """payload: position, revision."""
    EVENT_CONSUMER_EXPIRED = "EVENT_CONSUMER_EXPIRED"
    """It holds the log no longer. payload: position, reason (silence or bytes), revision,
    silent_ms."""
    KV_PUT = "KV_PUT"
    """key: the record's. payload: revision, previous (null: it is new), value; instead of a value
    above EVENT_VALUE_BYTES_MAX only value_bytes, its size; lease, when it is bound to one."""
    KV_DELETED = "KV_DELETED"
    """payload: revision (of the deletion), previous; lease, when its end took the record."""
    NAMESPACE_APPLY = "NAMESPACE_APPLY"
    """Created or replaced. payload: revision, previous, finalisers, spec."""
    NAMESPACE_DELETE_REQUESTED = "NAMESPACE_DELETE_REQUESTED"
    """It is Deleting now. payload: revision, previous, finalisers (what holds it)."""
    NAMESPACE_DELETED = "NAMESPACE_DELETED"
    """It is gone. payload: revision (of the removal), previous."""
    PLATFORM_APPLY = "PLATFORM_APPLY"
    """Created or replaced. payload: revision, previous, finalisers, spec; labels, when it has
    any."""
    PLATFORM_DELETE_REQUESTED = "PLATFORM_DELETE_REQUESTED"
    """As NAMESPACE_DELETE_REQUESTED."""
    PLATFORM_DELETED = "PLATFORM_DELETED"
    """As NAMESPACE_DELETED."""
    CLUSTER_SPEC_APPLY = "CLUSTER_SPEC_APPLY"
    """As PLATFORM_APPLY."""
    CLUSTER_DISCOVERY_SYNTHETIC = "CLUSTER_DISCOVERY_SYNTHETIC"
    """A platform knows of a cluster that nobody declared: it got a spec of defaults, in observe
    mode. payload as PLATFORM_APPLY."""
    CLUSTER_SPEC_DELETE_REQUESTED = "CLUSTER_SPEC_DELETE_REQUESTED"
    """It is Deleting now: its records go, then itself. payload as NAMESPACE_DELETE_REQUESTED."""
    CLUSTER_SPEC_DELETED = "CLUSTER_SPEC_DELETED"
    """As NAMESPACE_DELETED."""
    ORCHESTRATE_REQUESTED = "ORCHESTRATE_REQUESTED"
    """Somebody wants a cycle of the cluster now. payload: revision."""
    DISCOVER_REQUESTED = "DISCOVER_REQUESTED"
    """Somebody wants the platform to be asked now. payload: revision."""
    LEASE_ACQUIRED = "LEASE_ACQUIRED"
    """key: the lease's name. payload: token, duration_ms, owner. Renewals emit nothing."""
    LEASE_RELEASED = "LEASE_RELEASED"
    """Its holder gave it back. payload: token, owner, revision (of the end)."""
    LEASE_EXPIRED = "LEASE_EXPIRED"
    """It ran out by the cluster clock. payload as LEASE_RELEASED."""
    LEASE_FORCE_RELEASED = "LEASE_FORCE_RELEASED"
    """It was taken from its holder. payload as LEASE_RELEASED, and reason."""
    JOB_ENQUEUED = "JOB_ENQUEUED"
    """key: the queue's name, here and below. payload: id, priority, group, dedup, delay_ms."""
    JOB_CLAIMED = "JOB_CLAIMED"
    """payload: id, token, attempt, worker, visibility_ms. Extensions emit nothing."""
    JOB_ACKED = "JOB_ACKED"
    """It is done and gone. payload: id, token, attempt, worker, operations (how many came with
    it, in the same write)."""
    JOB_RETURNED = "JOB_RETURNED"
    """A claim ended without an acknowledgement and the job waits again. payload: id, token,
    attempt, worker, how (nack, timeout, lease), reason."""
    JOB_DEAD = "JOB_DEAD"
    """The last attempt ended so: it is a dead letter. payload as JOB_RETURNED."""
    JOB_REDRIVEN = "JOB_REDRIVEN"
    """A dead letter waits again, with all its attempts. payload: id."""
    QUEUE_PAUSED = "QUEUE_PAUSED"
    """payload: reason."""
    QUEUE_RESUMED = "QUEUE_RESUMED"
    """payload: paused_ms (how long it was paused)."""
    QUEUE_PURGED = "QUEUE_PURGED"
    """Jobs were removed. payload: count, dead (else waiting ones), first, last (ids), reason."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One fact, as stored."""

    id: Stamp
    seq: int
    """Counts every event without gaps, from 1."""
    chain: bytes
    code: str
    """An EventCode; text, because a newer peer may have stored one that we do not know."""
    wall_ms: int
    """By the leader's wall clock, for people."""
    clock_ms: int
    """By the cluster clock."""
    ns: str | None
    cluster: str | None
    key: str | None
    """What it is about within its kind: a kv key, an object's name."""
    request_id: str
    """Of the request that caused it; "" when the control plane did."""
    actor: str
    payload: bytes
    """Canonical bytes of a map."""

    @property
    def index(self) -> Index:
        return stamp_index(self.id)

    @property
    def cause(self) -> dict[str, str] | None:
        """None when the control plane acted on its own."""
        if not self.request_id and not self.actor:
            return None
        return {"actor": self.actor, "request_id": self.request_id}

    def payload_value(self) -> Value:
        return load_value(self.payload)


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader wants to see; None or empty: everything."""

    codes: tuple[str, ...] = ()
    """An event passes when its code begins with one of these; at most EVENT_FILTER_CODES_MAX."""
    ns: str | None = None
    cluster: str | None = None
    key_prefix: str | None = None

    def __post_init__(self) -> None:
        assert len(self.codes) <= EVENT_FILTER_CODES_MAX, "checked by the API"

    def passes(self, event: Event) -> bool:
        if self.codes and not event.code.startswith(self.codes):
            return False
        if self.ns is not None and event.ns != self.ns:
            return False
        if self.cluster is not None and event.cluster != self.cluster:
            return False
        prefix = self.key_prefix
        return prefix is None or (event.key is not None and event.key.startswith(prefix))


def pack_payload(fields: Mapping[str, object]) -> bytes:
    """The canonical bytes of a payload that is canonical as it stands: names in order, values of
    our own making or admitted before."""
    assert list(fields) == sorted(fields), "canonical maps are sorted"
    packed: bytes = _pack(fields)
    return packed


def read_event(row: bytes) -> Event:
    """Raises FatalError when the row is no event."""
    fields: list[Any] = msgpack.unpackb(row[CHAIN_BYTES:])
    if fields[0] != LAYOUT or len(fields) != BODY_FIELDS:
        raise FatalError(f"an event row of layout {fields[0]} with {len(fields)} fields")
    return Event(
        id=fields[1],
        seq=fields[2],
        chain=row[:CHAIN_BYTES],
        code=fields[3],
        wall_ms=fields[4],
        clock_ms=fields[5],
        ns=fields[6],
        cluster=fields[7],
        key=fields[8],
        request_id=fields[9],
        actor=fields[10],
        payload=fields[11],
    )
