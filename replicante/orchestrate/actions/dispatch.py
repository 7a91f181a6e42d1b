"""Last stage of a cycle: which node actions go to their agents now, and what an attempt left. Pure.

What disturbs leaves for the first time in a cycle that judged it: wishes of convergence are judged
before, what people asked for here: changes of roles first, then in the order in which they asked.

Called by the cycle, and by `workers` with the result of each attempt. The record that an action is
being sent is committed before it is sent, under the epoch of this cycle; a repeat after a crash
sends the same id, which the agent knows already. One that was sent is given up only under an epoch
in which it was not sent: whatever of it is still on its way is then refused (ADR 0070).

What serves an orchestrator action that has ended is not sent: people cancel a switchover, not its
node action, and one whose time is over is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from replicante.limits import ACTION_SEND_MS_MAX
from replicante.model.action_kinds import ROLE_KINDS, STORE_REJOIN, THROUGH_KINDS
from replicante.model.actions import (
    NAction,
    NActionPhase,
    OAction,
    Requester,
    move_naction,
)
from replicante.model.change import Change, ChangeCode
from replicante.model.codec import Value
from replicante.model.decision import Outcome
from replicante.model.modes import Mode
from replicante.model.node import NodeStatus
from replicante.model.report import SchedulingChoice
from replicante.orchestrate.actions.acting import Acting
from replicante.orchestrate.actions.held_promotions import end_what_is_so, mark_held
from replicante.orchestrate.actions.oactions import may_begin
from replicante.orchestrate.actions.resends import (
    is_in_its_grace,
    is_past_its_reason,
    may_go_again,
    needless_at_agents,
)
from replicante.orchestrate.memory.fences import (
    is_given_up,
    is_refused,
    refusals_of,
    serves_failover,
)
from replicante.orchestrate.proposal import (
    Situation,
    is_person_waiting,
    is_persons_disruption,
)
from replicante.orchestrate.recording import change


@dataclass(slots=True)
class Dispatched:
    submissions: list[NAction] = field(default_factory=list)
    choices: list[SchedulingChoice] = field(default_factory=list)
    cancels: list[NAction] = field(default_factory=list)
    """To have cancelled by their agents, which did not begin them."""
    is_epoch_spent: bool = False
    """Something is to be given up that was sent under this epoch: the next cycle needs another."""


def dispatch(acting: Acting, *, was_exclusive: bool) -> Dispatched:
    """The submissions, at most one a node: the first of its turns that may go, or none.

    was_exclusive: an orchestrator action ran when the cycle began; only what serves it, and what
    was judged right in this very cycle, is sent beside it.
    """
    found = Dispatched()
    _withdraw_orphans(acting, found)
    end_what_is_so(acting)
    if may_begin(acting.situation):
        _take_turns(acting, found, was_exclusive)
        found.cancels += needless_at_agents(acting.situation)
    else:
        found.choices.append(SchedulingChoice.MODE_FORBIDS)
    mark_held(acting)
    return found


def _take_turns(acting: Acting, found: Dispatched, was_exclusive: bool) -> None:
    situation = acting.situation
    allowed = {record.action_id for record in acting.records if record.action_id is not None}
    turns = [it for node_id in situation.view.node_ids for it in _turns(acting, node_id)]
    served: set[str] = set()
    for action in sorted(turns, key=_urgency):
        if action.node_id in served:
            continue
        choice = _choice(acting, action, allowed, was_exclusive)
        is_judged = action.action_id in allowed or not is_person_waiting(action)
        if not is_judged:
            action, choice = _judged(acting, action, choice)
        # What left under another mode ends as what a rule holds: it must hold up nobody for ever.
        is_held = choice is SchedulingChoice.MODE_FORBIDS and action.sent_epoch is not None
        if choice is SchedulingChoice.DEFAULT_TO_ALL or is_held:
            _send(acting, found, action)
            served.add(action.node_id)
        found.choices.append(choice)
    found.submissions.sort(key=lambda it: it.node_id)
    found.choices = sorted(set(found.choices or [SchedulingChoice.DEFAULT_TO_ALL]))


def _withdraw_orphans(acting: Acting, found: Dispatched) -> None:
    """What its agent is not known to have. One that was sent may arrive yet: its record stays,
    cancelled, so its agent is asked to end it; and the next cycle has an epoch in which what comes
    later is refused."""
    situation = acting.situation
    owners = {it.action_id for it in situation.view.oactions}
    serving = {_served_by(it) for it in situation.view.oactions}
    for action in situation.view.nactions:
        is_unsent = action.phase.is_pending and action.sent_epoch is None
        is_of_order = serves_failover(action) and action.cause in owners
        if is_of_order and is_unsent and action.action_id not in serving:
            acting.withdraw(action, "its failover has gone on without it")
            continue
        # Convergence withdraws its own; the cause of those is a decision.
        is_served = action.requester is not Requester.CORE_DECLARATIVE and action.cause is not None
        if is_served and action.phase.is_pending and action.cause not in owners:
            found.is_epoch_spent |= situation.may_be_on_its_way(action)
            acting.withdraw(action, "the orchestrator action that it served has ended")


def _served_by(owner: OAction) -> Value:
    return owner.payload.get("naction_id") if isinstance(owner.payload, dict) else None


def _turns(acting: Acting, node_id: str) -> tuple[NAction, ...]:
    """What may be the next of the node: what its agent may have already or a recovery that was
    decided now, and nothing else; or its oldest unfinished action, past which the changes of roles
    go that people ask for: it has its turn when none of those goes."""
    actions = acting.situation.view.nactions_of(node_id)
    ahead = [it for it in actions if it.may_be_at_agent or it.action_id in acting.recovery_ids]
    if ahead:
        return (ahead[0],)
    oldest = tuple(actions[:1])
    roles = (it for it in actions if _is_asked_role(it))
    return (*roles, *(it for it in oldest if not _is_asked_role(it)))


def _is_asked_role(action: NAction) -> bool:
    """A change of roles that a person asked for, by name or through an orchestrator action."""
    return action.kind in ROLE_KINDS | THROUGH_KINDS and is_person_waiting(action)


def _urgency(action: NAction) -> tuple[int, int, str]:
    """First a change of roles that a person asks for, but not one of whom a node follows; then what
    left and is sent again, so that nothing leaves beside it; then all the others."""
    is_first = _is_asked_role(action) and action.kind != STORE_REJOIN
    was_sent, is_asked_role = action.sent_epoch is not None, _is_asked_role(action)
    rank = (is_first, was_sent, is_asked_role, True).index(True)
    return rank, action.created_ms, action.action_id


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
    if action.node_id in acting.situation.state.doubts and action.sent_epoch is not None:
        # Who answers now may not be the one that has it.
        return SchedulingChoice.FOUND_NODE_PENDING
    is_declarative = action.requester is Requester.CORE_DECLARATIVE
    is_ours = action.action_id in allowed or action.sent_epoch is not None
    if is_declarative and not is_ours:
        return SchedulingChoice.FOUND_NODE_PENDING
    if is_declarative and acting.situation.mode is not Mode.ACTIVE:
        return SchedulingChoice.MODE_FORBIDS
    owners = {it.action_id for it in acting.situation.view.oactions}
    # What left is no wish any more: whether it goes again or ends, the rules and its time say.
    is_judged = action.action_id in allowed or action.sent_epoch is not None
    if was_exclusive and not is_judged and action.cause not in owners:
        return SchedulingChoice.FOUND_ORCHESTRATOR_EXCLUSIVE_RUNNING
    return SchedulingChoice.DEFAULT_TO_ALL


def _judged(
    acting: Acting, action: NAction, choice: SchedulingChoice
) -> tuple[NAction, SchedulingChoice]:
    """As the rules left it. Beside an orchestrator action, too, it is they that say what waits."""
    outcome = acting.settle_asked(action)
    now = next(it for it in acting.situation.view.nactions if it.action_id == action.action_id)
    is_beside = choice is SchedulingChoice.FOUND_ORCHESTRATOR_EXCLUSIVE_RUNNING
    if outcome is not Outcome.DONE:
        return now, choice if is_beside else SchedulingChoice.FOUND_NODE_PENDING
    is_released = now.phase is not action.phase
    return now, SchedulingChoice.DEFAULT_TO_ALL if is_released or is_beside else choice


def _send(acting: Acting, found: Dispatched, action: NAction) -> None:
    situation = acting.situation
    if action.sent_epoch is None:
        sent = msgspec.structs.replace(
            action,
            sent_epoch=situation.epoch,
            sent_to=_incarnation(situation, action.node_id),
            deadline_ms=situation.now_ms + ACTION_SEND_MS_MAX,
        )
        acting.put_naction(action, sent, ChangeCode.NACTION_DISPATCH)
        acting.remember_sent(sent)
        found.submissions.append(sent)
        return
    end = _end(acting, action)
    if end is None and is_persons_disruption(action):
        _send_again(acting, found, action)
    elif end is None and may_go_again(acting, action):
        found.submissions.append(action)
    elif end is None:
        _hold(acting, found, action)
    elif situation.may_be_on_its_way(action):
        found.is_epoch_spent = True
    else:
        code = ChangeCode.NACTION_FINISH
        if end.phase is NActionPhase.CANCELLED:
            code = ChangeCode.NACTION_CANCEL
        acting.put_naction(action, end, code)


def _hold(acting: Acting, found: Dispatched, action: NAction) -> None:
    """What convergence sent waits for the rules as long as its step would have to: after that it
    ends, and its step may wish for what is right now."""
    situation = acting.situation
    if is_in_its_grace(situation, action) or not situation.is_denied(action):
        return
    if situation.may_be_on_its_way(action):
        found.is_epoch_spent = True
    else:
        acting.withdraw(action, "it did not arrive, and a rule stands against it now")


def _send_again(acting: Acting, found: Dispatched, action: NAction) -> None:
    """What a person asked for and what was not heard of since it left: the cluster may be another
    one by now, so it is judged as what leaves for the first time."""
    outcome, situation = acting.settle_asked(action), acting.situation
    if outcome is Outcome.DONE:
        found.submissions.append(action)
        return
    if situation.may_be_on_its_way(action):
        found.is_epoch_spent = True
    elif situation.is_denied(action) and not situation.never_arrives(action):
        why = "it did not arrive, a rule stands against it now, and its agent keeps no epoch"
        acting.withdraw(action, why)


def _incarnation(situation: Situation, node_id: str) -> str | None:
    observation = situation.observations.get(node_id)
    return None if observation is None else observation.incarnation


def _end(acting: Acting, action: NAction) -> NAction | None:
    """What it comes to when it is given up: the agent itself says that it does not have it, and
    refused it too often, or its time is over, or what it was for is. None: it is sent again."""
    situation = acting.situation
    observation = situation.observations.get(action.node_id)
    if observation is None or action.action_id not in observation.unknown_actions:
        return None
    error: Value
    now_ms = situation.now_ms
    is_over = serves_failover(action) and is_given_up(action, situation.state, now_ms=now_ms)
    attempts_max = situation.namespace.max_naction_schedule_attempts
    if refusals_of(action) > attempts_max or (is_over and is_refused(action)):
        phase, error = NActionPhase.FAILED, action.error
    elif is_over:
        phase = NActionPhase.CANCELLED
        error = {"error_msg": "it did not reach its agent in time; the promotion goes without it"}
    elif action.deadline_ms is not None and situation.now_ms >= action.deadline_ms:
        phase = NActionPhase.CANCELLED
        error = {"error_msg": "it did not reach its agent in time"}
    elif is_past_its_reason(situation, action):
        phase = NActionPhase.CANCELLED
        error = {"error_msg": "the primary that it would replace is seen, or another one is"}
    else:
        return None
    ended = move_naction(action, phase, now_ms=situation.now_ms, wall_ms=situation.wall_now_ms)
    assert isinstance(ended, NAction), "what is pending may be given up"
    return msgspec.structs.replace(ended, error=error)


def submission_failed(action: NAction, *, message: str, is_refused: bool) -> Change:
    """What an attempt leaves that certainly (a refusal) or possibly failed. It ends nothing: what
    may be on its way is given up by a later cycle."""
    attempts_count = action.attempts_count + 1
    error: Value = {
        "attempts": attempts_count,
        "refusals": refusals_of(action) + is_refused,
        "last_error": message,
    }
    after = msgspec.structs.replace(action, attempts_count=attempts_count, error=error)
    return change(action, after, ChangeCode.NACTION_DISPATCH_FAIL, cause=action.action_id)


def submission_accepted(action: NAction, *, now_ms: int, wall_ms: int) -> Change | None:
    """What an attempt leaves that the agent took, or had taken before (409). None: nothing new."""
    after = move_naction(action, NActionPhase.NEW, now_ms=now_ms, wall_ms=wall_ms)
    if not isinstance(after, NAction):
        return None
    after = msgspec.structs.replace(after, attempts_count=0, error=None)
    return change(action, after, ChangeCode.NACTION_SYNC_UPDATE, cause=action.action_id)
