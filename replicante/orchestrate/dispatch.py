"""Last stage of a cycle: which node actions go to their agents now, and what an attempt left. Pure.

Called by the cycle, and by `workers` with the result of each attempt. The record that an action is
being sent is committed before it is sent, under the epoch of this cycle; a repeat after a crash
sends the same id, which the agent knows already.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from replicante.limits import ACTION_SEND_MS_MAX
from replicante.model.actions import (
    NAction,
    NActionPhase,
    Requester,
    move_naction,
)
from replicante.model.change import Change, ChangeCode
from replicante.model.modes import Mode
from replicante.model.node import NodeStatus
from replicante.model.observation import Observation
from replicante.model.report import SchedulingChoice
from replicante.orchestrate.acting import Acting
from replicante.orchestrate.oactions import may_begin
from replicante.orchestrate.recording import change


@dataclass(slots=True)
class Dispatched:
    submissions: list[NAction] = field(default_factory=list)
    choices: list[SchedulingChoice] = field(default_factory=list)


def dispatch(acting: Acting, *, was_exclusive: bool) -> Dispatched:
    """The submissions, at most one a node: the first unfinished action of the node or none.

    was_exclusive: an orchestrator action ran when the cycle began; only what serves it, and what a
    step found right in this very cycle, is sent beside it.
    """
    found = Dispatched()
    situation = acting.situation
    if not may_begin(situation):
        found.choices.append(SchedulingChoice.MODE_FORBIDS)
        return found
    allowed = {record.action_id for record in acting.records if record.action_id is not None}
    for node_id in situation.view.node_ids:
        first = _first(acting, node_id)
        if first is None:
            continue
        choice = _choice(acting, first, allowed, was_exclusive)
        if choice is SchedulingChoice.DEFAULT_TO_ALL:
            _send(acting, found, first)
        found.choices.append(choice)
    found.choices = sorted(set(found.choices or [SchedulingChoice.DEFAULT_TO_ALL]))
    return found


def _first(acting: Acting, node_id: str) -> NAction | None:
    """The oldest unfinished action of the node; what its agent may have already, and a recovery
    that was decided now, go past what only waits for an approval."""
    actions = acting.situation.view.nactions_of(node_id)
    ahead = [it for it in actions if it.may_be_at_agent or it.action_id in acting.recovery_ids]
    return next(iter((*ahead, *actions)), None)


def _choice(
    acting: Acting, action: NAction, allowed: set[str], was_exclusive: bool
) -> SchedulingChoice:
    node = acting.situation.view.nodes.get(action.node_id)
    if action.phase is NActionPhase.PENDING_APPROVE:
        return SchedulingChoice.FOUND_NODE_PENDING
    if action.phase is not NActionPhase.PENDING_SCHEDULE:
        return SchedulingChoice.FOUND_NODE_RUNNING
    if node is None or node.node_status is NodeStatus.UNREACHABLE:
        return SchedulingChoice.FOUND_NODE_PENDING
    is_declarative = action.requester is Requester.CORE_DECLARATIVE
    is_ours = action.action_id in allowed or action.sent_epoch is not None
    if is_declarative and not is_ours:
        return SchedulingChoice.FOUND_NODE_PENDING
    if is_declarative and acting.situation.mode is not Mode.ACTIVE:
        return SchedulingChoice.MODE_FORBIDS
    owners = {it.action_id for it in acting.situation.view.oactions}
    if was_exclusive and action.action_id not in allowed and action.cause not in owners:
        return SchedulingChoice.FOUND_ORCHESTRATOR_EXCLUSIVE_RUNNING
    return SchedulingChoice.DEFAULT_TO_ALL


def _send(acting: Acting, found: Dispatched, action: NAction) -> None:
    situation = acting.situation
    if action.sent_epoch is not None:
        if _is_late(action, situation.observations.get(action.node_id), situation.now_ms):
            _cancel(acting, action, "it did not reach its agent in time")
        else:
            found.submissions.append(action)
        return
    sent = msgspec.structs.replace(
        action,
        sent_epoch=situation.epoch,
        deadline_ms=situation.now_ms + ACTION_SEND_MS_MAX,
    )
    acting.put_naction(action, sent, ChangeCode.NACTION_DISPATCH)
    found.submissions.append(sent)


def _is_late(action: NAction, observation: Observation | None, now_ms: int) -> bool:
    """Its time is over, and the agent itself says that it does not have it."""
    is_over = action.deadline_ms is not None and now_ms >= action.deadline_ms
    return is_over and observation is not None and action.action_id in observation.unknown_actions


def _cancel(acting: Acting, action: NAction, why: str) -> None:
    situation = acting.situation
    ended = move_naction(
        action,
        NActionPhase.CANCELLED,
        now_ms=situation.now_ms,
        wall_ms=situation.wall_now_ms,
    )
    assert isinstance(ended, NAction), "what is pending may be cancelled"
    acting.put_naction(
        action,
        msgspec.structs.replace(ended, error={"error_msg": why}),
        ChangeCode.NACTION_CANCEL,
    )


def submission_failed(
    action: NAction, *, message: str, attempts_max: int, now_ms: int, wall_ms: int
) -> Change:
    """What an attempt leaves that certainly or possibly failed; one too many fails the action."""
    attempts_count = action.attempts_count + 1
    after = msgspec.structs.replace(
        action,
        attempts_count=attempts_count,
        error={"attempts": attempts_count, "last_error": message},
    )
    if attempts_count <= attempts_max:
        return change(action, after, ChangeCode.NACTION_DISPATCH_FAIL, cause=action.action_id)
    ended = move_naction(after, NActionPhase.FAILED, now_ms=now_ms, wall_ms=wall_ms)
    assert isinstance(ended, NAction), "what is pending may fail"
    return change(action, ended, ChangeCode.NACTION_FINISH, cause=action.action_id)


def submission_accepted(action: NAction, *, now_ms: int, wall_ms: int) -> Change | None:
    """What an attempt leaves that the agent took, or had taken before (409). None: nothing new."""
    after = move_naction(action, NActionPhase.NEW, now_ms=now_ms, wall_ms=wall_ms)
    if not isinstance(after, NAction):
        return None
    after = msgspec.structs.replace(after, attempts_count=0, error=None)
    return change(action, after, ChangeCode.NACTION_SYNC_UPDATE, cause=action.action_id)
