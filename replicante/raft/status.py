"""What a peer says about itself: plain values for `status()`, the API and logs. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from replicante.errors import Quarantined

WAY_OUT = (
    "stop this peer and move its data directory away; keep it, to find out what went wrong",
    "remove it from the group and let it join again, empty, as a new learner",
)
"""Of a quarantine."""


class Role(enum.Enum):
    LEADER = "leader"
    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEARNER = "learner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """The state of this peer is not the one that a majority of the voters has: it serves nobody,
    until its directory is replaced (ADR 0044)."""

    index: int
    own_digest: str
    digest: str
    """That of the majority."""

    def error(self) -> Quarantined:
        """What every caller is told."""
        return Quarantined(
            hints=WAY_OUT, since_index=self.index, own_digest=self.own_digest, digest=self.digest
        )


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
    level_max: int | None = None
    """Highest level of its state machine, as it said; None: not heard yet."""
    differs_at: int | None = None
    """Its state is known to be wrong since this index."""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """Then, the digests at that index by peer id, as far as this peer had heard them."""


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
    quarantine: Quarantine | None = None
    disputed_index: int | None = None
    """The states of the voters differ there, and no majority says which is right."""
