"""A healthy primary hands its shard over: the proposal of a switchover. Pure.

Called by `scale_down`, for a primary that is to leave, and by `role_changes`, for people.
"""

from __future__ import annotations

from replicante.limits import SWITCHOVER_MS_MAX
from replicante.model.action_kinds import STORE_SWITCHOVER
from replicante.model.actions import Requester
from replicante.model.cluster_declaration import Step
from replicante.orchestrate.proposal import NO_LOSS, Proposal, Purpose, Situation, protection
from replicante.orchestrate.roles.candidates import Candidate
from replicante.orchestrate.roles.primaries import Primary


def handover(
    situation: Situation,
    primary: Primary,
    chosen: Candidate,
    *,
    step: Step,
    purpose: Purpose,
    requester: Requester,
    cause: str | None,
) -> Proposal:
    """primary: present. chosen: another copy of its shard, with an address."""
    return Proposal(
        step=step,
        action_kind=STORE_SWITCHOVER,
        node_id=primary.node_id,
        args={
            "shard_id": primary.shard_id,
            "node": situation.view.nodes[chosen.node_id].member_address,
            "node_id": chosen.node_id,
            "timeout_ms": SWITCHOVER_MS_MAX,
            **protection(situation.view.spec),
        },
        touches=(chosen.node_id,),
        shard_id=primary.shard_id,
        effect=f"hand shard {primary.shard_id} over from {primary.node_id} to {chosen.node_id}",
        loss=NO_LOSS,
        purpose=purpose,
        requester=requester,
        cause=cause,
        grace_subject=primary.shard_id,
    )
