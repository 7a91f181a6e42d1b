"""Requests and answers of the paths that show and change the members of the control plane."""

from __future__ import annotations

from replicante.wire.shapes import AddressText, IncarnationText, PeerName, ValidText
from replicante.wire.status import RaftPeer
from replicante.wire.values import Answer, Request


class MembersAnswer(Answer, frozen=True, kw_only=True):
    """GET /raft/peers: the newest configuration in the log of the peer that answers."""

    leader: str | None
    peers: tuple[RaftPeer, ...]


class TokenBody(Request, frozen=True, kw_only=True):
    """id: name of the new peer. valid: how long the token is good, at most 7 days."""

    id: PeerName
    valid: ValidText = "1h"


class TokenAnswer(Answer, frozen=True, kw_only=True):
    """token: for one start of an empty data directory of this peer, once."""

    id: str
    token: str
    valid: str


class LearnerBody(Request, frozen=True, kw_only=True):
    """A learner without a token: whoever asks vouches for it. incarnation: 32 hex digits, of its
    data directory. address: where other peers reach it."""

    id: PeerName
    incarnation: IncarnationText
    address: AddressText


class ChangeAnswer(Answer, frozen=True, kw_only=True):
    """index: the entry whose configuration holds the change."""

    id: str
    index: int


class TransferBody(Request, frozen=True, kw_only=True):
    """to: the voter that shall lead; null for whoever is most complete."""

    to: PeerName | None = None


class TransferAnswer(Answer, frozen=True, kw_only=True):
    """leader: as the peer that answers sees it now."""

    leader: str | None
