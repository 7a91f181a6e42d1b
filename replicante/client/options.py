"""How one call is to be made: consistency of a read, key and deadline of a write. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from replicante import limits
from replicante.wire.headers import MAX_STALE_MS_DEFAULT, Consistency


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """How fresh a read must be, and how long to try."""

    consistency: Consistency = Consistency.LINEARIZABLE
    max_stale_ms: int | None = None
    """With `bounded` only: the oldest data that is good enough."""
    timeout_ms: int = limits.REQUEST_DEADLINE_MS_DEFAULT
    """Deadline of the whole call, over all its attempts."""
    endpoint: str | None = None
    """Ask this peer and no other. None lets the client choose."""

    @classmethod
    def bounded(cls, *, max_stale_ms: int = MAX_STALE_MS_DEFAULT) -> Read:
        return cls(consistency=Consistency.BOUNDED, max_stale_ms=max_stale_ms)


LINEARIZABLE = Read()
"""Sees every write that was answered before the read began. The default."""
STALE = Read(consistency=Consistency.STALE)
"""The answering peer's own copy; never older than what this client has already seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Under which key a write is made, and how long to try."""

    idempotency_key: str | None = None
    """None lets the client mint one. Give your own to go on with a write whose outcome is
    unknown: with the same key it happens once, however often it is repeated."""
    first_attempt_ms: int | None = None
    """With a key of your own, on a repeat: `details["first_attempt_ms"]` of the `OutcomeUnknown`. A
    repeat so late that the outcome is forgotten is then refused instead of applied again."""
    timeout_ms: int = limits.REQUEST_DEADLINE_MS_DEFAULT
    """Deadline of the whole call, over all its attempts."""


DEFAULT_WRITE = Write()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are wanted; None lets all pass."""

    code: str | None = None
    """Events whose code starts with this."""
    ns: str | None = None
    cluster: str | None = None
    key: str | None = None
    """Events whose key starts with this."""

    @property
    def lets_all_pass(self) -> bool:
        return self.code is None and self.ns is None and self.cluster is None and self.key is None


ALL_EVENTS = EventFilter()
