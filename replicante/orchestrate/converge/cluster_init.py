"""Step: nodes that are in no cluster at all begin one, on one of them. Pure.

Called by `converge.steps`. That really all of them are is judged by `initialise_only_virgin`.
"""

from __future__ import annotations

from replicante.model.action_kinds import CLUSTER_INIT
from replicante.model.cluster_declaration import InitialiseMode, Step
from replicante.model.node import NodeStatus
from replicante.orchestrate.proposal import Proposal, Situation, StepResult, idle, protection
from replicante.orchestrate.search import search_nodes


def propose_cluster_init(situation: Situation) -> StepResult:
    view = situation.view
    declaration = view.spec.declaration
    if declaration.initialise_mode is InitialiseMode.AUTO:
        return idle("the store initialises itself (initialise.mode is Auto)")
    virgin = [
        node_id
        for node_id in view.node_ids
        if node_id in view.nodes and view.nodes[node_id].node_status is NodeStatus.NOT_IN_CLUSTER
    ]
    if not virgin:
        return idle("no node says that it is in no cluster")
    if len(virgin) < len(view.node_ids) and situation.state.appointed:
        return idle("the cluster was begun already")
    chosen = virgin[0]
    if declaration.initialise_search is not None:
        found = [it for it in search_nodes(view, declaration.initialise_search) if it in virgin]
        if not found:
            return idle("initialise.search finds no node that is in no cluster")
        chosen = found[0]
    args = declaration.initialise_args
    return StepResult(
        proposals=(
            Proposal(
                step=Step.CLUSTER_INIT,
                action_kind=CLUSTER_INIT,
                node_id=chosen,
                args={**(args if isinstance(args, dict) else {}), **protection(view.spec)},
                touches=tuple(it for it in view.node_ids if it != chosen),
                effect=f"begin the cluster on {chosen}",
            ),
        )
    )
