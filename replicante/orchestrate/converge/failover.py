"""Step: a shard whose primary is gone gets another one. Pure.

Called by `converge.steps`, and for a failover that a person asks for by `role_changes`. It says
who should be promoted and what that may cost. A primary that hangs under an agent that answers is
ended first, so that it cannot go on as the primary that it was; one lost answer of that agent does
not change this. Beside a controller that the declaration has asked, that one replaces it. Whether
the primary is really gone is judged by the rules `failure_confirmed` and `witnesses_agree`, on the
same assessment.

Where no copy may take over by itself, each that a person could force becomes a question: an
orchestrator action that waits to be approved, with its price (ADR 0095).
"""

from __future__ import annotations

from dataclasses import replace

from replicante.limits import FENCE_MS_MAX
from replicante.model.action_kinds import (
    CONTROLLER_FAILOVER,
    CORE_FAILOVER,
    STORE_FENCE,
    STORE_PROMOTE,
)
from replicante.model.actions import Requester
from replicante.model.cluster_declaration import Controller, Step
from replicante.model.codec import Value
from replicante.model.decision import ForcedOption, Loss
from replicante.model.node import NodeStatus, StoreContact
from replicante.orchestrate.conditions import condition_key
from replicante.orchestrate.memory.fences import is_given_up, was_fenced
from replicante.orchestrate.proposal import (
    Proposal,
    Purpose,
    Situation,
    StepResult,
    idle,
    is_wish,
    protection,
)
from replicante.orchestrate.roles.candidates import Candidate, best, candidates, severity
from replicante.orchestrate.roles.controllers import in_charge
from replicante.orchestrate.roles.primaries import Primary, PrimaryVerdict, Proof

UNKNOWN_LOSS = "unknown"
"""The accepted loss of who accepts one that cannot be said."""
_HANGING = "store_unavailable"
"""The condition that a look leaves behind in which an agent told so of its store."""
_WANTING = (PrimaryVerdict.SUSPECT, PrimaryVerdict.GONE)


def propose_failover(situation: Situation) -> StepResult:
    proposals: list[Proposal] = []
    records, options, stuck = [], [], {}
    for shard_id, primary in situation.primaries.items():
        if primary.verdict not in _WANTING or primary.node_id is None:
            continue
        found = candidates_of(situation, primary)
        records += [candidate.record(Step.FAILOVER) for candidate in found]
        # Beside another controller nobody chooses who takes over.
        is_ours = not in_charge(situation).names
        chosen, ways_out = best(found), _options(situation, primary, found) if is_ours else []
        options += ways_out
        if chosen is None:
            stuck[shard_id] = _nobody(primary, found)
        else:
            proposals.append(_recovery(situation, primary, found, chosen))
        if chosen is None or _is_beyond_bound(situation, chosen):
            proposals += [_question(primary, it) for it in ways_out]
    if proposals:
        return StepResult(
            proposals=tuple(proposals),
            candidates=tuple(records),
            options=tuple(options),
            stuck=stuck,
        )
    if stuck:
        return StepResult(idle="; ".join(stuck.values()), candidates=tuple(records), stuck=stuck)
    return idle(_calm(situation))


def _recovery(
    situation: Situation, primary: Primary, found: tuple[Candidate, ...], chosen: Candidate
) -> Proposal:
    controller = in_charge(situation).through
    if controller is not None:
        return failover_through(controller, situation, primary, found)
    return _fence_first(situation, primary, chosen) or promotion(situation, primary, chosen)


def hangs(situation: Situation, node_id: str) -> bool:
    """Its agent answers and keeps the epoch, its store is silent: neither gone nor there."""
    node = situation.view.nodes.get(node_id)
    return (
        node is not None
        and node.node_status is NodeStatus.UNAVAILABLE
        and node.contact is StoreContact.SILENT
        and node.is_fenced
    )


def fence(*, step: Step, shard_id: str, node_id: str, why: str, loss: Loss) -> Proposal:
    return Proposal(
        step=step,
        action_kind=STORE_FENCE,
        node_id=node_id,
        args={"shard_id": shard_id, "replaces": node_id},
        spared=(node_id,),
        shard_id=shard_id,
        effect=f"end the silent store process of {node_id}, {why}",
        loss=loss,
        purpose=Purpose.RECOVERY,
        # Of its own: what follows it need not wait to see its effect, which is a refusal.
        grace_subject=fence_subject(node_id, shard_id),
    )


def fence_subject(node_id: str, shard_id: str) -> str:
    """Of its grace."""
    return f"fence/{node_id}/{shard_id}"


def promotion(
    situation: Situation,
    primary: Primary,
    chosen: Candidate,
    *,
    accepted_loss: int | None = None,
    is_any_loss_accepted: bool = False,
    overrides: tuple[str, ...] = (),
    cause: str | None = None,
) -> Proposal:
    """cause: the orchestrator action of the person who asks; None: convergence wants it."""
    offset = chosen.copy.commit_offset
    return Proposal(
        step=Step.FAILOVER,
        action_kind=STORE_PROMOTE,
        node_id=chosen.node_id,
        args={
            "shard_id": primary.shard_id,
            "replaces": primary.node_id,
            "offset": None if offset is None else offset.value,
            **protection(situation.view.spec),
        },
        spared=() if primary.node_id is None else (primary.node_id,),
        shard_id=primary.shard_id,
        effect=f"make {chosen.node_id} the primary of shard {primary.shard_id} instead of"
        f" {primary.node_id}",
        loss=chosen.loss,
        purpose=Purpose.RECOVERY,
        requester=Requester.CORE_DECLARATIVE if cause is None else Requester.CORE_API,
        accepted_loss=accepted_loss,
        is_any_loss_accepted=is_any_loss_accepted,
        overrides=overrides,
        cause=cause,
        grace_subject=primary.shard_id,
    )


def failover_through(
    controller: Controller,
    situation: Situation,
    primary: Primary,
    found: tuple[Candidate, ...],
    *,
    accepted_loss: int | None = None,
    cause: str | None = None,
) -> Proposal:
    """found: some of them eligible. The controller chooses among them, so the price is that of the
    worst; asked is the agent of the best, which is well."""
    fit = [it for it in found if it.is_eligible]
    watched = in_charge(situation).seen
    asked = next((it for it in fit if it.node_id in watched), fit[0])
    return Proposal(
        step=Step.FAILOVER,
        action_kind=CONTROLLER_FAILOVER,
        node_id=asked.node_id,
        args={
            "shard_id": primary.shard_id,
            "replaces": primary.node_id,
            "node": situation.view.address_of(primary.node_id),
            "controller": str(controller),
        },
        spared=() if primary.node_id is None else (primary.node_id,),
        shard_id=primary.shard_id,
        effect=f"have {controller} replace {primary.node_id}, the primary of shard"
        f" {primary.shard_id}, by one that it chooses",
        loss=max((it.loss for it in fit), key=severity),
        purpose=Purpose.RECOVERY,
        requester=Requester.CORE_DECLARATIVE if cause is None else Requester.CORE_API,
        accepted_loss=accepted_loss,
        cause=cause,
        grace_subject=primary.shard_id,
    )


def _fence_first(situation: Situation, primary: Primary, chosen: Candidate) -> Proposal | None:
    """Once a suspicion, and for so long: an agent that cannot do it must not stand in the way of a
    failover."""
    node_id = primary.node_id or ""
    is_unheard = primary.proof is not Proof.REFUSED and hung_a_look_ago(situation, node_id)
    if primary.suspicion is None or not (is_unheard or hangs(situation, node_id)):
        return None
    if not may_be_ended(situation, node_id, shard_id=primary.shard_id):
        return None
    proposal = fence_before(primary.shard_id, node_id, chosen.node_id, loss=chosen.loss)
    fences = [it for it in situation.view.nactions_of(node_id) if it.kind == STORE_FENCE]
    is_wanted = any(is_wish(it) or it.may_be_at_agent for it in fences)
    if any(is_given_up(it, situation.state, now_ms=situation.now_ms) for it in fences):
        return None
    began_ms, state = primary.suspicion.since_ms, situation.state
    is_busy = _is_busy(situation, node_id) and situation.now_ms - began_ms >= FENCE_MS_MAX
    if is_busy and not any(it.may_be_at_agent for it in fences):
        return None
    failed = state.attempts.get(str(Step.FAILOVER))
    has_failed = failed is not None and failed.last_ms >= began_ms
    was_wished = state.graces.get(proposal.grace_key or "", -1) >= began_ms
    was_tried = was_wished or has_failed or was_fenced(state, node_id)
    if was_tried and not is_wanted:
        return None
    # Nothing is spared of who was not seen: `information_complete` has it wait for one look.
    return replace(proposal, spared=()) if is_unheard else proposal


def _is_busy(situation: Situation, node_id: str) -> bool:
    """Its agent, which does one action at a time, has another one, which may never end there."""
    at_agent = (it for it in situation.view.nactions_of(node_id) if it.may_be_at_agent)
    return any(it.kind != STORE_FENCE for it in at_agent)


def may_be_ended(situation: Situation, node_id: str, *, shard_id: str) -> bool:
    """Of each other shard whose primary it is somebody may take over, too: a process that goes on
    costs less than one that takes the only copy with it."""
    for other in situation.primaries.values():
        if other.node_id != node_id or other.shard_id == shard_id:
            continue
        chosen = best(candidates_of(situation, other))
        is_replaced = chosen is not None and not _is_beyond_bound(situation, chosen)
        if other.verdict not in _WANTING or not is_replaced:
            return False
    return True


def fence_before(shard_id: str, node_id: str, successor: str, *, loss: Loss) -> Proposal:
    return fence(
        step=Step.FAILOVER,
        shard_id=shard_id,
        node_id=node_id,
        why=f"before {successor} becomes the primary of shard {shard_id}",
        loss=loss,
    )


def hung_a_look_ago(situation: Situation, node_id: str) -> bool:
    """Its agent told that in the look before this one, and is silent in this one for the first
    time. An answer may be lost on its way; what it could end would go on as a primary."""
    node = situation.view.nodes.get(node_id)
    return (
        node is not None
        and node.node_status is NodeStatus.UNREACHABLE
        and node.is_fenced
        and node.contact is StoreContact.SILENT
        # Of the cycle before: this one's are not written yet.
        and condition_key(_HANGING, node_id) in situation.state.conditions
    )


def candidates_of(situation: Situation, primary: Primary) -> tuple[Candidate, ...]:
    return candidates(
        situation.view,
        situation.state,
        shard_id=primary.shard_id,
        replaces=primary.node_id or "",
        now_ms=situation.now_ms,
    )


def _options(
    situation: Situation, primary: Primary, found: tuple[Candidate, ...]
) -> list[ForcedOption]:
    """What a person may force where the bound or the state of a copy forbids, each with its
    price."""
    bound = situation.view.spec.declaration.policies.data_loss_offset_max
    options: list[ForcedOption] = []
    for candidate in found:
        price, overrides = candidate.loss.known_min, candidate.overrides
        is_within = price is not None and bound is not None and price <= bound
        if overrides is None or (candidate.is_eligible and is_within):
            continue
        args: dict[str, Value] = {
            "shard_id": primary.shard_id,
            "to": candidate.node_id,
            "accepted_loss": UNKNOWN_LOSS if price is None else price,
        }
        against = ","
        if overrides:
            args["overrides"] = list(overrides)
            against = f", although {'; '.join(candidate.reasons)},"
        options.append(
            ForcedOption(
                verb=CORE_FAILOVER,
                args=args,
                price=candidate.loss,
                text=f"fail over to {candidate.node_id}{against} losing {candidate.loss.text}",
                overrides=candidate.reasons,
            )
        )
    return options


def _is_beyond_bound(situation: Situation, chosen: Candidate) -> bool:
    """Its promotion is denied, not only asked about."""
    bound = situation.view.spec.declaration.policies.data_loss_offset_max
    price = chosen.loss.known_min
    return price is None or (bound is not None and price > bound)


def _question(primary: Primary, option: ForcedOption) -> Proposal:
    args = option.args if isinstance(option.args, dict) else {}
    named = args.get("overrides")
    against = f", although {'; '.join(option.overrides)}" if option.overrides else ""
    return Proposal(
        step=Step.FAILOVER,
        action_kind=option.verb,
        node_id=None,
        args=args,
        spared=() if primary.node_id is None else (primary.node_id,),
        shard_id=primary.shard_id,
        effect=f"fail over to {args['to']}{against}, if a person accepts the loss",
        loss=option.price,
        purpose=Purpose.RECOVERY,
        overrides=tuple(str(it) for it in named) if isinstance(named, list) else (),
    )


def _nobody(primary: Primary, found: tuple[Candidate, ...]) -> str:
    if not found:
        return f"shard {primary.shard_id} has no other copy than that of {primary.node_id}"
    reasons = "; ".join(f"{it.node_id}: {', '.join(it.reasons)}" for it in found)
    return f"nobody may take shard {primary.shard_id} over ({reasons})"


def _calm(situation: Situation) -> str:
    if not situation.primaries:
        return "no shard is known"
    reasons = [primary.reason for primary in situation.primaries.values() if primary.reason]
    return "; ".join(reasons)
