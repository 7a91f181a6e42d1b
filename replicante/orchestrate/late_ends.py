"""Decides what promotions that were cancelled here came to at their agents. Pure; called by the
cycle.

A person's cancel of what was sent is a wish: at a silent agent it may be carried out all the same.
When that agent answers again it tells what became of this very action, and who was replaced by it
is known (ADR 0100). Not believed is an agent that may be another one, nor a promotion behind which
the role moved on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from replicante.model.action_kinds import STORE_PROMOTE
from replicante.model.actions import NAction, NActionPhase
from replicante.model.converge_state import ConvergeState
from replicante.model.observation import Observation, SeenPhase
from replicante.model.report import Note, NoteCategory
from replicante.orchestrate.view import ClusterView


def late_ends(
    state: ConvergeState,
    view: ClusterView,
    cancelled: Iterable[NAction],
    observations: Mapping[str, Observation],
) -> list[NAction]:
    """Those that were carried out, as they ended. Their records stay what they are."""
    return [
        msgspec.structs.replace(action, phase=NActionPhase.DONE)
        for action in cancelled
        if action.kind == STORE_PROMOTE
        and action.action_id in state.sent
        and _is_done(state, action, observations.get(action.node_id))
        and _is_in_force(state, view, action)
    ]


def told_late(ends: Iterable[NAction]) -> list[Note]:
    return [
        Note(
            category=NoteCategory.ERROR,
            message=f"{it.node_id} carried out {it.kind} although it was cancelled",
            data={"node_id": it.node_id, "action_id": it.action_id},
        )
        for it in ends
    ]


def _is_done(state: ConvergeState, action: NAction, observation: Observation | None) -> bool:
    if observation is None or action.node_id in state.doubts:
        return False
    if action.sent_to not in (None, observation.incarnation):
        return False
    return any(
        it.action_id == action.action_id and it.phase is SeenPhase.DONE
        for it in observation.actions
    )


def _is_in_force(state: ConvergeState, view: ClusterView, action: NAction) -> bool:
    """It is primary now, and nobody else was appointed since."""
    args = action.args if isinstance(action.args, dict) else {}
    shard_id = str(args.get("shard_id"))
    appointed = state.appointed.get(shard_id)
    is_primary = any(it.node_id == action.node_id for it in view.primaries(shard_id))
    return is_primary and appointed in (args.get("replaces"), action.node_id)
