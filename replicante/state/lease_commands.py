"""What can be done with a lease, as values, and their fields in a packed command. Pure.

Part of `commands`, which knows the tags. A lease is held by a token, the stamp of the grant; who
the holder is to people stands in `owner` and decides nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from replicante.limits import NAME_BYTES_MAX


class LeaseAcquire(msgspec.Struct, frozen=True):
    """Takes a lease that nobody holds; Rejected lease_held else, also to the holder itself."""

    name: str
    duration_ms: int
    """LEASE_MS_MIN to LEASE_MS_MAX of cluster time from the entry that grants it."""
    owner: bytes
    """Canonical bytes of a map, at most LEASE_OWNER_BYTES_MAX."""


class LeaseRenew(msgspec.Struct, frozen=True):
    """Begins the duration anew; Rejected stale_token when the token does not hold the lease."""

    name: str
    token: int
    duration_ms: int | None = None
    """None: as long as before."""


class LeaseRelease(msgspec.Struct, frozen=True):
    """Gives the lease back; Rejected stale_token when the token does not hold it."""

    name: str
    token: int


class LeaseForceRelease(msgspec.Struct, frozen=True):
    """Takes the lease from whoever holds it; Rejected not_found when nobody does."""

    name: str
    reason: str
    """For the event; 1 to LEASE_REASON_BYTES_MAX bytes."""


LeaseCommand = LeaseAcquire | LeaseRenew | LeaseRelease | LeaseForceRelease


def pack_lease_fields(command: LeaseCommand) -> list[Any]:
    match command:
        case LeaseAcquire(name, duration_ms, owner):
            return [name, duration_ms, owner]
        case LeaseRenew(name, token, duration):
            return [name, token, duration]
        case LeaseRelease(name, token):
            return [name, token]
        case LeaseForceRelease(name, reason):
            return [name, reason]


def unpack_acquire(packed: list[Any]) -> LeaseAcquire:
    _, name, duration_ms, owner = packed
    if type(owner) is not bytes:
        raise TypeError("an owner is bytes")
    return LeaseAcquire(_name(name), _positive(duration_ms), owner)


def unpack_renew(packed: list[Any]) -> LeaseRenew:
    _, name, token, duration_ms = packed
    duration = None if duration_ms is None else _positive(duration_ms)
    return LeaseRenew(_name(name), _positive(token), duration)


def unpack_release(packed: list[Any]) -> LeaseRelease:
    _, name, token = packed
    return LeaseRelease(_name(name), _positive(token))


def unpack_force_release(packed: list[Any]) -> LeaseForceRelease:
    _, name, reason = packed
    if type(reason) is not str:
        raise TypeError("a reason is text")
    return LeaseForceRelease(_name(name), reason)


def _name(name: Any) -> str:
    if type(name) is not str or not 0 < len(name.encode()) <= NAME_BYTES_MAX:
        raise TypeError("the name of a lease is text")
    return name


def _positive(number: Any) -> int:
    if type(number) is not int or number <= 0:
        raise ValueError("a duration or a token is a positive number")
    return number
