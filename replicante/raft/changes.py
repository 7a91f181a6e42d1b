"""Which change of the members may follow which configuration (ADR 0021). Pure; called by changing.

Rule: a change adds or removes one voter at most, so that any two majorities of a configuration and
the next one share a voter (thesis §4.1). Who joins comes as a learner.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from replicante import limits
from replicante.errors import MembershipRefused, ReplicanteError
from replicante.raft import messages as m
from replicante.raft.membership import Configuration, Invitation, Member


class ChangeKind(enum.IntEnum):
    """On the wire: a number is never reused."""

    INVITE = 1
    ADD_LEARNER = 2
    PROMOTE = 3
    REMOVE = 4
    TRANSFER = 5
    """No configuration: leadership goes to the peer, or to whoever is most complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    kind: ChangeKind
    peer_id: str
    """Empty for TRANSFER to anybody."""
    incarnation: str = ""
    """Which data directory of that peer; empty for INVITE."""
    address: str = ""
    """ADD_LEARNER: where other peers reach it."""
    digest: str = ""
    """INVITE: of the secret. ADD_LEARNER: of the one that it came with; empty when an operator
    vouches for it."""
    valid_ms: int = 0
    """INVITE: how long, by the cluster clock."""

    @property
    def key(self) -> str:
        return f"{self.peer_id}/{self.incarnation}"


@dataclass(frozen=True, slots=True)
class ChangeDone:
    """index: of the configuration that holds the change; 0 for TRANSFER."""

    ticket: int
    index: int
    error: ReplicanteError | None = None


def is_made(configuration: Configuration, change: Change) -> bool:
    """There is nothing left to do."""
    match change.kind:
        case ChangeKind.INVITE:
            return any(it.digest == change.digest for it in configuration.invited)
        case ChangeKind.ADD_LEARNER:
            return configuration.find(change.key) is not None
        case ChangeKind.PROMOTE:
            return configuration.is_voter(change.key)
        case ChangeKind.REMOVE:
            return configuration.find(change.key) is None
        case ChangeKind.TRANSFER:
            return False


def changed(configuration: Configuration, change: Change, *, clock_ms: int) -> Configuration:
    """The configuration with this change, which `is_made` denies of it. Invitations that ran out
    are dropped on the way. Raises MembershipRefused."""
    invited = tuple(it for it in configuration.invited if it.until_clock_ms > clock_ms)
    configuration = replace(configuration, invited=invited)
    match change.kind:
        case ChangeKind.INVITE:
            return _invite(configuration, change, clock_ms=clock_ms)
        case ChangeKind.ADD_LEARNER:
            return _add_learner(configuration, change)
        case ChangeKind.PROMOTE:
            return _promote(configuration, change)
        case _:
            return _remove(configuration, change)


def _invite(configuration: Configuration, change: Change, *, clock_ms: int) -> Configuration:
    others = tuple(it for it in configuration.invited if it.peer_id != change.peer_id)
    if len(others) >= limits.PEERS_MAX:
        raise MembershipRefused(f"{len(others)} peers are invited already; wait, or let them join")
    fresh = Invitation(change.peer_id, change.digest, clock_ms + change.valid_ms)
    return replace(configuration, invited=(*others, fresh))


def _add_learner(configuration: Configuration, change: Change) -> Configuration:
    token = next((it for it in configuration.invited if it.peer_id == change.peer_id), None)
    if change.digest and (token is None or token.digest != change.digest):
        raise MembershipRefused(
            f"this token of {change.peer_id} was used, has run out, or was replaced by a newer one",
            hints=(f"make another: replicante raft token {change.peer_id}",),
        )
    if configuration.find_peer(change.peer_id) is not None:
        raise MembershipRefused(
            f"{change.peer_id} is a member with another data directory",
            hints=(f"remove it first: replicante raft remove {change.peer_id}",),
        )
    if len(configuration.members) >= limits.PEERS_MAX:
        raise MembershipRefused(
            f"there are {limits.PEERS_MAX} members already, the most there may be"
        )
    learner = Member(change.peer_id, change.incarnation, change.address)
    invited = tuple(it for it in configuration.invited if it != token)
    return replace(configuration, learners=(*configuration.learners, learner), invited=invited)


def _promote(configuration: Configuration, change: Change) -> Configuration:
    learner = configuration.find(change.key)
    if learner is None:
        raise MembershipRefused(f"{change.peer_id} is no learner of this cluster")
    return replace(
        configuration,
        voters=(*configuration.voters, learner),
        learners=tuple(it for it in configuration.learners if it != learner),
    )


def _remove(configuration: Configuration, change: Change) -> Configuration:
    left = replace(
        configuration,
        voters=tuple(it for it in configuration.voters if it.key != change.key),
        learners=tuple(it for it in configuration.learners if it.key != change.key),
        former=(*configuration.former, change.incarnation)[-limits.MEMBERS_FORMER_MAX :],
    )
    if not left.voters:
        raise MembershipRefused(
            f"{change.peer_id} is the last voter: without it there is no cluster",
            hints=("promote another peer first", "or stop this peer"),
        )
    return left


def encode_change(change: Change, *, term: int, number: int) -> m.ChangeRequest:
    return m.ChangeRequest(
        term=term,
        number=number,
        kind=int(change.kind),
        peer_id=change.peer_id,
        incarnation=change.incarnation,
        address=change.address,
        digest=change.digest,
        valid_ms=change.valid_ms,
    )


def decode_change(request: m.ChangeRequest) -> Change | None:
    """None for a kind that this version does not know."""
    if request.kind not in _KINDS:
        return None
    return Change(
        kind=ChangeKind(request.kind),
        peer_id=request.peer_id,
        incarnation=request.incarnation,
        address=request.address,
        digest=request.digest,
        valid_ms=request.valid_ms,
    )


_KINDS = frozenset(ChangeKind)
