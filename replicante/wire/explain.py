"""Answers about decisions: why, and what next."""

from __future__ import annotations

from replicante.wire.values import Answer, Json


class BlockedBy(Answer, frozen=True, kw_only=True):
    """ruling: `need_approval` or `deny`. reason: also what would have to change."""

    rule: str
    ruling: str
    reason: str


class PlannedStep(Answer, frozen=True, kw_only=True):
    """outcome: `done`, `awaits_approval`, `would_do` or `denied`. blocked_by: empty when nothing
    stands against it. worst_loss: in words, in the unit of the store."""

    number: int
    step: str
    effect: str
    outcome: str
    action_kind: str
    node_id: str | None
    action_id: str | None
    is_disruptive: bool
    worst_loss: str
    blocked_by: tuple[BlockedBy, ...]


class Condition(Answer, frozen=True, kw_only=True):
    """since_ms: cluster clock. subject: node, `shard/ID`, action, or empty for the cluster."""

    name: str
    subject: str
    message: str
    since_ms: int
    evidence: dict[str, Json]


class SeenNode(Answer, frozen=True, kw_only=True):
    """answer: how its agent answered. is_fresh: false when roles are what was known before."""

    node_id: str
    answer: str
    status: str
    roles: tuple[str, ...]
    is_fresh: bool


class PlanAnswer(Answer, frozen=True, kw_only=True):
    """plan_id: equal for equal steps. options: what only a person may do, with its price."""

    ns_id: str
    cluster_id: str
    plan_id: str
    decision_id: str
    decided_at: str
    mode: str
    mode_reason: str
    steps: tuple[PlannedStep, ...]
    options: tuple[dict[str, Json], ...]


class ExplainAnswer(Answer, frozen=True, kw_only=True):
    """needs: what would have to change for more to be done. candidates: who could take a shard
    over, and why the others could not."""

    ns_id: str
    cluster_id: str
    decision_id: str
    decided_at: str
    summary: str
    mode: str
    mode_reason: str
    seen: tuple[SeenNode, ...]
    conditions: tuple[Condition, ...]
    steps: tuple[PlannedStep, ...]
    candidates: tuple[dict[str, Json], ...]
    options: tuple[dict[str, Json], ...]
    needs: tuple[str, ...]
    idle: tuple[dict[str, Json], ...]
    unfenced: tuple[str, ...]
