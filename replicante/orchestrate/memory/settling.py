"""Decides which changes of a primary were seen to end in this very look. Pure; called by the cycle.

The nodes of a look are asked one after the other, or at once: a copy may have been looked at before
the agent of another node told that it had handed its shard over, or that it had not. The next look
shows what is left of it. So for this one nobody goes past the primary of that shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from replicante.model.action_kinds import MAKE_A_PRIMARY_KINDS
from replicante.model.actions import NAction
from replicante.model.converge_state import ConvergeState
from replicante.orchestrate.memory.outlived import shard_of


def just_over(
    before: ConvergeState,
    state: ConvergeState,
    ended: Iterable[NAction],
    cancelled: Iterable[NAction],
) -> dict[str, str | None]:
    """Node action → its shard; None: not known any more, so it may be any.
    before: as the last cycle left it. state: after sync. ended: those that reached their end in
    this cycle. cancelled: those that may still be at their agents."""
    found = {it.action_id: shard_of(it) for it in ended if it.kind in MAKE_A_PRIMARY_KINDS}
    shards = {it.action_id: shard_of(it) for it in cancelled}
    for action_id, sent in before.sent.items():
        # One that was lost by its agent, or is refused by now, ends as one that was told of.
        is_over = action_id not in state.sent and sent.kind in MAKE_A_PRIMARY_KINDS
        if is_over and action_id not in found:
            found[action_id] = shards.get(action_id)
    return found


def settling_in(over: Mapping[str, str | None], shard_id: str | None) -> tuple[str, ...]:
    """Those after which this shard is to be looked at once more."""
    return tuple(
        it for it, shard in over.items() if shard is None or shard_id is None or shard == shard_id
    )
