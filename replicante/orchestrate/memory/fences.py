"""Decides how long a primary's process that is being ended is waited for, and whether a suspicion
has had its fence. Pure; called by the cycle, by `converge.failover`, the rules and `actions`.

An agent may lack the action, have no room for it, or ask for the end of a process that the kernel
does not end. It had its chance then: a late fence ends a process that answers nobody, and nothing
else, so nobody waits for it any more (ADR 0046).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from replicante.limits import (
    ACTION_SEND_MS_MAX,
    FENCE_LOOKS_MIN,
    FENCE_MS_MAX,
    FENCE_REFUSALS_MAX,
)
from replicante.model.action_kinds import STORE_FENCE
from replicante.model.actions import NAction
from replicante.model.cluster_declaration import Step
from replicante.model.converge_state import ConvergeState, Suspicion
from replicante.orchestrate.memory.progress import STEP_METADATA
from replicante.orchestrate.roles.primaries import Primary
from replicante.orchestrate.roles.suspicions import next_look
from replicante.orchestrate.view import ClusterView


def with_fences(
    before: ConvergeState,
    state: ConvergeState,
    view: ClusterView,
    primaries: Mapping[str, Primary],
    *,
    now_ms: int,
) -> ConvergeState:
    """The memory after the primaries were assessed: which of those that are missed were fenced
    since they are.  before: as stored.  view: ahead of sync, so that it has what ended since."""
    fenced: dict[str, Suspicion] = {}
    for primary in primaries.values():
        node_id, suspicion = primary.node_id, primary.suspicion
        if node_id is None or suspicion is None:
            continue
        key = fence_key(node_id)
        known = before.suspicions.get(key)
        if known is not None and known.since_ms >= suspicion.since_ms:
            fenced[key] = next_look(known, now_ms)
            continue
        left = [_left_ms(it) for it in view.nactions_of(node_id) if serves_failover(it)]
        since = [it for it in left if it is not None and it >= suspicion.since_ms]
        if since:
            fenced[key] = Suspicion(since_ms=min(since), count=1, last_ms=now_ms)
    if not fenced:
        return state
    return msgspec.structs.replace(state, suspicions={**state.suspicions, **fenced})


def fence_key(node_id: str) -> str:
    """Since when, in this suspicion, its process was to be ended. A process has all its shards."""
    return f"primary-fenced:{node_id}"


def was_fenced(state: ConvergeState, node_id: str) -> bool:
    """Since it is missed a fence left for it, whatever became of that."""
    return fence_key(node_id) in state.suspicions


def is_fenced_for_long(state: ConvergeState, node_id: str, *, now_ms: int) -> bool:
    known = state.suspicions.get(fence_key(node_id))
    is_long = known is not None and now_ms - known.since_ms >= FENCE_MS_MAX
    return is_long and not _is_looked_at_once(state, node_id)


def is_given_up(action: NAction, state: ConvergeState, *, now_ms: int) -> bool:
    """A fence that left and that nobody waits for any more: its agent refused it, or had time
    enough. One refusal may be an agent that starts anew, and what is lost once is sent again."""
    left_ms = _left_ms(action)
    if action.kind != STORE_FENCE or left_ms is None:
        return False
    is_late = now_ms - left_ms >= FENCE_MS_MAX
    return is_refused(action) or (is_late and not _is_looked_at_once(state, action.node_id))


def is_refused(fence: NAction) -> bool:
    return fence.phase.is_pending and refusals_of(fence) >= FENCE_REFUSALS_MAX


def serves_failover(action: NAction) -> bool:
    """A fence before a promotion, of automation or of a failover that a person asked for."""
    is_failover = action.metadata.get(STEP_METADATA) == str(Step.FAILOVER)
    return action.kind == STORE_FENCE and is_failover


def refusals_of(action: NAction) -> int:
    """Attempts in a row that its agent answered with a no; silence is none."""
    found = action.error.get("refusals", 0) if isinstance(action.error, dict) else 0
    return found if type(found) is int else 0


def _is_looked_at_once(state: ConvergeState, node_id: str) -> bool:
    """This is the first look after it left."""
    known = state.suspicions.get(fence_key(node_id))
    return known is not None and known.count < FENCE_LOOKS_MIN


def _left_ms(action: NAction) -> int | None:
    """None: it did not leave. One that an agent was told directly left when it was seen."""
    if action.deadline_ms is not None:
        return action.deadline_ms - ACTION_SEND_MS_MAX
    return action.created_ms if action.may_be_at_agent else None
