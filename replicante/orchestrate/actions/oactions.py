"""Third stage of a cycle: orchestrator actions go on, and the next one may begin. Pure.

Called by the cycle. Every running one is called once; one that waits begins only when none runs, in
the order of creation. A change of roles may end an outage, so it does not wait for a platform. An
unknown kind fails that action and nothing else.

What people asked for begins before convergence; what of it disturbs is judged before each call.
What convergence wished begins after it, as it was judged in this very cycle; and so is a call of
its that must be made again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from replicante.model.action_kinds import (
    CORE_FAILOVER,
    CORE_SWITCHOVER,
    DISRUPTIVE_KINDS,
    PLATFORM_KINDS,
)
from replicante.model.actions import (
    NAction,
    OAction,
    OActionPhase,
    Requester,
    move_oaction,
)
from replicante.model.change import ChangeCode
from replicante.model.decision import Outcome, Ruling
from replicante.model.modes import Mode
from replicante.model.namespace import NamespaceStatus
from replicante.model.report import Note, NoteCategory
from replicante.orchestrate.actions.acting import Acting
from replicante.orchestrate.actions.fencing import first_of, noted, told_after, waiting
from replicante.orchestrate.actions.held_orders import is_asked_about, is_past_its_reason
from replicante.orchestrate.actions.oaction_kinds import (
    OACTION_KINDS,
    PlatformCall,
    PlatformVerb,
    Progress,
    failed,
    gave_up,
)
from replicante.orchestrate.actions.overtaking import clear_way
from replicante.orchestrate.proposal import Proposal, Situation, is_person_waiting

_TAKES_AWAY = PlatformVerb.DEPROVISION
_CODES = {
    OActionPhase.DONE: ChangeCode.OACTION_SUCCESS,
    OActionPhase.FAILED: ChangeCode.OACTION_FAIL,
    OActionPhase.CANCELLED: ChangeCode.OACTION_CANCEL,
}


@dataclass(slots=True)
class OActionsRun:
    calls: list[PlatformCall] = field(default_factory=list)
    orders: list[PlatformCall] = field(default_factory=list)
    """Calls that convergence wished: made when what they serve is judged right."""
    notes: list[Note] = field(default_factory=list)
    cancels: list[NAction] = field(default_factory=list)
    """To have cancelled by their agents: a failover goes first."""


def run_oactions(acting: Acting, ended: list[NAction]) -> OActionsRun:
    """ended: node actions that reached their end in this cycle; their owners hear of it."""
    run = OActionsRun()
    ends = {action.cause: action for action in ended if action.cause is not None}
    may_act = may_begin(acting.situation)
    for action in acting.situation.view.oactions:
        if action.phase is OActionPhase.RUNNING:
            _advance(acting, run, _told(action, ends.get(action.action_id)), action, may_act)
    for action in acting.situation.view.oactions:
        if is_past_its_reason(action, acting.situation):
            _advance(acting, run, action, action, may_act)
    if not may_act:
        return run
    for action in acting.situation.view.oactions:
        if is_asked_about(acting, action):
            continue
        is_ready = action.phase is OActionPhase.PENDING_SCHEDULE and not _is_wished(action)
        is_question = action.phase is OActionPhase.PENDING_APPROVE and is_person_waiting(action)
        if is_ready and action.kind == CORE_FAILOVER:
            in_its_way = clear_way(acting, action)
            run.cancels += in_its_way or ()
            if in_its_way is not None:
                continue
            action = _now(acting, action)
        if (is_ready or is_question) and _is_free(acting, run, action):
            _advance(acting, run, action, action, may_act)
    return run


def begin_wished(acting: Acting, run: OActionsRun) -> None:
    """After convergence: what it wishes and no rule of this cycle holds back."""
    if not may_begin(acting.situation):
        return
    right = {it.action_id for it in acting.records if it.outcome is Outcome.DONE}
    for action in acting.situation.view.oactions:
        is_ready = action.phase is OActionPhase.PENDING_SCHEDULE and _is_wished(action)
        if is_ready and action.action_id in right and _is_free(acting, run, action):
            _advance(acting, run, action, action, may_act=True)
    run.calls += [it for it in run.orders if it.action_id in right]


def _is_free(acting: Acting, run: OActionsRun, action: OAction) -> bool:
    """Nothing runs that it waits for."""
    if action.kind == CORE_SWITCHOVER and any(it.verb is _TAKES_AWAY for it in run.calls):
        # The rules deny it in this very cycle, and an order that is denied has failed.
        return False
    is_urgent = action.kind in (CORE_FAILOVER, CORE_SWITCHOVER)
    running = [it for it in acting.situation.view.oactions if it.phase is OActionPhase.RUNNING]
    return all(is_urgent and it.kind in PLATFORM_KINDS for it in running)


def _is_wished(action: OAction) -> bool:
    return action.requester is Requester.CORE_DECLARATIVE


def may_begin(situation: Situation) -> bool:
    """Anything may be started or sent at all."""
    return (
        situation.namespace.status is NamespaceStatus.ACTIVE and situation.mode is not Mode.PAUSED
    )


def _told(action: OAction, ended: NAction | None) -> OAction:
    if ended is None or not isinstance(action.payload, dict):
        return action
    if action.payload.get("naction_id") != ended.action_id:
        return action
    payload = {
        **action.payload,
        "naction_phase": str(ended.phase),
        "naction_error": ended.error,
    }
    return msgspec.structs.replace(action, payload=payload)


def _advance(
    acting: Acting, run: OActionsRun, action: OAction, before: OAction, may_act: bool
) -> None:
    progress = _call(acting.situation, action, may_act)
    is_waiting = action.phase is OActionPhase.PENDING_APPROVE
    if is_waiting and progress.call is None:
        return
    is_judged = action.kind in DISRUPTIVE_KINDS and not _is_wished(action)
    if progress.call is not None and is_judged and may_act:
        if acting.settle_asked(action) is not Outcome.DONE:
            return
        if is_waiting:
            action = before = _now(acting, action)
    if progress.proposal is not None:
        progress = _propose(acting, progress, progress.proposal)
    after = _with(action, progress, acting.situation)
    if progress.phase is OActionPhase.FAILED:
        run.notes.append(
            Note(
                category=NoteCategory.ERROR,
                message=f"{action.kind} failed: {_message(progress)}",
                data={"action_id": action.action_id},
            )
        )
    if after != before:
        code = _CODES.get(after.phase, ChangeCode.OACTION_UPDATE)
        acting.put_oaction(before, after, code)
        acting.remember_end(after)
    if progress.call is not None and may_act:
        (run.orders if _is_wished(action) else run.calls).append(progress.call)


def _now(acting: Acting, action: OAction) -> OAction:
    view = acting.situation.view
    return next(it for it in view.oactions if it.action_id == action.action_id)


def _call(situation: Situation, action: OAction, may_act: bool) -> Progress:
    kind = OACTION_KINDS.get(action.kind)
    if kind is None:
        return failed(f"the kind {action.kind} is not known here", payload=action.payload)
    timeout_ms = kind.timeout_ms if action.timeout_ms is None else action.timeout_ms
    if action.scheduled_ms is not None and situation.now_ms - action.scheduled_ms >= timeout_ms:
        return failed(f"it did not end within {timeout_ms} ms", payload=action.payload)
    reason = gave_up(action)
    if reason is not None:
        return failed(reason, payload=action.payload)
    progress = kind.handler(action, situation)
    if progress.proposal is not None and not may_act:
        return Progress(phase=action.phase, payload=action.payload)
    return progress


def _propose(acting: Acting, progress: Progress, proposal: Proposal) -> Progress:
    proposal = first_of(acting, proposal, progress.payload)
    record = acting.settle(proposal)
    if record.outcome in (Outcome.DONE, Outcome.AWAITS_APPROVAL):
        # It waits with its node action: the question of an owner that has ended is nobody's.
        payload = noted(proposal, record.action_id, progress.payload)
        return Progress(phase=progress.phase, payload=payload)
    primary = acting.situation.primaries.get(proposal.shard_id or "")
    held = waiting(progress.payload, primary, acting.situation.now_ms)
    if held is not None:
        return Progress(phase=progress.phase, payload=held)
    blocked = [f"{it.rule}: {it.reason}" for it in record.verdicts if it.ruling is not Ruling.ALLOW]
    forbidden = f"forbidden by {'; '.join(blocked)}"
    return Progress(
        phase=OActionPhase.FAILED,
        error={"error_msg": told_after(forbidden, progress.payload), "blocked_by": blocked},
    )


def _with(action: OAction, progress: Progress, situation: Situation) -> OAction:
    now_ms, wall_ms = situation.now_ms, situation.wall_now_ms
    after = action
    if after.phase is not progress.phase:
        moved = move_oaction(after, progress.phase, now_ms=now_ms, wall_ms=wall_ms)
        assert isinstance(moved, OAction), "handlers go forward"
        after = moved
    return msgspec.structs.replace(
        after,
        scheduled_ms=now_ms if action.scheduled_ms is None else action.scheduled_ms,
        payload=progress.payload,
        error=progress.error,
    )


def _message(progress: Progress) -> str:
    error = progress.error
    return str(error.get("error_msg")) if isinstance(error, dict) else ""
