"""A failover that a person asks for ends the process of a primary that hangs first (ADR 0046).
Pure.

Called by `oactions` and `oaction_kinds`. An orchestrator action has one node action at a time: the
fence, and the promotion once that is over, however it ended. An agent that fails, that lacks the
action, or that falls silent meanwhile stands in nobody's way.
"""

from __future__ import annotations

from dataclasses import replace

from replicante.model.action_kinds import STORE_FENCE, STORE_PROMOTE
from replicante.model.codec import Value
from replicante.model.node import NodeStatus
from replicante.orchestrate.actions.acting import Acting
from replicante.orchestrate.converge.failover import fence_before, hangs, hung_a_look_ago
from replicante.orchestrate.proposal import Proposal, Situation

_FENCE = "fence_id"
"""In the payload of a failover: the node action with which it ends the process."""


def first_of(acting: Acting, proposal: Proposal, payload: Value) -> Proposal:
    """What is to be done before the proposal of a failover, or that itself. payload: what its
    record is to hold; a failover fences once."""
    known = payload if isinstance(payload, dict) else {}
    node_id, shard_id = proposal.args.get("replaces"), proposal.shard_id
    if proposal.action_kind != STORE_PROMOTE or not isinstance(node_id, str) or shard_id is None:
        return proposal
    if _FENCE in known or not hangs(acting.situation, node_id):
        return proposal
    fence = replace(
        fence_before(shard_id, node_id, proposal.node_id or "", loss=proposal.loss),
        requester=proposal.requester,
        accepted_loss=proposal.accepted_loss,
        is_any_loss_accepted=proposal.is_any_loss_accepted,
        overrides=proposal.overrides,
        cause=proposal.cause,
    )
    # Nothing is ended that nobody may replace.
    return fence if acting.may_go(proposal) and acting.may_go(fence) else proposal


def noted(proposal: Proposal, action_id: str | None, payload: Value) -> dict[str, Value]:
    """The payload while the node action is under way that was made of the proposal."""
    known = payload if isinstance(payload, dict) else {}
    is_fence = proposal.action_kind == STORE_FENCE
    return {**known, **({_FENCE: action_id} if is_fence else {}), "naction_id": action_id}


def is_fence_over(payload: dict[str, Value], situation: Situation) -> bool:
    """It ends a process first, and need not wait for that any more."""
    fence_id = payload.get(_FENCE)
    if fence_id is None or payload.get("naction_id") != fence_id:
        return False
    if payload.get("naction_phase") is not None:
        return True
    served = next((it for it in situation.view.nactions if it.action_id == fence_id), None)
    if served is None:
        return True
    node = situation.view.nodes.get(served.node_id)
    is_silent = node is None or node.node_status is NodeStatus.UNREACHABLE
    # One lost answer is not enough: what it would have ended goes on as a primary.
    return is_silent and not hung_a_look_ago(situation, served.node_id)


def with_fence(payload: dict[str, Value]) -> dict[str, Value]:
    """What its record is to hold on: that it ended a process, and past whom it was asked to go."""
    names = (_FENCE, "replaces", "overtakes")
    return {name: payload[name] for name in names if name in payload}
