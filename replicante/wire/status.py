"""Answers of /raft/status, /status and /introspect/*."""

from __future__ import annotations

import msgspec

from replicante.wire.values import Answer


class Digest(Answer, frozen=True, kw_only=True):
    """Order-free hash of all rows at an index: equal on all peers. value: hex."""

    index: int
    value: str


class QuarantineAnswer(Answer, frozen=True, kw_only=True):
    """The state of the answering peer at `index` is not the one that a majority of the voters has,
    which is `digest`: it serves nobody. way_out: what to do, in order."""

    index: int
    own_digest: str
    digest: str
    way_out: tuple[str, ...]


class RaftPeer(Answer, frozen=True, kw_only=True):
    """Another peer, or this one, as the answering peer sees it. level_max: highest feature level
    that it supports, null while unknown. differs_at: the index since which its state is known to be
    wrong."""

    peer: str
    incarnation: str
    raft_address: str
    http_address: str
    is_voter: bool
    is_connected: bool
    match_index: int | None = None
    level_max: int | None = None
    differs_at: int | None = None


class RaftStatus(Answer, frozen=True, kw_only=True):
    """GET /raft/status, always local. role: leader, follower, candidate or learner. digest: of
    the state as it is, up to 10,000 rows, else the newest of digests; digests: the last ones, at
    the same indexes on every peer, which compare them by themselves. disputed_index: the voters'
    states differ there and no majority says which is right."""

    peer: str
    role: str
    leader: str | None
    term: int
    commit_index: int
    applied_index: int
    digest: Digest | None
    peers: tuple[RaftPeer, ...]
    clock_ms: int
    durability: str
    digests: tuple[Digest, ...] = ()
    incarnation: str = ""
    cluster_name: str = ""
    cluster_id: str = ""
    generation: int = 0
    durable_index: int = 0
    first_index: int = 0
    last_index: int = 0
    staleness_ms: int | None = None
    is_ready: bool = False
    is_disk_full: bool = False
    pending_proposals_count: int = 0
    quarantine: QuarantineAnswer | None = None
    disputed_index: int | None = None


class StatusPeer(Answer, frozen=True, kw_only=True):
    peer: str
    url: str
    is_leader: bool
    is_voter: bool
    is_connected: bool
    differs_at: int | None = None
    """Its state is known to be wrong since this index."""


class StatusAnswer(Answer, frozen=True, kw_only=True):
    """GET /status: the short picture for people and load balancers, always local."""

    peer: str
    version: str
    cluster: str
    role: str
    leader: str | None
    leader_url: str | None
    term: int
    applied_index: int
    commit_index: int
    staleness_ms: int | None
    is_ready: bool
    not_ready_reason: str | None
    durability: str
    uptime: str
    peers: tuple[StatusPeer, ...]
    events_floor: str | None = None
    events_head: str | None = None
    capabilities: tuple[str, ...] = ()
    quarantine: QuarantineAnswer | None = None
    disputed_index: int | None = None


class HealthAnswer(Answer, frozen=True, kw_only=True):
    """GET /introspect/health (the process lives) and /introspect/ready (send it traffic)."""

    status: str
    reason: str | None = None
    peer: str = ""
    role: str = ""
    leader: str | None = None


class SelfAnswer(Answer, frozen=True, kw_only=True):
    peer: str
    incarnation: str
    cluster: str
    pid: int
    started: str
    uptime: str


class VersionAnswer(Answer, frozen=True, kw_only=True):
    version: str
    python: str
    api: str


class TaskAnswer(Answer, frozen=True, kw_only=True):
    name: str
    activity: str
    count: int = 1


class TasksAnswer(Answer, frozen=True, kw_only=True):
    tasks: tuple[TaskAnswer, ...] = msgspec.field(default=())
