"""What a simulated peer lives in, and who watches it.

Called by sim_peer and sim_cluster.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from replicante.errors import FatalError
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.log import WriteSet
from replicante.testing.clock import Schedule
from replicante.testing.sim_machine import Report
from replicante.testing.sim_network import SimNetwork
from replicante.testing.sim_options import Options, Site

if TYPE_CHECKING:
    from replicante.testing.sim_peer import SimPeer


class Phase(enum.Enum):
    DOWN = "down"
    STARTING = "starting"
    IDLE = "idle"
    WRITING = "writing"
    """A write is in flight; inputs wait."""


class Watcher(Protocol):
    """Everything that a peer does is shown to the checks before anything else happens."""

    def started(self, peer: SimPeer) -> None: ...

    def stepped(self, peer: SimPeer, effects: d.Effects, *, now_ms: int) -> None: ...

    def staged(self, peer: SimPeer, writes: WriteSet) -> None: ...

    def synced(self, peer: SimPeer, writes: WriteSet) -> None: ...

    def sent(self, peer: SimPeer, target: str, message: m.Message) -> None: ...

    def answered(self, peer: SimPeer, effects: d.Effects) -> None: ...

    def ended(self, peer: SimPeer) -> None: ...

    def failed(self, peer: SimPeer, error: FatalError) -> None:
        """In a step. Ends the peer; raises what was not to be expected."""
        ...

    def met(self, peer: SimPeer, stranger: str) -> None:
        """Links lead to somebody of another generation."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a peer lives in."""

    options: Options
    schedule: Schedule
    network: SimNetwork
    watcher: Watcher
    note: Callable[[str], None]
    count: Callable[[str], None]
    report: Report
    reached: Callable[[SimPeer, Site], bool]
    """Tells of a promise that has just been given; True when the peer ended because of it."""


def site_of(message: m.Message) -> Site | None:
    """What a peer has promised once `message` has left."""
    match message:  # what is sent most often is asked for first
        case m.Append():
            return Site.APPENDED if message.entries else Site.TOLD_COMMIT
        case m.VoteRequest():
            return Site.ASKED_FOR_VOTE
        case m.VoteReply(is_granted=True):
            return Site.VOTED
        case m.AppendAck(is_success=True):
            return Site.ACKNOWLEDGED
        case m.TimeoutNow():
            return Site.HANDED_OVER
        case _:
            return None
