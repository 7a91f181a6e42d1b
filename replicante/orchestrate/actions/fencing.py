"""A failover that a person asks for ends the process of a primary that hangs first (ADR 0046).
Pure.

Called by `oactions` and `oaction_kinds`. An orchestrator action has one node action at a time: the
fence, and the promotion once that is over, however it ended. An agent that fails, that lacks the
action, that does not come to an end with it, or that falls silent meanwhile stands in nobody's way.
Once a process was to be ended, one look in which nobody can be promoted does not end the failover.
"""

from __future__ import annotations

from dataclasses import replace

from replicante.limits import SUCCESSOR_MS_MAX
from replicante.model.action_kinds import STORE_FENCE, STORE_PROMOTE
from replicante.model.actions import NActionPhase
from replicante.model.codec import Value
from replicante.model.node import NodeStatus
from replicante.orchestrate.actions.acting import Acting
from replicante.orchestrate.converge.failover import (
    fence_before,
    hangs,
    hung_a_look_ago,
    may_be_ended,
)
from replicante.orchestrate.memory.fences import is_fenced_for_long, is_given_up
from replicante.orchestrate.proposal import Proposal, Situation
from replicante.orchestrate.roles.primaries import Primary, PrimaryVerdict

_FENCE = "fence_id"
"""In the payload of a failover: the node action with which it ends the process."""
_FENCED = "fenced"
"""The node of that process."""
_ENDED = "fence_ended"
"""Its agent said that the process was ended."""
_WAITING = "waiting_ms"
"""Cluster clock: since when it waits for its successor."""


def first_of(acting: Acting, proposal: Proposal, payload: Value) -> Proposal:
    """What is to be done before the proposal of a failover, or that itself. payload: what its
    record is to hold; a failover fences once."""
    known = payload if isinstance(payload, dict) else {}
    node_id, shard_id = proposal.args.get("replaces"), proposal.shard_id
    if proposal.action_kind != STORE_PROMOTE or not isinstance(node_id, str) or shard_id is None:
        return proposal
    if _FENCE in known or not hangs(acting.situation, node_id):
        return proposal
    if not may_be_ended(acting.situation, node_id, shard_id=shard_id):
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
    fenced = {_FENCE: action_id, _FENCED: proposal.node_id} if is_fence else {}
    return {**known, **fenced, "naction_id": action_id}


def is_fence_over(payload: dict[str, Value], situation: Situation) -> bool:
    """It ends a process first, and need not wait for that any more."""
    fence_id = payload.get(_FENCE)
    if fence_id is None or payload.get("naction_id") != fence_id:
        return False
    if payload.get("naction_phase") is not None:
        return True
    served = next((it for it in situation.view.nactions if it.action_id == fence_id), None)
    if served is None or is_given_up(served, situation.state, now_ms=situation.now_ms):
        return True
    if not served.may_be_at_agent and is_fenced_for_long(
        situation.state, served.node_id, now_ms=situation.now_ms
    ):
        # It left, did not arrive, and a rule holds it now.
        return True
    node = situation.view.nodes.get(served.node_id)
    is_silent = node is None or node.node_status is NodeStatus.UNREACHABLE
    # One lost answer is not enough: what it would have ended goes on as a primary.
    return is_silent and not hung_a_look_ago(situation, served.node_id)


def with_fence(payload: dict[str, Value]) -> dict[str, Value]:
    """What its record is to hold on: that it ended a process, and past whom it was asked to go."""
    names = (_FENCE, _FENCED, _ENDED, _WAITING, "replaces", "overtakes")
    is_of_fence = payload.get("naction_id") == payload.get(_FENCE)
    is_ended = is_of_fence and payload.get("naction_phase") == str(NActionPhase.DONE)
    kept = {name: payload[name] for name in names if name in payload}
    return {**kept, _ENDED: True} if is_ended else kept


def waiting(payload: Value, primary: Primary | None, now_ms: int) -> dict[str, Value] | None:
    """What the record of a failover is to hold that ended a process and cannot promote anybody
    just now, as by one lost answer of the successor. None: it fails."""
    known = payload if isinstance(payload, dict) else {}
    if _FENCE not in known or primary is None or primary.node_id != known.get(_FENCED):
        return None
    since_ms = int(known.get(_WAITING, now_ms))
    is_missed = primary.verdict in (PrimaryVerdict.SUSPECT, PrimaryVerdict.GONE)
    is_over = now_ms - since_ms >= SUCCESSOR_MS_MAX
    return None if is_over or not is_missed else {**known, _WAITING: since_ms}


def told_after(reason: str, payload: Value) -> str:
    """The reason why a failover fails, with what it did before."""
    known = payload if isinstance(payload, dict) else {}
    if _FENCE not in known:
        return reason
    done = "was ended" if known.get(_ENDED) else "was asked to be ended"
    return f"{reason}; before, the process of {known.get(_FENCED)} {done}"
