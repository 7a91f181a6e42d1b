"""Decides which promotions the primary outlived that they were to replace, and what they come to
then. Pure; called by the cycle and by `progress`.

A promotion leaves because no primary is seen. Its agent may fall silent with it, or begin it late,
and meanwhile that primary is back and takes writes. What is told of the end then is true, and no
reason to give up what was written: the promoted node is a claim beside the primary that is there,
or the primary where that one is gone, and whoever was seen is not known as replaced, so a person
decides (ADR 0100). A primary that comes back only beside its successor outlived nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from replicante.model.action_kinds import STORE_PROMOTE
from replicante.model.actions import NAction, Requester
from replicante.model.converge_state import ConvergeState, SentAction
from replicante.orchestrate.roles.primaries import Primary, PrimaryVerdict


def with_outlived(state: ConvergeState, primaries: Mapping[str, Primary]) -> ConvergeState:
    """The memory after the primaries were assessed: of each promotion that left before this look,
    whether the primary of its shard is there without it."""
    sent = {
        action_id: msgspec.structs.replace(it, is_outlived=True)
        if it.kind == STORE_PROMOTE and _is_outlived_now(it, primaries)
        else it
        for action_id, it in state.sent.items()
    }
    return msgspec.structs.replace(state, sent=sent)


def is_outlived(state: ConvergeState, action: NAction) -> bool:
    """Of what an agent was told directly nobody looked whether a primary is there."""
    sent = state.sent.get(action.action_id)
    is_judged = action.requester is not Requester.AGENT_API
    return is_judged and sent is not None and sent.is_outlived


def shard_of(action: NAction) -> str | None:
    named = action.args.get("shard_id") if isinstance(action.args, dict) else None
    return named if isinstance(named, str) else None


def _is_outlived_now(sent: SentAction, primaries: Mapping[str, Primary]) -> bool:
    """Also by another one than it was to replace: somebody else's successor."""
    shards = primaries if sent.shard_id is None else {sent.shard_id}
    found = (primaries[it] for it in shards if it in primaries)
    return any(_leads_alone(it) and it.node_id != sent.node_id for it in found)


def _leads_alone(primary: Primary) -> bool:
    is_heard = primary.is_seen_by_a_copy and not primary.claimants
    return primary.verdict is PrimaryVerdict.PRESENT or (is_heard and not primary.has_stepped_down)
