"""Step: whoever should follow the primary of a shard and does not is told to. Pure.

Called by `converge.steps`. Three cases, all ending in the same action: a former primary that came
back and still calls itself primary; a copy that follows another one, as a switchover leaves the
third behind the former primary; a store process that is down
under an agent that answers. Beside a controller that changes roles the last alone is ours, and the
server is only started. A former primary that hangs is ended before, or it would take writes
when it goes on. What the node has beyond the primary is given up: that is why the
appointed primary must be seen, alone decides, and is never itself told to follow.
"""

from __future__ import annotations

from replicante.model.action_kinds import SERVICE_START, STORE_REJOIN
from replicante.model.cluster_declaration import Step
from replicante.model.decision import Loss
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.shard import Shard, ShardRole, Sight
from replicante.orchestrate.controllers import in_charge, named_address
from replicante.orchestrate.converge.failover import fence, hangs
from replicante.orchestrate.converge.leaving import leaves
from replicante.orchestrate.primaries import Primary, PrimaryVerdict, is_follower
from replicante.orchestrate.proposal import (
    Proposal,
    Purpose,
    Situation,
    StepResult,
    idle,
    protection,
)


def propose_rejoin(situation: Situation) -> StepResult:
    proposals: list[Proposal] = []
    others = in_charge(situation).through is not None
    for primary in situation.primaries.values():
        leader = _leader(situation, primary)
        if leader is None or situation.view.nodes[leader].member_address is None:
            continue
        for copy in situation.view.copies(primary.shard_id):
            if copy.node_id == leader or copy.node_id not in situation.view.node_ids:
                continue
            is_hanging = copy.role is ShardRole.PRIMARY and hangs(situation, copy.node_id)
            if is_hanging and not others:
                proposals.append(_fence(copy, leader))
                continue
            why = _why(situation, copy, leader)
            if why and others:
                # Whom it follows is the business of the controller in charge.
                proposals += _start(situation, copy, leader)
            elif why:
                proposals.append(_rejoin(situation, copy, leader, why))
    if not proposals:
        return idle("every copy that is seen follows its primary, or no primary is seen")
    # Who is well and follows a dead node first: that brings copies back without a start.
    proposals.sort(key=lambda it: not situation.view.is_healthy(it.node_id or ""))
    return StepResult(proposals=tuple(proposals))


def _leader(situation: Situation, primary: Primary) -> str | None:
    """The node to follow: undisputed, or the appointed one among several that claim."""
    if primary.verdict is PrimaryVerdict.PRESENT:
        return primary.node_id
    if primary.verdict is PrimaryVerdict.SEVERAL and primary.node_id in primary.claimants:
        appointed = situation.state.appointed.get(primary.shard_id)
        return primary.node_id if appointed == primary.node_id else None
    return None


def _why(situation: Situation, copy: Shard, leader: str) -> str:
    view = situation.view
    node = view.nodes.get(copy.node_id)
    if node is None:
        return ""
    if node.node_status is NodeStatus.UNAVAILABLE:
        # Silence may be a long start or a full disk; only a process that is not there is started.
        # Nor is one that was stopped to leave.
        is_gone = node.contact is StoreContact.REFUSED
        return "its store is down" if is_gone and not leaves(situation, copy.node_id) else ""
    if not copy.is_fresh:
        return ""
    if copy.role is ShardRole.PRIMARY:
        return "it still calls itself primary"
    upstream, address = copy.upstream, view.nodes[leader].member_address
    if not is_follower(copy) or upstream is None or upstream.address is None or address is None:
        return ""
    if upstream.address == address:
        return ""
    if upstream.sight is Sight.UP and view.node_at(upstream.address) is None:
        # A source outside: somebody built it so, and it works.
        return ""
    return f"it follows {upstream.address}"


def _fence(copy: Shard, leader: str) -> Proposal:
    return fence(
        step=Step.REJOIN,
        shard_id=copy.shard_id,
        node_id=copy.node_id,
        why=f"which does not know yet that {leader} replaced it",
        loss=_price(copy),
    )


def _rejoin(situation: Situation, copy: Shard, leader: str, why: str) -> Proposal:
    view = situation.view
    address = view.nodes[leader].member_address
    gives_up = copy.role is ShardRole.PRIMARY
    return Proposal(
        step=Step.REJOIN,
        action_kind=STORE_REJOIN,
        node_id=copy.node_id,
        args={
            "shard_id": copy.shard_id,
            "node": address,
            "node_id": leader,
            **protection(view.spec),
        },
        touches=(leader,),
        spared=(copy.node_id,),
        shard_id=copy.shard_id,
        effect=f"make {copy.node_id} follow {leader} in shard {copy.shard_id}, because {why}",
        loss=_price(copy) if gives_up else Loss(is_none=True, text="none"),
        purpose=Purpose.RECOVERY,
        grace_subject=f"{copy.node_id}/{copy.shard_id}",
    )


def _start(situation: Situation, copy: Shard, leader: str) -> list[Proposal]:
    """Only a start, and behind the one whom the controller names as well: it would take its time to
    tell a server that follows nobody."""
    view = situation.view
    address = view.nodes[leader].member_address
    is_down = view.nodes[copy.node_id].node_status is NodeStatus.UNAVAILABLE
    if not is_down or address is None or address != named_address(view):
        return []
    return [
        Proposal(
            step=Step.REJOIN,
            action_kind=SERVICE_START,
            node_id=copy.node_id,
            args={"shard_id": copy.shard_id, "node": address, "node_id": leader},
            touches=(leader,),
            spared=(copy.node_id,),
            shard_id=copy.shard_id,
            effect=f"start the store of {copy.node_id} behind {leader}, as the controller has it",
            purpose=Purpose.RECOVERY,
            grace_subject=f"{copy.node_id}/{copy.shard_id}",
        )
    ]


def _price(copy: Shard) -> Loss:
    return Loss(
        is_none=False,
        text=f"what {copy.node_id} took as primary after the change of roles is given up",
    )
