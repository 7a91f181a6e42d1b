"""What a peer reports about itself while it runs: plain values for logs and metrics, never for
decisions. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from replicante.raft.link_observations import LinkObservation
from replicante.raft.status import Quarantine, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChanged:
    before: Role
    after: Role
    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderChanged:
    leader_key: str | None
    """`peer/incarnation`; None: no leader is known any more."""
    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationChanged:
    """The newest configuration in this peer's log is another one; it may not be committed yet."""

    index: int
    voters: tuple[str, ...]
    learners: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Born:
    """Genesis is written here, or was adopted."""

    cluster_id: str
    voters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingForPeers:
    """Genesis needs every listed peer; these have not been seen."""

    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFullChanged:
    is_full: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBoundReached:
    """The log has no room within its bound, whatever the disk has; a larger bound needs a start."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRefused:
    """Another peer will not talk to this one, or the other way round; `message` says what to
    do."""

    peer_id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitDone:
    """One durable write of the log."""

    records_count: int
    duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMade:
    """A copy of the state, for followers that lack what was trimmed."""

    index: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFailed:
    """It is tried again by itself; nothing was changed."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotResumed:
    """What an earlier process of this peer received of the leader's copy was found sound: it goes
    on behind `offset`."""

    index: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotInstalled:
    """The state of this peer was replaced by the leader's, as of `index`."""

    index: int
    before_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StateQuarantined:
    """This peer's state is not what a majority of the voters has: from now on it serves nobody."""

    quarantine: Quarantine


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDiffers:
    """Another peer's state is not what a majority of the voters has at `index`, or it says so."""

    peer_id: str
    incarnation: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatesDisputed:
    """Voters have different states at `index`, none of them a majority: nobody can tell which is
    right, so nobody is quarantined and nobody hands its state on."""

    index: int


Observation = (
    RoleChanged
    | LeaderChanged
    | ConfigurationChanged
    | Born
    | WaitingForPeers
    | DiskFullChanged
    | LogBoundReached
    | PeerRefused
    | CommitDone
    | SnapshotMade
    | SnapshotFailed
    | SnapshotResumed
    | SnapshotInstalled
    | StateQuarantined
    | StateDiffers
    | StatesDisputed
    | LinkObservation
)
