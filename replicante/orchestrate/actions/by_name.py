"""Makes a proposal of an action that somebody asked for, so that the rules can judge it. Pure.

Called by `acting`, for each action that disturbs and did not leave yet. Steps of convergence know
what they propose; of what a person wrote down only the record is there, so whom it touches and what
it may cost is read off the cluster. Args that are missing or make no sense are no way around a
rule: what they leave open counts as unknown.
"""

from __future__ import annotations

from dataclasses import replace

from replicante.limits import ASKED_HELD_MS_MAX
from replicante.model.action_kinds import (
    CLUSTER_ADD,
    CLUSTER_JOIN,
    CLUSTER_REMOVE,
    PAST_A_PRIMARY_KINDS,
    PLATFORM_DEPROVISION,
    ROLE_KINDS,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_REJOIN,
    STORE_SWITCHOVER,
    THROUGH_KINDS,
)
from replicante.model.actions import NAction, NActionPhase, OAction, OActionPhase
from replicante.model.cluster_declaration import Step
from replicante.model.decision import Loss
from replicante.orchestrate.converge.failover import UNKNOWN_LOSS
from replicante.orchestrate.memory.progress import STEP_METADATA
from replicante.orchestrate.named_args import known_args, text_of
from replicante.orchestrate.proposal import (
    NO_LOSS,
    Proposal,
    Purpose,
    Situation,
    gives_up,
    is_start_as_copy,
)
from replicante.orchestrate.roles.candidates import candidates, severity

APPROVAL_RULE = "approval_granted"
_ROLES = ROLE_KINDS | THROUGH_KINDS
_UNSAID = Loss(is_none=False, text="cannot be said: no copy is known that could take over")


def proposal_of(action: NAction | OAction, situation: Situation) -> Proposal:
    """What somebody asked for, as the rules want it."""
    view, kind, node_id = situation.view, action.kind, getattr(action, "node_id", None)
    args = known_args(action, situation)
    other = text_of(args, "node_id")
    shard_id = text_of(args, "shard_id") or "" if kind in _ROLES else None
    primary = situation.primaries.get(shard_id or "")
    spared = {node_id, *([other] if kind in (CLUSTER_REMOVE, PLATFORM_DEPROVISION) else [])}
    if primary is not None and kind in PAST_A_PRIMARY_KINDS:
        spared.add(primary.node_id)
    is_start = is_start_as_copy(kind, args)
    is_of_two = is_start or kind in (STORE_REJOIN, STORE_SWITCHOVER, CLUSTER_REMOVE)
    touched = other if is_of_two else None
    if kind in (CLUSTER_ADD, CLUSTER_JOIN):
        touched = view.node_at(text_of(args, "node"))
    owner = next((it for it in view.oactions if it.action_id == action.cause), None)
    accepted = owner.args if owner is not None and isinstance(owner.args, dict) else {}
    bound, overrides = accepted.get("accepted_loss"), accepted.get("overrides")
    wanted_ms = long_wanted_ms(action, situation.now_ms)
    where = f" on {node_id}" if node_id is not None else f" of {other}"
    found = Proposal(
        step=None,
        serves=None if owner is None else served_step(action),
        action_kind=kind,
        node_id=node_id,
        args=args,
        touches=() if touched is None else (touched,),
        spared=tuple(sorted(it for it in spared if it is not None)),
        shard_id=shard_id,
        effect=f"carry out {kind}{where}, which a person asked for",
        purpose=Purpose.RECOVERY if is_start or kind in _ROLES else Purpose.PLANNED,
        requester=action.requester,
        accepted_loss=bound if type(bound) is int else None,
        is_any_loss_accepted=bound == UNKNOWN_LOSS,
        overrides=tuple(map(str, overrides)) if isinstance(overrides, list) else (),
        cause=action.cause,
        action_id=action.action_id,
        grace_subject=shard_id or "",
        is_by_name=owner is None,
        is_approval_wanted=_is_approval_wanted(action, is_old=wanted_ms is not None),
        wanted_ms=wanted_ms,
    )
    return replace(found, loss=_loss(found, situation))


def served_step(action: NAction | OAction) -> Step | None:
    named = action.metadata.get(STEP_METADATA)
    return next((it for it in Step if str(it) == named), None)


def long_wanted_ms(action: NAction | OAction, now_ms: int) -> int | None:
    """When a person asked for it or approved it last; None: not so long ago. A call of a platform
    that may have left is not asked about: nobody could approve it."""
    since_ms = action.created_ms if action.approved_ms is None else action.approved_ms
    has_begun = action.phase is OActionPhase.RUNNING
    is_old = now_ms - since_ms >= ASKED_HELD_MS_MAX and not has_begun
    return since_ms if is_old else None


def _is_approval_wanted(action: NAction | OAction, *, is_old: bool) -> bool:
    """Who approved it, whatever was asked, wants it, for an hour."""
    if action.phase in (NActionPhase.PENDING_APPROVE, OActionPhase.PENDING_APPROVE):
        # One that was made to wait names no rule at first.
        return is_old or not action.asked or APPROVAL_RULE in action.asked
    # What nobody had to approve ends with the orchestrator action that it serves.
    return is_old and (action.cause is None or action.approved_ms is not None)


def _loss(proposal: Proposal, situation: Situation) -> Loss:
    kind, node_id, args = proposal.action_kind, proposal.node_id, proposal.args
    if gives_up(proposal, situation.view):
        told = f"what {node_id} holds and whom it is to follow does not is given up"
        return Loss(is_none=False, text=told)
    if kind not in PAST_A_PRIMARY_KINDS:
        return NO_LOSS
    found = candidates(
        situation.view,
        situation.state,
        shard_id=text_of(args, "shard_id") or "",
        replaces=text_of(args, "replaces") or "",
        now_ms=situation.now_ms,
    )
    if kind == STORE_PROMOTE:
        return next((it.loss for it in found if it.node_id == node_id), _UNSAID)
    fit = [it.loss for it in found if it.is_eligible]
    if kind == STORE_FENCE:
        return fit[0] if fit else _UNSAID
    # The controller chooses, so the price is that of the worst.
    return max(fit, key=severity, default=_UNSAID)
