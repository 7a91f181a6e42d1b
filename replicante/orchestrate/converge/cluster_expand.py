"""Step: nodes that are in no cluster are taken into the one that exists. Pure.

Called by `converge.steps`. Nodes come in the order of their ids; the member is the one that the
declaration selects, else the HEALTHY one with the most primaries.
"""

from __future__ import annotations

from replicante.model.action_kinds import CLUSTER_ADD, CLUSTER_JOIN
from replicante.model.cluster_declaration import ExpandMode, Step
from replicante.model.node import NodeStatus
from replicante.model.shard import ShardRole
from replicante.orchestrate.converge.leaving import leaves
from replicante.orchestrate.proposal import Proposal, Situation, StepResult, idle, protection
from replicante.orchestrate.search import search_nodes
from replicante.orchestrate.view import ClusterView


def propose_cluster_expand(situation: Situation) -> StepResult:
    view = situation.view
    mode = view.spec.declaration.expand_mode
    if mode is ExpandMode.AUTO:
        return idle("the store admits nodes itself (expand.mode is Auto)")
    outside = [
        node_id
        for node_id in view.node_ids
        if node_id in view.nodes and view.nodes[node_id].node_status is NodeStatus.NOT_IN_CLUSTER
    ]
    if not outside:
        return idle("every node that is seen is in the cluster")
    if len(outside) < len(view.node_ids):
        outside = [it for it in outside if not leaves(situation, it)]
    if not outside:
        return idle("every node that is not in the cluster is one too many")
    if len(outside) == len(view.node_ids):
        return idle("there is no cluster yet to take a node in")
    member = _member(view)
    if member is None:
        return idle("no HEALTHY member holds a primary and has a member address")
    proposals = tuple(_expansion(view, mode, member=member, joining=it) for it in outside)
    return (
        StepResult(proposals=tuple(it for it in proposals if it is not None))
        if any(proposals)
        else idle("the member address of the new node is not known")
    )


def _member(view: ClusterView) -> str | None:
    fit = [
        node_id
        for node_id in view.node_ids
        if view.is_healthy(node_id)
        and view.nodes[node_id].member_address is not None
        and _primaries_count(view, node_id) > 0
    ]
    selector = view.spec.declaration.expand_target
    if selector is not None:
        return next((it for it in search_nodes(view, selector) if it in fit), None)
    return min(fit, key=lambda it: (-_primaries_count(view, it), it), default=None)


def _primaries_count(view: ClusterView, node_id: str) -> int:
    copies = view.copies_on(node_id)
    return sum(1 for it in copies if it.is_fresh and it.role is ShardRole.PRIMARY)


def _expansion(
    view: ClusterView, mode: ExpandMode, *, member: str, joining: str
) -> Proposal | None:
    is_add = mode is ExpandMode.ADD
    address = view.nodes[joining if is_add else member].member_address
    if address is None:
        return None
    return Proposal(
        step=Step.CLUSTER_EXPAND,
        action_kind=CLUSTER_ADD if is_add else CLUSTER_JOIN,
        node_id=member if is_add else joining,
        args={"node": address, **protection(view.spec)},
        touches=(joining if is_add else member,),
        effect=f"{member} admits {joining}" if is_add else f"{joining} joins through {member}",
    )
