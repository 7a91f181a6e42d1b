"""Decides what a failover that a person asks for does to a switchover of its shard. Pure; called by
`oactions` while the failover has its turn to come.

A switchover needs its primary. Once that is not seen, the switchover is in doubt, and the failover
goes first: the switchover ends, what it asked of the primary's agent is cancelled there, and the
failover waits until that agent tells how that ended, and for one look more, as everybody does who
goes past a primary (`settling`). Never are both on their way: one that left is over only by its
agent's word, or left under an epoch that is refused by now (ADR 0070). At an agent that is silent
it may run still, and `one_disruption` asks a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from replicante.model.action_kinds import (
    CORE_SWITCHOVER,
    HANDOVER_KINDS,
    PLATFORM_KINDS,
    STORE_FENCE,
)
from replicante.model.actions import NAction, NActionPhase, OAction, OActionPhase
from replicante.model.change import ChangeCode
from replicante.model.codec import Value
from replicante.model.decision import Outcome
from replicante.model.modes import Mode
from replicante.model.node import NodeStatus
from replicante.orchestrate.actions.acting import Acting
from replicante.orchestrate.actions.role_changes import propose_asked_failover
from replicante.orchestrate.memory.fences import is_given_up
from replicante.orchestrate.memory.settling import settling_in
from replicante.orchestrate.proposal import Proposal, Situation
from replicante.orchestrate.roles.primaries import Primary, PrimaryVerdict
from replicante.orchestrate.safety.case import Case
from replicante.orchestrate.safety.rules import judge, outcome_of


def clear_way(acting: Acting, failover: OAction) -> list[NAction] | None:
    """What is to be cancelled at its agent before the failover may go, which waits meanwhile. None:
    no switchover is in its way."""
    proposal = propose_asked_failover(failover, acting.situation)
    if isinstance(proposal, str):
        return None
    primary = acting.situation.primaries[proposal.shard_id or ""]
    running = _running(acting.situation, proposal)
    if running is not None:
        owner, served = running
        if not _is_alone(acting.situation, owner):
            return None
        if not _may_go(acting, proposal, owner, served):
            acting.record_held(proposal, failover.action_id)
            return []
        _end(acting, owner, served, failover, primary)
    unended = list(_unended(acting.situation, proposal))
    if not unended and not _is_unsettled(failover, primary):
        if not _waits(acting.situation, proposal, primary):
            return None
        acting.record_held(proposal, failover.action_id)
        return []
    known = failover.payload if isinstance(failover.payload, dict) else {}
    if unended:
        known = {"replaces": primary.node_id, "overtakes": unended[0].action_id}
    _note(acting, failover, known)
    acting.record_held(proposal, failover.action_id)
    return [it for it in unended if it.phase in (NActionPhase.NEW, NActionPhase.RUNNING)]


def _running(situation: Situation, proposal: Proposal) -> tuple[OAction, NAction] | None:
    """The switchover of the shard that runs, and its node action."""
    served = {it.action_id: it for it in situation.view.nactions}
    for owner in situation.view.oactions:
        payload = owner.payload if isinstance(owner.payload, dict) else {}
        found = served.get(str(payload.get("naction_id")))
        is_running = owner.kind == CORE_SWITCHOVER and owner.phase is OActionPhase.RUNNING
        if is_running and found is not None and _is_of(found, proposal):
            return owner, found
    return None


def _is_alone(situation: Situation, owner: OAction) -> bool:
    """Nothing else runs that the failover waits for."""
    return all(
        it is owner or it.phase is not OActionPhase.RUNNING or it.kind in PLATFORM_KINDS
        for it in situation.view.oactions
    )


def _may_go(acting: Acting, proposal: Proposal, owner: OAction, served: NAction) -> bool:
    """The rules let it go, or a person may, once the switchover is no more."""
    view = acting.situation.view
    view = view.with_oactions(it for it in view.oactions if it is not owner)
    view = view.with_nactions(it for it in view.nactions if it is not served)
    sent = {it: at for it, at in acting.situation.state.sent.items() if it != served.action_id}
    state = msgspec.structs.replace(acting.situation.state, sent=sent)
    situation = replace(acting.situation, view=view, state=state)
    doing = tuple(acting.doing)
    case = Case(proposal=proposal, situation=situation, earlier=(), doing=doing)
    return outcome_of(judge(case)) in (Outcome.DONE, Outcome.AWAITS_APPROVAL)


def _end(
    acting: Acting, owner: OAction, served: NAction, failover: OAction, primary: Primary
) -> None:
    why = f"failover {failover.action_id} was asked for and goes first: {primary.reason}"
    if not served.may_be_at_agent:
        acting.withdraw(served, why)
    acting.withdraw(owner, why)


def _unended(situation: Situation, proposal: Proposal) -> Iterator[NAction]:
    """What switchovers of the shard that have ended left at agents that answer."""
    owners = {it.action_id for it in situation.view.oactions}
    for action in situation.view.nactions:
        is_answering = _is_answering(situation, action.node_id)
        is_left = action.cause is not None and action.cause not in owners
        if is_answering and is_left and action.may_be_at_agent and _is_of(action, proposal):
            yield action
    for action in situation.cancelled_at_agents:
        if _is_of(action, proposal):
            yield action


def _is_unsettled(failover: OAction, primary: Primary) -> bool:
    """The primary says that it is none any more: the switchover may have come through, and its
    successor is not seen yet."""
    is_in_doubt = primary.verdict is PrimaryVerdict.SUSPECT and primary.has_stepped_down
    return is_in_doubt and isinstance(failover.payload, dict)


def _waits(situation: Situation, proposal: Proposal, primary: Primary) -> bool:
    """Another change of the primary was seen to end in this look; or its process is being ended,
    which the failover would come after anyway. Both are soon over: it would fail for nothing."""
    node_id = primary.node_id or ""
    is_being_ended = _is_answering(situation, node_id) and any(
        it.kind == STORE_FENCE and it.may_be_at_agent and _is_soon_over(situation, it)
        for it in situation.view.nactions_of(node_id)
    )
    return is_being_ended or bool(settling_in(situation.just_over, proposal.shard_id))


def _is_soon_over(situation: Situation, action: NAction) -> bool:
    """Its agent has it, or it is sent again; where automation only looks, it ends once its agent
    is believed that it does not have it."""
    is_lacking = situation.is_denied(action) and action.node_id not in situation.state.doubts
    if is_given_up(action, situation.state, now_ms=situation.now_ms):
        return False
    is_sent_again = situation.mode is Mode.ACTIVE or is_lacking
    return is_sent_again or not action.phase.is_pending


def _is_answering(situation: Situation, node_id: str) -> bool:
    node = situation.view.nodes.get(node_id)
    return node is not None and node.node_status is not NodeStatus.UNREACHABLE


def _note(acting: Acting, failover: OAction, payload: dict[str, Value]) -> None:
    """replaces: the primary past which it was asked to go. overtakes: the node action of the
    switchover."""
    if failover.payload != payload:
        after = msgspec.structs.replace(failover, payload=payload)
        acting.put_oaction(failover, after, ChangeCode.OACTION_UPDATE)


def _is_of(action: NAction, proposal: Proposal) -> bool:
    args = action.args if isinstance(action.args, dict) else {}
    return action.kind in HANDOVER_KINDS and args.get("shard_id") == proposal.shard_id
