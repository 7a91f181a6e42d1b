"""Answers about actions: /object/…/naction, /object/…/oaction and their lists."""

from __future__ import annotations

import msgspec

from replicante.wire.values import Answer, Json


class ActionAnswer(Answer, frozen=True, kw_only=True):
    """One action. Times are RFC 3339 in UTC. node_id: null for an orchestrator action. state: phase
    with error and payload, as the agent or the orchestrator told. sent: it may be at its agent.
    asked: rule that asks a person about it → what it asks for; if it waits no more, what was
    approved. approved_time: of the last approval; null: nobody approved it."""

    api_version: str = msgspec.field(name="apiVersion")
    kind: str
    ns_id: str
    cluster_id: str
    node_id: str | None = None
    action_id: str
    action: str
    args: Json = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    requester: str
    cause: str | None = None
    created_time: str
    approved_time: str | None = None
    scheduled_time: str | None = None
    finished_time: str | None = None
    state: dict[str, Json]
    attempts: int = 0
    sent: bool = False
    asked: dict[str, Json] = msgspec.field(default_factory=dict)
    timeout: str | None = None
    history: tuple[ActionStep, ...] = ()
    revision: str


class ActionStep(Answer, frozen=True, kw_only=True):
    """One transition. origin: AGENT or CORE."""

    time: str
    origin: str
    phase: str
    payload: Json = None
    error: Json = None


class ActionSummary(Answer, frozen=True, kw_only=True):
    """One row of /list/…. kind: of the action."""

    ns_id: str
    cluster_id: str
    node_id: str | None = None
    action_id: str
    kind: str
    phase: str
    created_time: str
    finished_time: str | None = None
    revision: str


class ActionPage(Answer, frozen=True, kw_only=True):
    items: tuple[ActionSummary, ...]
    next: str | None = None


class ActionMoved(Answer, frozen=True, kw_only=True):
    """The answer to approve, reject, cancel."""

    action_id: str
    phase: str
    revision: str
