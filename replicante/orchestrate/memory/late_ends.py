"""Decides what changes of a primary that were cancelled here came to at their agents. Pure; called
by the cycle.

A person's cancel of what was sent is a wish: at a silent agent it may be carried out all the same.
When that agent answers again it tells what became of this very action, and who was replaced by it
is known (ADR 0100). Not believed is an agent that may be another one, nor an action behind which
the role moved on.

A promotion is seen where it happened. A handover is told by the former primary, and its successor
may have been looked at a moment before: that nobody else is primary is enough. But while copies
hear the former one, and it does not say itself that it is primary no more, it may have the role
back, and its agent does not see its store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from replicante.model.action_kinds import HANDOVER_KINDS, STORE_PROMOTE
from replicante.model.actions import NAction, NActionPhase
from replicante.model.converge_state import ConvergeState
from replicante.model.observation import Observation, SeenAction, SeenPhase
from replicante.model.report import Note, NoteCategory
from replicante.orchestrate.memory.progress import successor_of
from replicante.orchestrate.roles.witnesses import is_heard_as_primary
from replicante.orchestrate.view import ClusterView

_KINDS = HANDOVER_KINDS | {STORE_PROMOTE}


def late_ends(
    state: ConvergeState,
    view: ClusterView,
    cancelled: Iterable[NAction],
    observations: Mapping[str, Observation],
) -> list[NAction]:
    """Those that were carried out, as they ended. Their records stay what they are."""
    ends = []
    for action in cancelled:
        if action.kind not in _KINDS or action.action_id not in state.sent:
            continue
        seen = _seen_done(state, action, observations.get(action.node_id))
        if seen is None:
            continue
        ended = msgspec.structs.replace(action, phase=NActionPhase.DONE, payload=seen.payload)
        if _is_in_force(state, view, ended):
            ends.append(ended)
    return ends


def told_late(ends: Iterable[NAction]) -> list[Note]:
    return [
        Note(
            category=NoteCategory.ERROR,
            message=f"{it.node_id} carried out {it.kind} although it was cancelled",
            data={"node_id": it.node_id, "action_id": it.action_id},
        )
        for it in ends
    ]


def _seen_done(
    state: ConvergeState, action: NAction, observation: Observation | None
) -> SeenAction | None:
    if observation is None or action.node_id in state.doubts:
        return None
    if action.sent_to not in (None, observation.incarnation):
        return None
    ids = (it for it in observation.actions if it.action_id == action.action_id)
    return next((it for it in ids if it.phase is SeenPhase.DONE), None)


def _is_in_force(state: ConvergeState, view: ClusterView, action: NAction) -> bool:
    """Who is primary by it is that now, as far as is seen, and nobody else was appointed since."""
    args = action.args if isinstance(action.args, dict) else {}
    shard_id = str(args.get("shard_id"))
    successor, former = successor_of(view, action, args), args.get("replaces")
    claimants = {it.node_id for it in view.primaries(shard_id)}
    is_so = successor in claimants
    if action.kind in HANDOVER_KINDS:
        former = action.node_id
        is_so = claimants <= {successor} and not is_heard_as_primary(view, shard_id, former)
    return is_so and state.appointed.get(shard_id) in (former, successor)
