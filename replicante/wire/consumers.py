"""Requests and answers of /events/consumers: who reads the event log, and how far each is."""

from __future__ import annotations

from replicante.wire.shapes import StampText
from replicante.wire.values import Answer, Request


class ConsumerBody(Request, frozen=True, kw_only=True):
    """position: id up to which everything was handled; null says only that the consumer is alive,
    and lets a new one begin at the head."""

    position: StampText | None = None


class Consumer(Answer, frozen=True, kw_only=True):
    """lag: events that are kept after its position. silent_for: cluster time since it was put last.
    expired: it holds nothing any more, and is answered 410 until it is deleted."""

    name: str
    position: str
    revision: str
    lag: int
    silent_for: str
    expired: bool


class ConsumerGone(Answer, frozen=True, kw_only=True):
    """revision: stamp of the deletion."""

    name: str
    revision: str


class Consumers(Answer, frozen=True, kw_only=True):
    """All consumers, by name."""

    items: tuple[Consumer, ...]
