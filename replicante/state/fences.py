"""Names the leases under which the control plane works on a cluster or a platform. Pure.

Called by `workers` (which take them) and `apply_records` (which asks whether they are held). Two
workers never hold the lease of one target, and a worker that lost it can write nothing any more:
every record carries the token of the grant.
"""

from __future__ import annotations

import enum
import hashlib
from typing import Any

import msgspec

from replicante.limits import NAME_BYTES_MAX

PREFIX = "replicante.io/work/"


class FenceOn(enum.IntEnum):
    """Stored in logs: never reused, never renumbered."""

    CLUSTER = 1
    PLATFORM = 2


class Fence(msgspec.Struct, frozen=True):
    """The right to write the records of one target."""

    on: FenceOn
    ns: str
    name: str
    """Of the cluster or the platform."""
    token: int
    """Of the lease `lease_name`: the epoch of everything that is done under it."""


def lease_name(on: FenceOn, ns: str, name: str) -> str:
    """A name may not hold both in full: then it ends with a hash of them instead."""
    text = f"{PREFIX}{on.name.lower()}/{ns}/{name}"
    if len(text.encode()) <= NAME_BYTES_MAX:
        return text
    digest = hashlib.blake2b(f"{ns}/{name}".encode(), digest_size=16).hexdigest()
    return f"{PREFIX}{on.name.lower()}#{digest}"


def pack_fence(fence: Fence) -> list[Any]:
    return [int(fence.on), fence.ns, fence.name, fence.token]


def unpack_fence(packed: Any) -> Fence:
    """Raises TypeError or ValueError for what `pack_fence` never makes."""
    on, ns, name, token = packed
    if type(ns) is not str or type(name) is not str or type(token) is not int or token <= 0:
        raise TypeError("a fence is two names and a token")
    return Fence(FenceOn(on), ns, name, token)
