"""Step, off by default: nodes beyond what the definition asks for leave, one at a time. Pure.

Called by `converge.steps`. Who goes: in the group that has too many, first who is in no cluster,
then who is not HEALTHY, then the last by id; a primary never.
"""

from __future__ import annotations

from replicante.model.cluster_declaration import Step
from replicante.orchestrate.converge.leaving import leave
from replicante.orchestrate.proposal import Proposal, Situation, StepResult, idle


def propose_scale_down(situation: Situation) -> StepResult:
    view = situation.view
    definition = view.spec.declaration.definition
    if definition is None:
        return idle("no definition is declared")
    primaries = {it.node_id for it in situation.primaries.values()}
    proposals: list[Proposal] = []
    for group_id in sorted(definition.nodes):
        members = [it.node_id for it in view.discovery.nodes if it.node_group == group_id]
        surplus = len(members) - definition.nodes[group_id].desired_count
        if surplus <= 0:
            continue
        may_go = [it for it in members if it not in primaries]
        may_go.sort(reverse=True)
        may_go.sort(key=lambda it: (bool(view.copies_on(it)), view.is_healthy(it)))
        for node_id in may_go[:surplus]:
            why = f"group {group_id} has {surplus} more than it asks for"
            found = leave(situation, node_id, Step.SCALE_DOWN, why=why)
            if found is not None:
                proposals.append(found)
    if not proposals:
        return idle("no group has more nodes than it asks for, or nobody could forget one")
    return StepResult(proposals=tuple(proposals))
