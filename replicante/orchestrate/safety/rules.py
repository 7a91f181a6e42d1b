"""Every safety rule, in the order in which records list them, and the judge. Pure.

Called by the cycle, by the orchestrator actions, by plan, and by the documentation.
"""

from __future__ import annotations

from replicante.model.decision import Outcome, Ruling, Verdict
from replicante.orchestrate.safety.case import Case, Rule
from replicante.orchestrate.safety.rules_data import DATA_RULES
from replicante.orchestrate.safety.rules_disturbance import DISTURBANCE_RULES
from replicante.orchestrate.safety.rules_evidence import EVIDENCE_RULES
from replicante.orchestrate.safety.rules_scope import SCOPE_RULES

RULES: tuple[Rule, ...] = (*SCOPE_RULES, *EVIDENCE_RULES, *DATA_RULES, *DISTURBANCE_RULES)

MEASURES = {rule.name: rule.measures for rule in RULES}
"""Rule → what of its evidence an approval is of."""
_IS_MODE = {rule.name for rule in RULES if rule.is_mode}


def judge(case: Case) -> tuple[Verdict, ...]:
    """What every rule says; none is skipped, so a record shows all that stands in the way."""
    return tuple(rule.verdict(case) for rule in RULES)


def outcome_of(verdicts: tuple[Verdict, ...]) -> Outcome:
    """The gravest ruling counts; where the mode alone denies, it is what would have been done."""
    against = [it for it in verdicts if it.ruling is not Ruling.ALLOW]
    denials = [it for it in against if it.ruling is Ruling.DENY]
    if any(it.rule not in _IS_MODE for it in denials):
        return Outcome.DENIED
    if denials:
        return Outcome.WOULD_DO
    return Outcome.AWAITS_APPROVAL if against else Outcome.DONE
