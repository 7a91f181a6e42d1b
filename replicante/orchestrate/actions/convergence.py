"""Fourth stage of a cycle: every step says what it wants, and that is settled in their order. Pure.

Called by the cycle. A wish that no step has any more is withdrawn.
"""

from __future__ import annotations

from replicante.model.actions import NAction, OAction
from replicante.model.cluster_declaration import Step
from replicante.orchestrate.actions.acting import Acting
from replicante.orchestrate.converge.steps import STEPS
from replicante.orchestrate.proposal import StepResult, is_open_order, is_wish, wish_identity


def converge(acting: Acting) -> dict[Step, StepResult]:
    """Every step looks at the same situation; then what they propose is settled in their order."""
    results = {step: propose(acting.situation) for step, propose in STEPS.items()}
    wanted = {it.identity() for result in results.values() for it in result.proposals}
    view = acting.situation.view
    unfinished: tuple[NAction | OAction, ...] = (*view.nactions, *view.oactions)
    for action in unfinished:
        is_open = is_wish(action) or is_open_order(action)
        if is_open and wish_identity(action) not in wanted:
            acting.withdraw(action, "no step proposes it any more")
    for result in results.values():
        for proposal in result.proposals:
            acting.settle(proposal)
    return results


def wind_up(acting: Acting) -> None:
    """The namespace goes: what waits is cancelled; what runs at an agent is left to its end."""
    view = acting.situation.view
    for action in view.nactions:
        if action.phase.is_pending:
            acting.withdraw(action, "its namespace is being deleted")
    for oaction in view.oactions:
        acting.withdraw(oaction, "its namespace is being deleted")
