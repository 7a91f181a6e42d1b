"""What a peer says about itself: plain values for `status()`, the API and logs. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Role(enum.Enum):
    LEADER = "leader"
    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEARNER = "learner"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerInfo:
    """Another peer, or this one, as this peer sees it."""

    peer_id: str
    incarnation: str
    raft_address: str
    http_address: str
    """Empty until the peer has said hello."""
    is_voter: bool
    is_connected: bool
    match_index: int | None
    """Newest entry that this follower is known to hold durably; None unless this peer leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    peer_id: str
    incarnation: str
    cluster_name: str
    cluster_id: str
    """Empty before genesis."""
    generation: int
    role: Role
    leader_id: str | None
    term: int
    commit_index: int
    applied_index: int
    durable_index: int
    """The state machine's own durable index; the log replays the rest."""
    first_index: int
    last_index: int
    """Newest entry in this peer's log, durable or not."""
    clock_ms: int
    staleness_ms: int | None
    """Upper bound of the age of this peer's applied state by echo (ADR 0009); 0 is never
    claimed, None is unknown."""
    is_ready: bool
    """Knows a leader and has applied what was committed when it joined it."""
    is_disk_full: bool
    is_log_full: bool
    """Its log has reached `log_map_bytes`: it stands still until it starts with a larger one."""
    durability: str
    """`fsync`: an acknowledgement means that a majority has the write on disk."""
    pending_proposals_count: int
    peers: tuple[PeerInfo, ...]
