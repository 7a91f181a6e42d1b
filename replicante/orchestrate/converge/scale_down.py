"""Step, off by default: nodes beyond what the definition asks for leave, one at a time. Pure.

Called by `converge.steps`. Who goes says `leaving`. A primary that has to go, because a group is to
be left without it, hands over first to a copy that stays.
"""

from __future__ import annotations

from replicante.model.actions import Requester
from replicante.model.cluster_declaration import Step
from replicante.orchestrate.converge.failover import candidates_of
from replicante.orchestrate.converge.handover import handover
from replicante.orchestrate.converge.leaving import leave, surplus
from replicante.orchestrate.proposal import Proposal, Purpose, Situation, StepResult, idle
from replicante.orchestrate.roles.candidates import best
from replicante.orchestrate.roles.primaries import Primary, PrimaryVerdict


def propose_scale_down(situation: Situation) -> StepResult:
    if situation.view.spec.declaration.definition is None:
        return idle("no definition is declared")
    going = surplus(situation)
    led = {it.node_id: it for it in situation.primaries.values() if it.node_id is not None}
    proposals: list[Proposal] = []
    for node_id, why in going.items():
        if node_id in led:
            found = _handover(situation, led[node_id], going)
        else:
            found = leave(situation, node_id, Step.SCALE_DOWN, why=why)
        if found is not None:
            proposals.append(found)
    if not proposals:
        return idle(
            "no group has more nodes than it asks for, or nobody could forget one or succeed it"
        )
    return StepResult(proposals=tuple(proposals))


def _handover(situation: Situation, primary: Primary, going: dict[str, str]) -> Proposal | None:
    staying = (it for it in candidates_of(situation, primary) if it.node_id not in going)
    chosen = best(staying)
    if chosen is None or primary.verdict is not PrimaryVerdict.PRESENT:
        return None
    return handover(
        situation,
        primary,
        chosen,
        step=Step.SCALE_DOWN,
        purpose=Purpose.PLANNED,
        requester=Requester.CORE_DECLARATIVE,
        cause=None,
    )
