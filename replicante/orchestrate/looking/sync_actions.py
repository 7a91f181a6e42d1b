"""Second half of sync: what the agents say of their actions. Pure; called by the cycle.

An action counts as lost only when its agent was asked for this very id and does not have it, under
an epoch in which it was not sent: no copy of it is obeyed afterwards (ADR 0070). An agent in doubt
is not believed that it lacks something (ADR 0084). An action whose agent did not answer stays as it
is: it may be running. What was cancelled here and is still at the agent is not resurrected; the
agent is asked to cancel it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from replicante.limits import (
    ACTIONS_ENDED_KEPT_MS,
    ADOPTED_ACTIONS_BYTES_MAX,
    ADOPTED_ACTIONS_MAX,
)
from replicante.model.actions import NAction, NActionPhase, Requester, move_naction
from replicante.model.change import Change, ChangeCode
from replicante.model.observation import Observation, SeenAction, SeenPhase
from replicante.model.report import Note, NoteCategory
from replicante.orchestrate.recording import change, naction_code
from replicante.orchestrate.view import ClusterView

_PHASES = {
    SeenPhase.NEW: NActionPhase.NEW,
    SeenPhase.RUNNING: NActionPhase.RUNNING,
    SeenPhase.DONE: NActionPhase.DONE,
    SeenPhase.FAILED: NActionPhase.FAILED,
    SeenPhase.CANCELLED: NActionPhase.CANCELLED,
}


@dataclass(slots=True)
class SyncedActions:
    view: ClusterView
    changes: list[Change] = field(default_factory=list)
    ended: list[NAction] = field(default_factory=list)
    """Those that reached their end in this cycle."""
    to_cancel: list[NAction] = field(default_factory=list)
    """Cancelled here, still waiting or running at their agents."""
    notes: list[Note] = field(default_factory=list)
    lost_count: int = 0
    is_epoch_spent: bool = False
    """An agent lost an action that was sent under this epoch: a copy of it might arrive yet."""


def sync_actions(
    view: ClusterView,
    observations: Mapping[str, Observation],
    *,
    finished_ids: frozenset[str],
    ended_room_count: int,
    cancelled: Iterable[NAction],
    sent_ids: frozenset[str],
    unsure: frozenset[str],
    now_ms: int,
    wall_ms: int,
) -> SyncedActions:
    """sent_ids: actions that left under this epoch. unsure: nodes whose agents are not believed
    that they lack an action. finished_ids: actions that the store knows as ended: an agent's list
    does not revive them. ended_room_count: ended actions of strangers that may be taken in: one
    that would only push out another comes back in the next cycle, with events, for ever."""
    synced = SyncedActions(view=view)
    after: list[NAction] = []
    for action in view.nactions:
        observation = observations.get(action.node_id)
        moved = action
        if observation is not None and not (
            action.node_id in unsure and action.action_id in observation.unknown_actions
        ):
            moved = _follow(synced, action, observation, now_ms=now_ms, wall_ms=wall_ms)
            is_lost = moved.phase is NActionPhase.LOST
            if is_lost and observation.is_fenced and action.action_id in sent_ids:
                moved, synced.is_epoch_spent = action, True
        if moved != action:
            code = naction_code(action, moved)
            synced.changes.append(change(action, moved, code, cause=moved.cause))
        if moved.phase.is_final:
            synced.ended.append(moved)
            synced.lost_count += moved.phase is NActionPhase.LOST
        after.append(moved)
    tombstones = {action.action_id: action for action in cancelled}
    for node_id in view.node_ids:
        if (observation := observations.get(node_id)) is not None:
            synced.to_cancel += _still_there(observation, tombstones)
    known = {action.action_id for action in view.nactions} | finished_ids | tombstones.keys()
    strangers = _strangers(view, observations, known, now_ms)
    for found in _taken_in(strangers, ended_room_count=ended_room_count, wall_ms=wall_ms):
        synced.changes.append(change(None, found, ChangeCode.NACTION_SYNC_NEW))
        after.append(found)
    synced.view = view.with_nactions(after)
    return synced


def _strangers(
    view: ClusterView, observations: Mapping[str, Observation], known: set[str], now_ms: int
) -> Iterator[NAction]:
    """Actions that somebody asked the agents for directly, those that move first."""
    found: dict[str, NAction] = {}
    for node_id in view.node_ids:
        observation = observations.get(node_id)
        for seen in () if observation is None else observation.actions:
            if seen.action_id not in known and seen.action_id not in found:
                found[seen.action_id] = _adopt(view, node_id, seen, now_ms)
    yield from sorted(found.values(), key=lambda action: action.phase.is_final)


def _taken_in(
    strangers: Iterable[NAction], *, ended_room_count: int, wall_ms: int
) -> Iterator[NAction]:
    """As many as one cycle can write beside what it decides; the next takes more."""
    count, size_bytes = 0, 0
    for action in strangers:
        if action.phase.is_final and (ended_room_count <= 0 or _is_forgotten(action, wall_ms)):
            continue
        count += 1
        size_bytes += len(action.encode())
        if count > ADOPTED_ACTIONS_MAX or size_bytes > ADOPTED_ACTIONS_BYTES_MAX:
            return
        ended_room_count -= action.phase.is_final
        yield action


def _follow(
    synced: SyncedActions, action: NAction, observation: Observation, *, now_ms: int, wall_ms: int
) -> NAction:
    seen = next((it for it in observation.actions if it.action_id == action.action_id), None)
    if seen is not None:
        return _take(synced, action, seen, now_ms=now_ms, wall_ms=wall_ms)
    if action.action_id in observation.unknown_actions:
        if action.phase in (NActionPhase.NEW, NActionPhase.RUNNING):
            return _move(action, NActionPhase.LOST, now_ms=now_ms, wall_ms=wall_ms)
        if action.sent_to not in (None, observation.incarnation):
            # The one that it was sent to may have had it, and is gone with what it kept.
            return _move(action, NActionPhase.LOST, now_ms=now_ms, wall_ms=wall_ms)
        # It was sent and never arrived: it is sent again under the same id.
        return action
    is_queued = observation.queue is not None and action.action_id in observation.queue
    if is_queued and action.phase is NActionPhase.PENDING_SCHEDULE:
        return _move(action, NActionPhase.NEW, now_ms=now_ms, wall_ms=wall_ms)
    return action


def _take(
    synced: SyncedActions, action: NAction, seen: SeenAction, *, now_ms: int, wall_ms: int
) -> NAction:
    phase = _PHASES[seen.phase]
    is_sent = action.sent_epoch is not None
    if phase is not action.phase and not action.phase.may_become(phase, is_sent=is_sent):
        synced.notes.append(
            Note(
                category=NoteCategory.ERROR,
                message=f"the agent of {action.node_id} says {seen.phase} of an action that is"
                f" {action.phase} here; that is not taken over",
                data={"node_id": action.node_id, "action_id": action.action_id},
            )
        )
        return action
    moved = (
        action if phase is action.phase else _move(action, phase, now_ms=now_ms, wall_ms=wall_ms)
    )
    return msgspec.structs.replace(
        moved,
        scheduled_wall_ms=seen.scheduled_wall_ms,
        finished_wall_ms=seen.finished_wall_ms if phase.is_final else None,
        error=seen.error,
        payload=seen.payload,
        attempts_count=0,
    )


def _move(action: NAction, phase: NActionPhase, *, now_ms: int, wall_ms: int) -> NAction:
    moved = move_naction(action, phase, now_ms=now_ms, wall_ms=wall_ms)
    assert isinstance(moved, NAction), "the caller asked for a legal transition"
    return moved


def _still_there(observation: Observation, tombstones: Mapping[str, NAction]) -> Iterable[NAction]:
    alive = set(observation.queue or ())
    for seen in observation.actions:
        if seen.phase in (SeenPhase.NEW, SeenPhase.RUNNING):
            alive.add(seen.action_id)
    return [
        action
        for action_id, action in sorted(tombstones.items())
        if action_id in alive and action.node_id == observation.node_id
    ]


def _is_forgotten(action: NAction, wall_ms: int) -> bool:
    """It ended so long ago that it may have been kept here for its whole time."""
    ended_ms = action.finished_wall_ms
    return ended_ms is not None and wall_ms - ended_ms >= ACTIONS_ENDED_KEPT_MS


def _adopt(view: ClusterView, node_id: str, seen: SeenAction, now_ms: int) -> NAction:
    """Somebody asked the agent directly; it counts as any other action."""
    phase = _PHASES[seen.phase]
    return NAction(
        ns_id=view.spec.ns_id,
        cluster_id=view.spec.cluster_id,
        node_id=node_id,
        action_id=seen.action_id,
        kind=seen.kind,
        args=seen.args,
        metadata=seen.metadata,
        requester=Requester.AGENT_API,
        created_ms=now_ms,
        created_wall_ms=seen.created_wall_ms,
        scheduled_wall_ms=seen.scheduled_wall_ms,
        finished_ms=now_ms if phase.is_final else None,
        finished_wall_ms=seen.finished_wall_ms,
        phase=phase,
        error=seen.error,
        payload=seen.payload,
    )
