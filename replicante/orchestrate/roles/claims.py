"""Decides which nodes may hold, as primary, what nobody else has: claims. Pure.

Called by the cycle and `progress`, which keep the memory, by `rejoin`, and by the rule
`claims_respected`.

A node that calls itself primary and is not the appointed one is a former primary that does not know
it yet, or the right one that we learnt of too late; it looks the same. What tells them apart is
that its role was taken by an act that we know (`replaced`). Every other claim stands until the node
follows the appointed primary: that it was started anew and waits as a replica of nobody settles
nothing (ADR 0100).
"""

from __future__ import annotations

import msgspec

from replicante.model.action_kinds import STORE_SWITCHOVER
from replicante.model.actions import NAction, Requester
from replicante.model.converge_state import ConvergeState
from replicante.model.node import NodeStatus
from replicante.model.shard import Shard, ShardRole
from replicante.orchestrate.view import ClusterView


def former_primary(state: ConvergeState, action: NAction, shard_id: str) -> str | None:
    """The node whose role was taken by an action that changes roles. Of what an agent was told
    directly nobody judged whom it replaces."""
    if action.kind == STORE_SWITCHOVER:
        return action.node_id
    named = action.args.get("replaces") if isinstance(action.args, dict) else None
    appointed = state.appointed.get(shard_id)
    if not isinstance(named, str):
        return appointed
    is_judged = action.requester is not Requester.AGENT_API
    return named if is_judged or named == appointed else None


def with_claims(before: ConvergeState, state: ConvergeState, view: ClusterView) -> ConvergeState:
    """The memory after it is known who is appointed.  before: as the last cycle left it."""
    replaced: dict[str, dict[str, str]] = {}
    claimed: dict[str, tuple[str, ...]] = {}
    # When all are gone, that is no reason to forget.
    shard_ids = view.shard_ids() or sorted({*state.replaced, *before.claimed})
    for shard_id in shard_ids:
        appointed = state.appointed.get(shard_id)
        settled = {it for it in view.node_ids if _is_settled(view, shard_id, it, appointed)}
        open_ids = {*view.node_ids} - settled
        known = state.replaced.get(shard_id, {})
        kept = {it: known[it] for it in sorted(known) if it in open_ids}
        found = {it.node_id for it in view.copies(shard_id) if it.role is ShardRole.PRIMARY}
        found |= {*before.claimed.get(shard_id, ()), before.appointed.get(shard_id, "")}
        claims = tuple(sorted((found & open_ids) - {*kept}))
        if kept:
            replaced[shard_id] = kept
        if claims:
            claimed[shard_id] = claims
    return msgspec.structs.replace(state, replaced=replaced, claimed=claimed)


def _is_settled(view: ClusterView, shard_id: str, node_id: str, appointed: str | None) -> bool:
    """It is the appointed one, or says now that it follows that one, or that it is no member."""
    if node_id == appointed:
        return True
    if view.nodes[node_id].node_status is NodeStatus.NOT_IN_CLUSTER:
        return True
    copy = view.shards.get(node_id, {}).get(shard_id)
    if copy is None or not copy.is_fresh or copy.role is ShardRole.PRIMARY:
        return False
    if copy.upstream is None or copy.upstream.address is None:
        # Its agent does not tell whom it follows: that it is primary no more is all it can say.
        return True
    return appointed in _sources(view, copy)


def untold(view: ClusterView) -> tuple[str, ...]:
    """Nodes that never told what they hold: each may be the primary of any shard."""
    found: list[str] = []
    for node_id in view.node_ids:
        node = view.nodes.get(node_id)
        has_told = node is not None and (
            node.node_status in (NodeStatus.HEALTHY, NodeStatus.NOT_IN_CLUSTER)
            or bool(view.copies_on(node_id))
        )
        if not has_told:
            found.append(node_id)
    return tuple(found)


def claim_followed(view: ClusterView, state: ConvergeState, copy: Shard, leader: str) -> str:
    """Whom a copy follows, over others or directly, that may be right beside the leader: a claim,
    or somebody who never told. Empty: nobody of these, or it was replaced itself."""
    if copy.node_id in state.replaced.get(copy.shard_id, {}):
        return ""
    claimed, unknown = state.claimed.get(copy.shard_id, ()), untold(view)
    for source in _sources(view, copy):
        if source == leader:
            return ""
        if source in claimed or source in unknown:
            return source
        if source not in view.node_ids and _may_be_untold(view, unknown):
            return source
    return ""


def _sources(view: ClusterView, copy: Shard) -> tuple[str, ...]:
    """Whom it follows, whom that one follows, and so on: nodes, or the last as an address that is
    none of a node's."""
    found: list[str] = []
    current: Shard | None = copy
    while current is not None and current.role is not ShardRole.PRIMARY:
        address = None if current.upstream is None else current.upstream.address
        if address is None:
            break
        node_id = view.node_at(address)
        if node_id is None or node_id in (*found, copy.node_id):
            found.append(address)
            break
        found.append(node_id)
        current = view.shards.get(node_id, {}).get(copy.shard_id)
    return tuple(found) or ("",)


def _may_be_untold(view: ClusterView, unknown: tuple[str, ...]) -> bool:
    """An address that nobody tells as his may be that of a node that never told any."""
    return any(view.nodes[it].member_address is None for it in unknown)
