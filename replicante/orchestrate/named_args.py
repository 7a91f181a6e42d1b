"""Decides what the args of a named action say, and what of them is sent. Pure.

Called by `by_name`, which judges by it, by `acting`, and by the rule `identity_right`. What is
judged is what the agent gets and what is remembered: args that a person left out are filled in from
the cluster, and what is only read off the cluster is never taken from what a person wrote.
"""

from __future__ import annotations

import msgspec

from replicante.model.action_kinds import (
    CLUSTER_ADD,
    CLUSTER_JOIN,
    CLUSTER_REMOVE,
    CONTROLLER_FAILOVER,
    ROLE_KINDS,
    SERVICE_START,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_REJOIN,
    STORE_SWITCHOVER,
    THROUGH_KINDS,
)
from replicante.model.actions import NAction, OAction
from replicante.model.codec import Value
from replicante.orchestrate.proposal import Proposal, Situation
from replicante.orchestrate.view import ClusterView

_OF_SHARDS = ROLE_KINDS | THROUGH_KINDS
_REPLACING = THROUGH_KINDS | {STORE_PROMOTE, STORE_FENCE}
_WHOSE_ADDRESS = {
    STORE_REJOIN: "node_id",
    STORE_SWITCHOVER: "node_id",
    CLUSTER_ADD: "node_id",
    CLUSTER_JOIN: "node_id",
    CLUSTER_REMOVE: "node_id",
    SERVICE_START: "node_id",
    CONTROLLER_FAILOVER: "replaces",
}
"""Kinds whose agent reads an address, `node`, and the arg that says whose it is."""


def known_args(action: NAction | OAction, situation: Situation) -> dict[str, Value]:
    """With what they leave out and the cluster tells. Who is the primary is no matter of opinion:
    to name another one as `replaces` does not hide it, and where none is known, nobody is."""
    view, primaries, kind = situation.view, situation.primaries, action.kind
    args: dict[str, Value] = dict(action.args) if isinstance(action.args, dict) else {}
    if kind in _OF_SHARDS and args.get("shard_id") is None and len(primaries) == 1:
        args["shard_id"] = next(iter(primaries))
    if kind == STORE_FENCE and isinstance(action, NAction):
        args["replaces"] = action.node_id
    elif kind in _REPLACING:
        primary = primaries.get(text_of(args, "shard_id") or "")
        args["replaces"] = None if primary is None else primary.node_id
    if kind in _WHOSE_ADDRESS and kind != SERVICE_START and text_of(args, "node") is None:
        # A start that names no address follows whom it followed last.
        args["node"] = _address_of(view, text_of(args, _WHOSE_ADDRESS[kind]))
    if text_of(args, "node_id") is None:
        args["node_id"] = view.node_at(text_of(args, "node"))
    return {name: it for name, it in args.items() if it is not None}


def as_judged(action: NAction | OAction, proposal: Proposal) -> NAction | OAction:
    """With the args that were judged, of those that rules, agents or the memory of a cluster read;
    what else a person wrote is the agent's alone."""
    names: set[str] = set()
    if action.kind in _OF_SHARDS:
        names.add("shard_id")
    if action.kind in _REPLACING:
        names.add("replaces")
    if action.kind in _WHOSE_ADDRESS:
        names |= {"node", _WHOSE_ADDRESS[action.kind]}
    written = action.args if isinstance(action.args, dict) else {}
    args = {name: it for name, it in written.items() if name not in names or it is None}
    args |= {name: it for name, it in proposal.args.items() if name in names}
    return action if args == written else msgspec.structs.replace(action, args=args)


def contradiction(proposal: Proposal, view: ClusterView) -> str | None:
    """Why the address that the agent would use is not that of the node that was judged. None: it
    is, or nothing is known that speaks against it."""
    named = text_of(proposal.args, _WHOSE_ADDRESS.get(proposal.action_kind, ""))
    address = text_of(proposal.args, "node")
    if named is None or address is None:
        return None
    found, own = view.node_at(address), view.address_of(named)
    if found == named or (found is None and own in (None, address)):
        return None
    known = f"is that of {found}" if found is not None else f"is not {own}"
    return f"{address}, which the action gives as the address of {named}, {known}"


def unlike_what_left(proposal: Proposal, view: ClusterView) -> str | None:
    """Why what a person asked for and what left is not what is judged now: its record cannot change
    any more, and is what its agent gets and what is remembered. None: it is, or it did not leave.
    """
    for action in view.nactions:
        is_it = action.action_id == proposal.action_id and action.sent_epoch is not None
        if not is_it or not proposal.is_asked_for:
            continue
        left = action.args if isinstance(action.args, dict) else {}
        judged = as_judged(action, proposal).args
        now = judged if isinstance(judged, dict) else {}
        names = sorted(it for it in {*left, *now} if left.get(it) != now.get(it))
        if names:
            told = (f"{it} was {left.get(it)} and is {now.get(it)}" for it in names)
            return f"it left with what is not so any more: {', '.join(told)}"
    return None


def text_of(args: dict[str, Value], name: str) -> str | None:
    found = args.get(name)
    return found if isinstance(found, str) else None


def _address_of(view: ClusterView, node_id: str | None) -> str | None:
    """None: it is not known, or another node is known by it."""
    address = view.address_of(node_id)
    return address if view.node_at(address) in (node_id, None) else None
