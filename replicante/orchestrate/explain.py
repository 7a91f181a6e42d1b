"""Turns a stored decision into the answers that people ask for: explain and plan. Pure.

Called by `api`. Nothing is decided here again: what is told is what was recorded, so that it is
also true of a decision of last week.
"""

from __future__ import annotations

from replicante.model.civil_time import format_rfc3339
from replicante.model.decision import (
    CandidateRecord,
    ConditionRecord,
    Decision,
    ForcedOption,
    IdleStep,
    Outcome,
    ProposalRecord,
    Ruling,
    SeenNode,
    Verdict,
)
from replicante.model.records import Record
from replicante.orchestrate.actions.acting import derived_id


class BlockedBy(Record, frozen=True, kw_only=True):
    rule: str
    ruling: Ruling
    reason: str


class PlannedStep(Record, frozen=True, kw_only=True):
    """One thing that convergence wants, in the order in which it wants it."""

    number: int
    step: str
    effect: str
    outcome: Outcome
    action_kind: str
    node_id: str | None
    action_id: str | None
    is_disruptive: bool
    worst_loss: str
    blocked_by: tuple[BlockedBy, ...]
    """Empty: nothing stands against it."""


class Plan(Record, frozen=True, kw_only=True):
    ns_id: str
    cluster_id: str
    plan_id: str
    """Equal for equal steps: what was looked at yesterday is still what would happen today."""
    decision_id: str
    decided_at: str
    mode: str
    mode_reason: str
    steps: tuple[PlannedStep, ...]
    options: tuple[ForcedOption, ...]
    """What only a person may do, with its price."""


class Explanation(Record, frozen=True, kw_only=True):
    ns_id: str
    cluster_id: str
    decision_id: str
    decided_at: str
    summary: str
    """One sentence: what is going on."""
    mode: str
    mode_reason: str
    seen: tuple[SeenNode, ...]
    conditions: tuple[ConditionRecord, ...]
    steps: tuple[PlannedStep, ...]
    candidates: tuple[CandidateRecord, ...]
    options: tuple[ForcedOption, ...]
    needs: tuple[str, ...]
    """What would have to change for more to be done, one sentence each."""
    idle: tuple[IdleStep, ...]
    unfenced: tuple[str, ...]


def plan(decision: Decision) -> Plan:
    steps = _steps(decision)
    return Plan(
        ns_id=decision.ns_id,
        cluster_id=decision.cluster_id,
        plan_id=derived_id(
            "plan",
            decision.ns_id,
            decision.cluster_id,
            *(f"{it.step} {it.action_kind} {it.node_id} {it.effect}" for it in steps),
        ),
        decision_id=decision.decision_id,
        decided_at=format_rfc3339(decision.wall_now_ms),
        mode=decision.mode,
        mode_reason=decision.mode_reason,
        steps=steps,
        options=decision.options,
    )


def explain(decision: Decision) -> Explanation:
    steps = _steps(decision)
    return Explanation(
        ns_id=decision.ns_id,
        cluster_id=decision.cluster_id,
        decision_id=decision.decision_id,
        decided_at=format_rfc3339(decision.wall_now_ms),
        summary=_summary(decision, steps),
        mode=decision.mode,
        mode_reason=decision.mode_reason,
        seen=decision.seen,
        conditions=decision.conditions,
        steps=steps,
        candidates=decision.candidates,
        options=decision.options,
        needs=tuple(_needs(decision, steps)),
        idle=decision.idle,
        unfenced=decision.unfenced,
    )


def _steps(decision: Decision) -> tuple[PlannedStep, ...]:
    return tuple(_planned(i, it) for i, it in enumerate(decision.proposals, start=1))


def _planned(number: int, proposal: ProposalRecord) -> PlannedStep:
    against = [it for it in proposal.verdicts if it.ruling is not Ruling.ALLOW]
    return PlannedStep(
        number=number,
        step=proposal.step,
        effect=proposal.effect,
        outcome=proposal.outcome,
        action_kind=proposal.action_kind,
        node_id=proposal.node_id,
        action_id=proposal.action_id,
        is_disruptive=proposal.is_disruptive,
        worst_loss=proposal.loss.text,
        # The gravest first; a rule that a person answered by approving stays in the list.
        blocked_by=tuple(_blocked(it) for it in sorted(against, key=_gravest)),
    )


def _blocked(verdict: Verdict) -> BlockedBy:
    return BlockedBy(rule=verdict.rule, ruling=verdict.ruling, reason=verdict.reason)


def _gravest(verdict: Verdict) -> int:
    return 0 if verdict.ruling is Ruling.DENY else 1


def _summary(decision: Decision, steps: tuple[PlannedStep, ...]) -> str:
    for outcome, words in (
        (Outcome.DONE, "it does this"),
        (Outcome.AWAITS_APPROVAL, "it waits for an approval to do this"),
        (Outcome.WOULD_DO, f"in {decision.mode} mode it does nothing; it would do this"),
        (Outcome.DENIED, "it wants this and may not"),
    ):
        found = [it for it in steps if it.outcome is outcome]
        if found:
            more = f", and {len(steps) - 1} more" if len(steps) > 1 else ""
            return f"{words}: {found[0].effect}{more}"
    stuck = [it for it in decision.conditions if it.name == "nobody_eligible"]
    if stuck:
        return stuck[0].message
    if decision.conditions:
        names = ", ".join(sorted({it.name for it in decision.conditions}))
        return f"nothing is to be done; these conditions hold: {names}"
    return "nothing is to be done"


def _needs(decision: Decision, steps: tuple[PlannedStep, ...]) -> list[str]:
    """One sentence a rule: the reasons of the rules say what would have to change."""
    needs: list[str] = []
    optional = {it.action_id for it in decision.options}
    for step in steps:
        if step.outcome is Outcome.DONE or (step.action_id and step.action_id in optional):
            # A way out is told below, with its price.
            continue
        for blocked in step.blocked_by:
            sentence = f"{step.step}: {blocked.reason} [{blocked.rule}]"
            if sentence not in needs:
                needs.append(sentence)
    needs += [
        f"failover: {it.message}" for it in decision.conditions if it.name == "nobody_eligible"
    ]
    for option in decision.options:
        how = f"; approve orchestrator action {option.action_id}" if option.action_id else ""
        needs.append(f"a person may {option.text}{how}")
    return needs
