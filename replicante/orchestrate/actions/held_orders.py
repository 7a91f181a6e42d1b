"""Switchovers and failovers that people asked for and that something held: a pause, other orders.
Pure.

Called by `oactions`. Their node action is made when they begin, and is as young as that; so what a
person knew when that one asked is looked at here. A node action asked for by name is treated alike
(`held_promotions`, `by_name`).
"""

from __future__ import annotations

from dataclasses import replace

from replicante.model.action_kinds import CORE_FAILOVER, CORE_SWITCHOVER
from replicante.model.actions import OAction, OActionPhase, Requester
from replicante.model.change import ChangeCode
from replicante.orchestrate.actions.acting import Acting
from replicante.orchestrate.actions.by_name import APPROVAL_RULE, long_wanted_ms
from replicante.orchestrate.actions.questions import asked_about
from replicante.orchestrate.actions.role_changes import (
    asked_primary,
    propose_asked_failover,
    propose_switchover,
)
from replicante.orchestrate.proposal import Situation
from replicante.orchestrate.roles.primaries import PrimaryVerdict

_PROPOSE = {CORE_SWITCHOVER: propose_switchover, CORE_FAILOVER: propose_asked_failover}


def is_past_its_reason(action: OAction, situation: Situation) -> bool:
    """A failover that did not begin, of a primary that is there: it does not wait for its death."""
    if action.kind != CORE_FAILOVER or action.phase is not OActionPhase.PENDING_SCHEDULE:
        return False
    primary = asked_primary(action, situation)
    is_there = primary is not None and primary.verdict is PrimaryVerdict.PRESENT
    return is_there and action.requester is not Requester.CORE_DECLARATIVE


def is_asked_about(acting: Acting, action: OAction) -> bool:
    """It waits for a person, who says whether it is wanted still: it was asked for, or approved
    last, too long ago. What cannot be done any more is not asked about: it fails when it begins."""
    propose = _PROPOSE.get(action.kind)
    is_pending = action.phase in (OActionPhase.PENDING_SCHEDULE, OActionPhase.PENDING_APPROVE)
    if propose is None or not is_pending or action.requester is Requester.CORE_DECLARATIVE:
        return False
    is_waiting = action.phase is OActionPhase.PENDING_APPROVE
    since_ms = long_wanted_ms(action, acting.situation.now_ms)
    if since_ms is None or (is_waiting and APPROVAL_RULE not in action.asked):
        return is_waiting
    proposal = propose(action, acting.situation)
    if isinstance(proposal, str):
        return is_waiting
    asked = replace(proposal, is_approval_wanted=True, wanted_ms=since_ms)
    acting.record_held(asked, action.action_id)
    if not is_waiting:
        after = asked_about(action, {APPROVAL_RULE: {"wanted_ms": since_ms}})
        assert isinstance(after, OAction), "it is asked about as it is"
        acting.put_oaction(action, after, ChangeCode.OACTION_ASK)
    return True
