"""Decides how one node leaves a cluster for good: forget it in the store, then remove it. Pure.

Called by the steps `replace_node` and `scale_down`. Two actions in two cycles, each observed: first
a surviving member forgets the node, then the platform takes it away. What says which comes next is
the record of the first, so a crash between them repeats nothing.
"""

from __future__ import annotations

from replicante.model.action_kinds import CLUSTER_REMOVE, PLATFORM_DEPROVISION
from replicante.model.cluster_declaration import Step
from replicante.model.node import NodeStatus
from replicante.orchestrate.primaries import PrimaryVerdict
from replicante.orchestrate.proposal import Proposal, Situation


def leave(situation: Situation, node_id: str, step: Step, *, why: str) -> Proposal | None:
    """The next thing to do about it; None: nobody is there who could forget it."""
    view = situation.view
    node = view.nodes.get(node_id)
    # Only a node that is replaced leaves because nothing is known of it.
    spared = (node_id,) if step is Step.REPLACE_NODE else ()
    is_member = bool(view.copies_on(node_id)) and not (
        node is not None and node.node_status is NodeStatus.NOT_IN_CLUSTER
    )
    if not is_member:
        return Proposal(
            step=step,
            action_kind=PLATFORM_DEPROVISION,
            node_id=None,
            args={"node_id": node_id},
            spared=spared,
            effect=f"have the platform take {node_id} away, because {why}",
        )
    member = next(
        (
            primary.node_id
            for primary in situation.primaries.values()
            if primary.verdict is PrimaryVerdict.PRESENT and primary.node_id != node_id
        ),
        None,
    )
    if member is None:
        return None
    return Proposal(
        step=step,
        action_kind=CLUSTER_REMOVE,
        node_id=member,
        args={"node": None if node is None else node.member_address, "node_id": node_id},
        touches=(node_id,),
        spared=spared,
        effect=f"have {member} forget {node_id}, because {why}",
    )
