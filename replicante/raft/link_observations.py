"""What happens to the connections between peers, as plain values for logs, metrics and the engine.
Pure. Made by raft.links, raft.dialling and raft.transport; handed to the transport's `observe`.
Rule: `remote` and every reason are for people; programs compare the enums and the type.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from replicante.ids import Incarnation, PeerId
from replicante.raft.frames import Channel, FrameFault, RefusalCode


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUp:
    """Both ends accepted each other's greeting."""

    peer_id: PeerId
    incarnation: Incarnation
    channel: Channel
    is_inbound: bool
    """Inbound links are only read, outbound ones only written."""
    remote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDown:
    """A link that was up is no more."""

    peer_id: PeerId
    incarnation: Incarnation
    channel: Channel
    is_inbound: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRefused:
    """The operating system there answered that nobody listens: the process is gone, not slow.

    One for each attempt and channel.
    """

    peer_id: PeerId
    channel: Channel
    address: str
    reason: str
    follows_loss: bool
    """A link to this peer on this channel has stood before, so a process died rather than one
    has not started yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialFailed:
    """An attempt ended without a link for any other reason: name, route, time, broken greeting."""

    peer_id: PeerId
    channel: Channel
    address: str
    reason: str
    attempt: int
    """Counted since the last link or since the dialling began, from 1: logs may keep the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloRefused:
    """One side did not accept the other's greeting, or withdrew its consent."""

    peer_id: PeerId
    """As it calls itself, or as it was dialled when it gave no name."""
    channel: Channel
    is_inbound: bool
    is_ours: bool
    """True: this peer refused. False: the other one did."""
    code: RefusalCode
    message: str
    remote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityClash:
    """Another process claims this peer's id; with this peer's incarnation it runs on a copy of
    this data directory."""

    peer_id: PeerId
    incarnation: Incarnation
    remote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfDialled:
    """The address given for this peer leads back to the peer that dialled. Once per address."""

    peer_id: PeerId
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRejected:
    """Bytes that no peer sends, or damaged ones; the connection was dropped."""

    fault: FrameFault
    reason: str
    remote: str
    peer_id: PeerId | None
    """None: the other end had not named itself."""


class StrangerFault(enum.Enum):
    TOO_SLOW = "too_slow"
    """No whole greeting within the time for it."""
    TOO_MANY = "too_many"
    """The bound on inbound connections was reached; reported once until there is room again."""
    TLS = "tls"
    """The TLS greeting failed: no certificate, a wrong one, or no TLS at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrangerDropped:
    """An inbound connection was closed before it named itself."""

    fault: StrangerFault
    reason: str
    remote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxFull:
    """A peer takes frames too slowly: frames to it are dropped until half of the outbox left."""

    peer_id: PeerId
    channel: Channel


LinkObservation = (
    LinkUp
    | LinkDown
    | LinkRefused
    | DialFailed
    | HelloRefused
    | IdentityClash
    | SelfDialled
    | FrameRejected
    | StrangerDropped
    | OutboxFull
)
