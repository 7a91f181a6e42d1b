"""Requests and answers of the lease paths. Tokens are stamps: a later grant has a greater one."""

from __future__ import annotations

import msgspec

from replicante.wire.shapes import LeaseDuration, TokenText, WaitText
from replicante.wire.values import Answer, Json, Request


class LeaseAcquireBody(Request, frozen=True, kw_only=True):
    """duration: how long the lease lasts unless it is renewed. owner: attributes for people, they
    decide nothing. wait: how long to wait while it is held; nothing is written meanwhile."""

    duration: LeaseDuration
    owner: dict[str, Json] = msgspec.field(default_factory=dict)
    wait: WaitText = "0s"


class LeaseGrant(Answer, frozen=True, kw_only=True):
    """Answer to acquire and renew. expires_in: counted from before the request was sent, by the
    holder's monotonic clock; take 5 % and 250 ms off."""

    name: str
    token: str
    expires_in: str


class LeaseRenewBody(Request, frozen=True, kw_only=True):
    """duration: null keeps the one before."""

    token: TokenText
    duration: LeaseDuration | None = None


class LeaseReleaseBody(Request, frozen=True, kw_only=True):
    token: TokenText


class LeaseReleased(Answer, frozen=True, kw_only=True):
    """revision: stamp of the end."""

    name: str
    revision: str


class LeaseItem(Answer, frozen=True, kw_only=True):
    """A lease that is held. expires_in, held_for: by the cluster clock, as this peer knows it."""

    name: str
    token: str
    owner: dict[str, Json]
    duration: str
    expires_in: str
    held_for: str


class LeasePage(Answer, frozen=True, kw_only=True):
    """By name. next: cursor, null at the end; a page may hold fewer items than asked for."""

    items: tuple[LeaseItem, ...]
    next: str | None = None
