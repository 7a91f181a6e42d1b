"""Step, off by default: a node that is gone for long leaves, so that scale up orders another. Pure.

Called by `converge.steps`. Gone: its agent gives no usable answer since `graces.replace_node`. The
store process of an agent that answers is never a reason: that is repaired, not replaced.
"""

from __future__ import annotations

from replicante.model.cluster_declaration import Step
from replicante.model.node import NodeStatus
from replicante.orchestrate.converge.leaving import leave
from replicante.orchestrate.proposal import Proposal, Situation, StepResult, idle


def propose_replace_node(situation: Situation) -> StepResult:
    view = situation.view
    if view.spec.declaration.definition is None:
        return idle("no definition is declared")
    after_ms = view.spec.declaration.graces_ms[Step.REPLACE_NODE]
    proposals: list[Proposal] = []
    for node_id in view.node_ids:
        node = view.nodes.get(node_id)
        if node is None or node.node_status is not NodeStatus.UNREACHABLE or node.seen_ms is None:
            continue
        gone_ms = situation.now_ms - node.seen_ms
        if gone_ms >= after_ms:
            why = f"it was not seen for {gone_ms // 1_000} s"
            found = leave(situation, node_id, Step.REPLACE_NODE, why=why)
            if found is not None:
                proposals.append(found)
    if not proposals:
        return idle("no node is gone for so long")
    return StepResult(proposals=tuple(proposals))
