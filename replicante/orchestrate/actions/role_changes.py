"""The two verbs with which people change who is primary: switchover and failover. Pure.

Called by `oaction_kinds`. They are not two degrees of one thing. A switchover asks the healthy
primary to hand over: it loses nothing or changes nothing. A failover goes past a primary that
cannot agree: it may lose what only that one had, so it names the loss that is accepted.
"""

from __future__ import annotations

from replicante.model.action_kinds import (
    CONTROLLER_SWITCHOVER,
    HANDOVER_KINDS,
    PAST_A_PRIMARY_KINDS,
)
from replicante.model.actions import OAction
from replicante.model.cluster_declaration import Controller, Step
from replicante.model.codec import Value
from replicante.model.observation import SeenPhase
from replicante.model.shard import Sight
from replicante.orchestrate.converge.failover import (
    UNKNOWN_LOSS,
    candidates_of,
    failover_through,
    promotion,
)
from replicante.orchestrate.converge.handover import handover
from replicante.orchestrate.proposal import (
    NO_LOSS,
    Proposal,
    Purpose,
    Situation,
    is_person_waiting,
)
from replicante.orchestrate.roles.candidates import Candidate, Override, best
from replicante.orchestrate.roles.controllers import in_charge
from replicante.orchestrate.roles.primaries import Primary, PrimaryVerdict


def propose_switchover(action: OAction, situation: Situation) -> Proposal | str:
    """The proposal, or why there is none."""
    asked = _asked(action, situation)
    if isinstance(asked, str):
        return asked
    primary, chosen = asked
    controller = in_charge(situation).through
    if primary.verdict is not PrimaryVerdict.PRESENT or primary.node_id is None:
        return f"a switchover needs a healthy primary: {primary.reason}"
    if not situation.view.is_healthy(primary.node_id):
        return f"a switchover needs a healthy primary: {primary.node_id} is not HEALTHY"
    if controller is not None:
        return _switchover_through(controller, action, primary, primary.node_id)
    upstream = chosen.copy.upstream
    if upstream is not None and upstream.sight in (Sight.DOWN, Sight.REFUSED):
        return f"{chosen.node_id} does not hear the primary"
    return handover(
        situation,
        primary,
        chosen,
        step=Step.FAILOVER,
        purpose=Purpose.RECOVERY,
        requester=action.requester,
        cause=action.action_id,
    )


def _switchover_through(
    controller: Controller, action: OAction, primary: Primary, node_id: str
) -> Proposal | str:
    if _args(action).get("to") is not None:
        return f"{controller} chooses the successor itself: ask without args.to"
    return Proposal(
        step=Step.FAILOVER,
        action_kind=CONTROLLER_SWITCHOVER,
        node_id=node_id,
        args={
            "shard_id": primary.shard_id,
            "replaces": node_id,
            "controller": str(controller),
        },
        shard_id=primary.shard_id,
        effect=f"have {controller} replace {node_id}, the healthy primary of shard"
        f" {primary.shard_id}, by one that it chooses",
        loss=NO_LOSS,
        purpose=Purpose.RECOVERY,
        requester=action.requester,
        cause=action.action_id,
        grace_subject=primary.shard_id,
    )


def propose_asked_failover(action: OAction, situation: Situation) -> Proposal | str:
    """The proposal, or why there is none."""
    named = _args(action).get("accepted_loss")
    accepted = named if type(named) is int and named >= 0 else None
    if accepted is None and named != UNKNOWN_LOSS:
        return (
            "args.accepted_loss must say how much may be lost; 0 is nothing that is known, and"
            f" '{UNKNOWN_LOSS}' is whatever it is"
        )
    overrides = _args(action).get("overrides", [])
    if not isinstance(overrides, list) or not all(it in tuple(Override) for it in overrides):
        return f"args.overrides must be a list of {', '.join(Override)}"
    asked = _asked(action, situation, overrides=tuple(str(it) for it in overrides))
    if isinstance(asked, str):
        return asked
    primary, chosen = asked
    moved = _moved_on(action, primary, situation)
    if moved is not None:
        return moved
    if primary.verdict is PrimaryVerdict.PRESENT:
        return f"{primary.node_id} is there and healthy: ask for a switchover, which loses nothing"
    controller = in_charge(situation).through
    if controller is None:
        return promotion(
            situation,
            primary,
            chosen,
            accepted_loss=accepted,
            is_any_loss_accepted=accepted is None,
            overrides=tuple(str(it) for it in overrides),
            cause=action.action_id,
        )
    if _args(action).get("to") is not None:
        return f"{controller} chooses the successor itself: ask without args.to"
    found = candidates_of(situation, primary)
    if not any(it.is_eligible for it in found):
        return f"{controller} chooses the successor itself, among copies that are fit, and none is"
    return failover_through(
        controller,
        situation,
        primary,
        found,
        accepted_loss=accepted,
        cause=action.action_id,
    )


def _moved_on(action: OAction, primary: Primary, situation: Situation) -> str | None:
    """Why a failover that ended a switchover is not what was asked for any more: that one came
    through, and nobody asked to go past the successor."""
    payload = action.payload if isinstance(action.payload, dict) else {}
    replaced, overtaken = payload.get("replaces"), payload.get("overtakes")
    if overtaken is None:
        return None
    if primary.node_id != replaced:
        return f"{replaced} is the primary no more, {primary.node_id} is: ask anew"
    if primary.verdict is PrimaryVerdict.SEVERAL:
        return f"{primary.reason}: ask anew"
    seen = situation.observations.get(str(replaced))
    for it in () if seen is None else seen.actions:
        if it.action_id == overtaken and it.phase is SeenPhase.DONE:
            return f"{replaced} handed its shard over after all: see to whom, and ask anew"
    return None


def past_its_reason(naction_id: str, situation: Situation) -> str | None:
    """Why the node action that serves a change of roles is not to be sent any more. None: it left,
    or may go yet. What only waits holds up no recovery, and is of the primary that it was about."""
    served = next((it for it in situation.view.nactions if it.action_id == naction_id), None)
    if served is None or not is_person_waiting(served) or not isinstance(served.args, dict):
        return None
    primary = situation.primaries.get(str(served.args.get("shard_id")))
    replaced = served.args.get("replaces", served.node_id)
    if primary is None or primary.node_id is None:
        return None
    if primary.node_id != replaced:
        return f"{replaced} is the primary no more, {primary.node_id} is: ask anew"
    if served.kind in HANDOVER_KINDS and primary.verdict is PrimaryVerdict.GONE:
        return f"a switchover needs a healthy primary: {primary.reason}; ask for a failover"
    if served.kind in PAST_A_PRIMARY_KINDS and primary.verdict is PrimaryVerdict.PRESENT:
        return f"{replaced} is there again: ask for a switchover, which loses nothing"
    return None


def _asked(
    action: OAction, situation: Situation, *, overrides: tuple[str, ...] = ()
) -> tuple[Primary, Candidate] | str:
    wanted, primary = _args(action).get("to"), asked_primary(action, situation)
    if primary is None:
        known = ", ".join(situation.primaries) or "none"
        return f"args.shard_id must name a shard; known: {known}"
    if primary.node_id is None:
        return f"nobody is known to be the primary of shard {primary.shard_id}: {primary.reason}"
    found = candidates_of(situation, primary)
    if wanted is not None:
        found = tuple(it for it in found if it.node_id == wanted)
        if not found:
            return f"{wanted} holds no other copy of shard {primary.shard_id}"
    chosen = best(found, overrides=overrides)
    if chosen is None:
        reasons = "; ".join(f"{it.node_id}: {', '.join(it.reasons)}" for it in found)
        return f"nobody may take shard {primary.shard_id} over ({reasons or 'no other copy'})"
    return primary, chosen


def asked_primary(action: OAction, situation: Situation) -> Primary | None:
    """Of the shard that it names, or of the only one."""
    shard_id = _args(action).get("shard_id")
    if shard_id is None and len(situation.primaries) == 1:
        shard_id = next(iter(situation.primaries))
    return situation.primaries.get(shard_id) if isinstance(shard_id, str) else None


def _args(action: OAction) -> dict[str, Value]:
    return action.args if isinstance(action.args, dict) else {}
