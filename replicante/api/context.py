"""What every handler is given: the rooms behind the API, and what it knows of its own peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from replicante import limits
from replicante.api.backend import PeerDoor, RoomDoor, StateDoor
from replicante.api.bodies import Bodies
from replicante.clock import Clock
from replicante.entropy import Entropy
from replicante.raft.status import Status
from replicante.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from replicante.api.claim_waits import ClaimWaits
    from replicante.api.event_feed import EventFeed
    from replicante.api.lease_waits import LeaseWaits

STATUS_KEPT_MS = 10
"""Headers may show a leader this old; asking once a request would cost more than the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """is_authenticated: somebody in front of the API asks who the caller is; without it, only
    loopback requests are answered."""

    is_authenticated: bool = False
    requests_inflight_max: int = limits.REQUESTS_INFLIGHT_MAX
    streams_max: int = limits.EVENT_STREAMS_MAX
    heartbeat_ms: int = limits.EVENT_HEARTBEAT_MS
    stale_stream_ms: int = limits.STALE_STREAM_MS
    write_ms_max: int = limits.HTTP_WRITE_MS_MAX
    """A stream whose reader takes nothing for this long is cut off."""
    body_read_ms_max: int = limits.HTTP_BODY_READ_MS_MAX
    connections_max: int = limits.HTTP_CONNECTIONS_MAX
    slow_request_ms: int = 1_000
    """Requests that took longer are logged as warnings; those that wait by design are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerIdentity:
    """What does not change while the process runs."""

    version: str
    python: str
    pid: int
    started_wall_ms: int
    started_monotonic_ms: int


class Presence:
    """The peer's status, asked for at most once in STATUS_KEPT_MS."""

    def __init__(self, *, peer: PeerDoor, clock: Clock) -> None:
        self._peer = peer
        self._clock = clock
        self._status = peer.status()
        self._asked_ms = clock.monotonic_ms()

    def status(self) -> Status:
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._asked_ms >= STATUS_KEPT_MS:
            self._status = self._peer.status()
            self._asked_ms = now_ms
        return self._status


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    peer: PeerDoor
    state: StateDoor
    room: RoomDoor
    identity: PeerIdentity
    settings: ApiSettings
    clock: Clock
    entropy: Entropy
    metrics: Metrics
    log: FilteringBoundLogger
    presence: Presence
    feed: EventFeed
    lease_waits: LeaseWaits
    claim_waits: ClaimWaits
    openapi_json: bytes
    bodies: Bodies
