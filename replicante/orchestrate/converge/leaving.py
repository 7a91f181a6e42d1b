"""Decides which nodes are too many, and how one leaves for good: it stops, is forgotten, is taken
away. Pure.

Called by the steps `replace_node` and `scale_down`, and by those that would bring a node back or
in. Each is an action of its own, in a cycle of its own, whose effect is observed: the store of a
node that still runs is stopped, a surviving member forgets the node, the platform takes it away.
What comes next is read off what is seen and off what a member is known to have forgotten, so a
crash in between repeats nothing, and a node that comes back begins anew.
"""

from __future__ import annotations

from replicante.model.action_kinds import (
    CLUSTER_REMOVE,
    PLATFORM_DEPROVISION,
    SERVICE_STOP,
)
from replicante.model.cluster_declaration import Step
from replicante.model.node import NodeStatus, StoreContact
from replicante.orchestrate.proposal import Proposal, Situation
from replicante.orchestrate.roles.primaries import PrimaryVerdict


def surplus(situation: Situation) -> dict[str, str]:
    """Node that is to leave → why, in the order in which they go.

    In a group that has too many: first who is being taken away already, then who is in no cluster,
    who is down, who is not HEALTHY, then the last by id; a primary last of all.
    """
    view = situation.view
    definition = view.spec.declaration.definition
    found: dict[str, str] = {}
    if definition is None:
        return found
    going = view.taken_away()
    primaries = {
        node_id for it in situation.primaries.values() for node_id in (it.node_id, *it.claimants)
    }
    for group_id in sorted(definition.nodes):
        members = [it.node_id for it in view.discovery.nodes if it.node_group == group_id]
        count = len(members) - definition.nodes[group_id].desired_count
        members.sort(reverse=True)
        members.sort(
            key=lambda it: (
                it in primaries,
                it not in going,
                is_member(situation, it),
                not is_down(situation, it),
                view.is_healthy(it),
            )
        )
        why = f"group {group_id} has {count} more than it asks for"
        found |= dict.fromkeys(members[: max(count, 0)], why)
    return found


def leaves(situation: Situation, node_id: str) -> bool:
    """Whether nobody should bring it back or in: `scale_down` is on and takes it away."""
    is_on = Step.SCALE_DOWN in situation.view.spec.declaration.steps
    return is_on and node_id in surplus(situation)


def is_member(situation: Situation, node_id: str) -> bool:
    """It may hold what nobody else has: it does not say that it is in no cluster, and was not
    forgotten by the one that there is."""
    node = situation.view.nodes.get(node_id)
    is_outside = node is not None and node.node_status is NodeStatus.NOT_IN_CLUSTER
    is_forgotten = node_id in situation.state.removed
    return situation.is_begun and not is_outside and not is_forgotten


def is_down(situation: Situation, node_id: str) -> bool:
    """Its agent answers, and no store process listens there."""
    node = situation.view.nodes.get(node_id)
    return (
        node is not None
        and node.node_status is NodeStatus.UNAVAILABLE
        and node.contact is StoreContact.REFUSED
    )


def leave(situation: Situation, node_id: str, step: Step, *, why: str) -> Proposal | None:
    """The next thing to do about it; None: nobody is there who could forget it."""
    # Nothing is known of a node that is replaced; one that is down was seen to be so.
    is_gone = step is Step.REPLACE_NODE or is_down(situation, node_id)
    spared = (node_id,) if is_gone else ()
    if not is_member(situation, node_id):
        return Proposal(
            step=step,
            action_kind=PLATFORM_DEPROVISION,
            node_id=None,
            args={"node_id": node_id},
            spared=spared,
            effect=f"have the platform take {node_id} away, because {why}",
        )
    if not is_gone:
        return Proposal(
            step=step,
            action_kind=SERVICE_STOP,
            node_id=node_id,
            args={},
            effect=f"stop the store of {node_id}, which leaves, because {why}",
        )
    return _removal(situation, node_id, step, spared=spared, why=why)


def _removal(
    situation: Situation, node_id: str, step: Step, *, spared: tuple[str, ...], why: str
) -> Proposal | None:
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
        args={"node": situation.view.address_of(node_id), "node_id": node_id},
        touches=(node_id,),
        spared=spared,
        effect=f"have {member} forget {node_id}, because {why}",
    )
