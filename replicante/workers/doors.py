"""What the workers ask of the rooms beside them, by shape. `server` hands over the real ones.

Everything is called on the event loop's thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from replicante.agents.protocol import Look, Sent
from replicante.clock import Clock
from replicante.model.actions import NAction
from replicante.model.discovery import DiscoveredNode
from replicante.model.observation import Observation
from replicante.model.platform import Platform
from replicante.orchestrate.actions.oaction_kinds import PlatformCall
from replicante.platforms.client import PlatformSays
from replicante.storage.kv import View

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from replicante.telemetry.metrics import Metrics


class Proposed(Protocol):
    """outcome: what the state machine returned."""

    @property
    def outcome(self) -> bytes: ...


class PeerDoor(Protocol):
    """A peer of the Raft group. Awaitables hold their own time limit and may be cancelled."""

    async def propose(self, command: bytes, *, timeout_ms: int) -> Proposed:
        """Raises OutcomeUnknown, or a definite NoLeader, QueueFull, TooLarge, SessionEnded,
        PeerStopping, DiskFull. On return this peer has applied the command."""
        ...

    async def read_barrier(self, *, timeout_ms: int) -> int:
        """On return this peer has applied what was committed when it was called. Raises NoLeader,
        ReadTimeout, PeerStopping."""
        ...

    @property
    def peer_id(self) -> str: ...

    @property
    def is_leading(self) -> bool:
        """As far as this peer knows: nothing may depend on it for safety."""
        ...

    @property
    def clock_ms(self) -> int:
        """The cluster clock as this peer knows it; live on the leader."""
        ...


class StateDoor(Protocol):
    def view(self) -> View:
        """Taken, read and closed without an await in between."""
        ...


class AgentDoor(Protocol):
    """May overlap freely; never raises for what an agent does."""

    async def look(self, ask: Look, *, ca_bundle: str | None) -> Observation: ...

    async def submit(
        self,
        action: NAction,
        node: DiscoveredNode,
        *,
        epoch: int,
        begin_within_ms: int | None,
        ca_bundle: str | None,
    ) -> Sent:
        """begin_within_ms: the agent begins it in this time after it took it, or never; None: it
        may always begin."""
        ...

    async def cancel(
        self, action: NAction, node: DiscoveredNode, *, epoch: int, ca_bundle: str | None
    ) -> None: ...


class PlatformDoor(Protocol):
    """May overlap freely; never raises for what a platform does."""

    async def discover(self, platform: Platform) -> PlatformSays: ...

    async def carry_out(self, platform: Platform, call: PlatformCall) -> PlatformSays: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    peer: PeerDoor
    state: StateDoor
    agents: AgentDoor
    platforms: PlatformDoor
    clock: Clock
    metrics: Metrics
    log: FilteringBoundLogger
