"""What a safety rule is given, and the ways it may answer. Pure.

Called by the files of rules beside it and by `judge`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from replicante.model.action_kinds import CONTROLLER_FAILOVER, STORE_FENCE, STORE_PROMOTE
from replicante.model.codec import Value
from replicante.model.decision import Ruling, Verdict
from replicante.orchestrate.proposal import Proposal, Situation, gives_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    proposal: Proposal
    situation: Situation
    earlier: tuple[Proposal, ...]
    """What this cycle settled with an action, begun or waiting: a step does one thing a cycle."""
    doing: tuple[Proposal, ...]
    """Those of them that go ahead: two must not disturb on one observation."""

    @property
    def takes_for_dead(self) -> bool:
        """It goes past the primary of its shard. Not so when another node replaced that one."""
        proposal = self.proposal
        if proposal.action_kind != STORE_FENCE:
            is_forced = proposal.is_question
            return is_forced or proposal.action_kind in (STORE_PROMOTE, CONTROLLER_FAILOVER)
        primary = self.situation.primaries.get(proposal.shard_id or "")
        return primary is None or primary.node_id in (None, proposal.args.get("replaces"))

    @property
    def gives_up(self) -> bool:
        """As `store.rejoin`, under whatever name."""
        return gives_up(self.proposal, self.situation.view)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    ruling: Ruling
    reason: str
    evidence: dict[str, Value]
    is_firm: bool = False
    """Nobody may set it aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    name: str
    """Stable: people and scripts look for it."""
    promise: str
    """What never happens because of it, in one sentence."""
    judge: Callable[[Case], Finding]
    is_mode: bool = False
    """It alone separates doing from saying what would be done."""
    measures: tuple[str, ...] = ()
    """Names in its evidence of what an approval is of: with more of it a person is asked anew."""
    is_yielding: bool = False
    """What it denies to automation, a person who asks by name may have, once told of it."""

    def verdict(self, case: Case) -> Verdict:
        finding = self.judge(case)
        ruling, reason = finding.ruling, finding.reason
        is_asking = self.is_yielding and case.proposal.is_by_name and not finding.is_firm
        if is_asking and ruling is Ruling.DENY:
            ruling = Ruling.NEED_APPROVAL
            reason = f"{reason}; a person who looked may approve"
        return Verdict(rule=self.name, ruling=ruling, reason=reason, evidence=finding.evidence)


def allow(reason: str, **evidence: Value) -> Finding:
    return Finding(ruling=Ruling.ALLOW, reason=reason, evidence=evidence)


def ask(reason: str, **evidence: Value) -> Finding:
    return Finding(ruling=Ruling.NEED_APPROVAL, reason=reason, evidence=evidence)


def deny(reason: str, **evidence: Value) -> Finding:
    return Finding(ruling=Ruling.DENY, reason=reason, evidence=evidence)


def refuse(reason: str, **evidence: Value) -> Finding:
    """As `deny`, also where the rule yields to a person."""
    return Finding(ruling=Ruling.DENY, reason=reason, evidence=evidence, is_firm=True)
