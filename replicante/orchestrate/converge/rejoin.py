"""Step: whoever should follow the primary of a shard and does not is told to. Pure.

Called by `converge.steps`. Three cases, all ending in the same action: a former primary that came
back and still calls itself primary; a copy that follows another one, as a switchover leaves the
third behind the former primary; a store process that is down
under an agent that answers. Beside a controller that changes roles the last alone is ours, and the
server is only started. A former primary that hangs is ended before, or it would take writes
when it goes on. What the node has beyond the primary is given up: that is why the
appointed primary must be seen, alone decides, and is never itself told to follow. Of one that calls
itself primary and is not known to have been replaced a person decides (`claims_respected`); until
then a copy that hears it stays behind it.
"""

from __future__ import annotations

from replicante.model.action_kinds import SERVICE_START, STORE_REJOIN
from replicante.model.cluster_declaration import Step
from replicante.model.decision import Loss
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.shard import Shard, ShardRole, Sight
from replicante.orchestrate.converge.failover import fence, hangs
from replicante.orchestrate.converge.leaving import leaves
from replicante.orchestrate.proposal import (
    Proposal,
    Purpose,
    Situation,
    StepResult,
    idle,
    protection,
)
from replicante.orchestrate.roles.claims import claim_followed
from replicante.orchestrate.roles.controllers import in_charge, named_address
from replicante.orchestrate.roles.primaries import Primary, PrimaryVerdict, is_follower


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
                proposals.append(_fence(situation, copy, leader))
                continue
            why = _why(situation, copy, leader)
            if why and others:
                # Whom it follows is the business of the controller in charge.
                proposals += _start(situation, copy, leader)
            elif why:
                proposals.append(_rejoin(situation, copy, leader, why))
    if not proposals:
        return idle("every copy that is seen follows its primary, or no primary is seen")
    # Who waits for nobody first; then who is well and follows a dead node: that brings copies back
    # without a start.
    is_healthy = situation.view.is_healthy
    proposals.sort(
        key=lambda it: (_is_asked_about(situation, it), not is_healthy(it.node_id or ""))
    )
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
    if upstream.sight is Sight.UP and claim_followed(view, situation.state, copy, leader):
        # Whom it follows may be the right one, and that is settled first.
        return ""
    return f"it follows {upstream.address}"


def _fence(situation: Situation, copy: Shard, leader: str) -> Proposal:
    is_known = copy.node_id in situation.state.replaced.get(copy.shard_id, {})
    return fence(
        step=Step.REJOIN,
        shard_id=copy.shard_id,
        node_id=copy.node_id,
        why=f"which does not know yet that {leader} replaced it"
        if is_known
        else f"which called itself primary beside {leader}",
        loss=_price(situation, copy),
    )


def _rejoin(situation: Situation, copy: Shard, leader: str, why: str) -> Proposal:
    view = situation.view
    address = view.nodes[leader].member_address
    claimed = situation.state.claimed.get(copy.shard_id, ())
    gives_up = copy.role is ShardRole.PRIMARY or copy.node_id in claimed
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
        loss=_price(situation, copy) if gives_up else Loss(is_none=True, text="none"),
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


def _is_asked_about(situation: Situation, proposal: Proposal) -> bool:
    shard_id, node_id = proposal.shard_id or "", proposal.node_id or ""
    copy, leader = situation.view.shards[node_id][shard_id], situation.primaries[shard_id].node_id
    is_claim = node_id in situation.state.claimed.get(shard_id, ())
    return is_claim or bool(claim_followed(situation.view, situation.state, copy, leader or ""))


def _price(situation: Situation, copy: Shard) -> Loss:
    successor = situation.state.replaced.get(copy.shard_id, {}).get(copy.node_id)
    if successor is not None:
        took = f"what {copy.node_id} took as primary after {successor} replaced it is given up"
        return Loss(is_none=False, text=took)
    offset = copy.commit_offset
    told = "" if offset is None else f", {offset.value} {offset.unit} of history {copy.history_id}"
    return Loss(
        is_none=False,
        text=f"all that {copy.node_id} holds and its primary does not is given up{told}: nothing"
        " tells that it was ever replaced",
    )
