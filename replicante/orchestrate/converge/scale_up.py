"""Step: nodes that the definition asks for and discovery lacks are ordered, one at a time. Pure.

Called by `converge.steps`. Groups are filled in the order of their ids.
"""

from __future__ import annotations

from replicante.model.action_kinds import PLATFORM_PROVISION
from replicante.model.cluster_declaration import Step
from replicante.orchestrate.proposal import Proposal, Situation, StepResult, idle


def propose_scale_up(situation: Situation) -> StepResult:
    view = situation.view
    definition = view.spec.declaration.definition
    if definition is None:
        return idle("no definition is declared")
    # A node that was ordered counts once it stayed for as long as the step would wait anyway.
    stable_ms = view.spec.declaration.graces_ms[Step.SCALE_UP]
    proposals: list[Proposal] = []
    for group_id in sorted(definition.nodes):
        desired = definition.nodes[group_id].desired_count
        present = sum(1 for node in view.discovery.nodes if node.node_group == group_id)
        for nth in range(present + 1, desired + 1):
            proposals.append(
                Proposal(
                    step=Step.SCALE_UP,
                    action_kind=PLATFORM_PROVISION,
                    node_id=None,
                    args={
                        "request": {"node_group_id": group_id, "count": 1},
                        "stable_after_ms": stable_ms,
                    },
                    effect=f"provision node {nth} of {desired} of group {group_id}",
                )
            )
    if not proposals:
        return idle("every group has the nodes that it asks for")
    return StepResult(proposals=tuple(proposals))
