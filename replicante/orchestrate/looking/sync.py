"""First stage of a cycle: what the agents answered becomes the records of nodes and shards. Pure.

Called by the cycle. A failed look keeps what was known and marks it as not fresh; it never deletes.
What an agent no longer reports is deleted; a node that left discovery goes with all its records.
One bad agent is a fact about one node: nothing here ends the cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from replicante.model.actions import NAction, NActionPhase, move_naction
from replicante.model.change import Change, ChangeCode
from replicante.model.node import Node, NodeStatus, StoreExtras
from replicante.model.observation import AgentAnswer, Observation, SeenNode
from replicante.model.report import Note, NoteCategory
from replicante.model.shard import Shard
from replicante.orchestrate.looking.doubts import boots_after
from replicante.orchestrate.recording import change, node_code
from replicante.orchestrate.view import ClusterView

_NO_LOOK = "no look was taken in this cycle"


@dataclass(slots=True)
class Synced:
    """What a stage hands on; it grows from node to node."""

    view: ClusterView
    changes: list[Change] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    nodes_synced_count: int = 0
    nodes_failed_count: int = 0


def sync_nodes(
    view: ClusterView,
    observations: Mapping[str, Observation],
    *,
    discovered_ms: int | None,
    now_ms: int,
    wall_ms: int,
) -> Synced:
    """The view with what was seen, and the changes that make it true.

    discovered_ms: cluster clock at which the discovery began that names the nodes; None: unknown.
    """
    synced = Synced(view=view)
    nodes, extras = dict(view.nodes), dict(view.extras)
    shards = {node_id: dict(copies) for node_id, copies in view.shards.items()}
    for node_id in view.node_ids:
        observation = observations.get(node_id)
        before = nodes.get(node_id)
        after = _node(view, node_id, before, observation)
        nodes[node_id] = after
        if before is None or _news(before) != _news(after):
            synced.changes.append(change(before, after, node_code(before, after)))
        elif before != after:
            synced.changes.append(change(before, after, None))
        _note(synced, node_id, observation)
        _sync_extras(synced, extras, after, observation)
        _sync_shards(synced, shards, after, observation)
    synced.view = replace(
        view, nodes=nodes, extras=extras, shards={it: c for it, c in shards.items() if c}
    )
    for node_id in sorted(set(nodes) - set(view.node_ids)):
        _remove(synced, node_id, now_ms=now_ms, wall_ms=wall_ms)
    if discovered_ms is not None and view.discovery.held is None:
        known = synced.view
        nowhere = [
            it
            for it in known.nactions
            if it.node_id not in known.node_ids and it.created_ms < discovered_ms
        ]
        why = "no node of this name was discovered since it was asked for"
        _cancel(synced, nowhere, why, now_ms=now_ms, wall_ms=wall_ms)
    return synced


def _node(
    view: ClusterView, node_id: str, before: Node | None, observation: Observation | None
) -> Node:
    seen = None if observation is None else observation.node
    if observation is None or observation.answer is not AgentAnswer.ANSWERED or seen is None:
        answer = _NO_LOOK if observation is None else str(observation.answer)
        known = before or Node(
            ns_id=view.spec.ns_id,
            cluster_id=view.spec.cluster_id,
            node_id=node_id,
            node_status=NodeStatus.UNREACHABLE,
        )
        return msgspec.structs.replace(
            known, node_status=NodeStatus.UNREACHABLE, status_reason=answer
        )
    return Node(
        ns_id=view.spec.ns_id,
        cluster_id=view.spec.cluster_id,
        node_id=node_id,
        node_status=_status(seen, observation),
        status_reason=seen.status_reason,
        details=seen.details,
        contact=seen.contact,
        controllers=tuple(sorted(seen.controllers)),
        is_fenced=observation.is_fenced,
        seen_ms=observation.at_ms,
        incarnation=observation.incarnation,
        boots=boots_after(() if before is None else before.boots, observation.boots),
    )


def _status(seen: SeenNode, observation: Observation) -> NodeStatus:
    is_partial = observation.store_attributes is None or observation.shards is None
    if seen.status is NodeStatus.HEALTHY and is_partial:
        return NodeStatus.INCOMPLETE
    return seen.status


def _news(node: Node) -> Node:
    return msgspec.structs.replace(node, seen_ms=None, boots=())


def _note(synced: Synced, node_id: str, observation: Observation | None) -> None:
    if observation is not None and observation.answer is AgentAnswer.ANSWERED:
        synced.nodes_synced_count += 1
        for name, error in (
            ("store", observation.store_error),
            ("shards", observation.shards_error),
        ):
            if error is not None:
                _add_error(synced, f"info/{name} of {node_id} failed: {error}", node_id)
        return
    synced.nodes_failed_count += 1
    message = _NO_LOOK if observation is None else f"{observation.answer}: {observation.message}"
    _add_error(synced, f"{node_id} gave no usable answer: {message}", node_id)


def _add_error(synced: Synced, message: str, node_id: str) -> None:
    synced.notes.append(
        Note(category=NoteCategory.ERROR, message=message, data={"node_id": node_id})
    )


def _sync_extras(
    synced: Synced, extras: dict[str, StoreExtras], node: Node, observation: Observation | None
) -> None:
    before = extras.get(node.node_id)
    if observation is not None and observation.store_attributes is not None:
        after = StoreExtras(
            ns_id=node.ns_id,
            cluster_id=node.cluster_id,
            node_id=node.node_id,
            attributes=observation.store_attributes,
            readings=observation.store_readings,
        )
    elif before is not None:
        after = msgspec.structs.replace(before, is_fresh=False)
    else:
        return
    extras[node.node_id] = after
    if before is None:
        synced.changes.append(change(None, after, ChangeCode.STORE_EXTRAS_SYNC_NEW))
    elif not before.is_same_for_events(after):
        synced.changes.append(change(before, after, ChangeCode.STORE_EXTRAS_SYNC_UPDATE))
    elif before != after:
        synced.changes.append(change(before, after, None))


def _sync_shards(
    synced: Synced,
    shards: dict[str, dict[str, Shard]],
    node: Node,
    observation: Observation | None,
) -> None:
    known = shards.get(node.node_id, {})
    if observation is None or observation.shards is None:
        after = {it: msgspec.structs.replace(copy, is_fresh=False) for it, copy in known.items()}
        if any(copy.is_fresh for copy in known.values()):
            _add_error(synced, f"shards of {node.node_id} are not fresh any more", node.node_id)
    else:
        after = {
            seen.shard_id: Shard(
                ns_id=node.ns_id,
                cluster_id=node.cluster_id,
                node_id=node.node_id,
                shard_id=seen.shard_id,
                role=seen.role,
                other_role=seen.other_role,
                commit_offset=seen.commit_offset,
                lag=seen.lag,
                history_id=seen.history_id,
                upstream=seen.upstream,
                offset_ms=None if seen.commit_offset is None else observation.at_ms,
            )
            for seen in observation.shards
        }
    shards[node.node_id] = after
    for shard_id in sorted(set(known) | set(after)):
        before, now = known.get(shard_id), after.get(shard_id)
        if now is None:
            synced.changes.append(change(before, None, ChangeCode.SHARD_DELETE))
        elif before is None:
            synced.changes.append(change(None, now, ChangeCode.SHARD_SYNC_NEW))
        elif not before.is_same_for_events(now):
            synced.changes.append(change(before, now, ChangeCode.SHARD_SYNC_UPDATE))
        elif before != now:
            synced.changes.append(change(before, now, None))


def _remove(synced: Synced, node_id: str, *, now_ms: int, wall_ms: int) -> None:
    gone, why = synced.view.nactions_of(node_id), "its node left discovery"
    _cancel(synced, gone, why, now_ms=now_ms, wall_ms=wall_ms)
    view = synced.view
    for copy in view.copies_on(node_id):
        synced.changes.append(change(copy, None, ChangeCode.SHARD_DELETE))
    if node_id in view.extras:
        synced.changes.append(change(view.extras[node_id], None, ChangeCode.STORE_EXTRAS_DELETE))
    synced.changes.append(change(view.nodes[node_id], None, ChangeCode.NODE_DELETE))
    synced.view = replace(
        view,
        nodes={it: node for it, node in view.nodes.items() if it != node_id},
        extras={it: extras for it, extras in view.extras.items() if it != node_id},
        shards={it: copies for it, copies in view.shards.items() if it != node_id},
    )


def _cancel(
    synced: Synced, actions: Iterable[NAction], why: str, *, now_ms: int, wall_ms: int
) -> None:
    gone = {it.action_id: it for it in actions}
    for action in gone.values():
        ended = move_naction(action, NActionPhase.CANCELLED, now_ms=now_ms, wall_ms=wall_ms)
        assert isinstance(ended, NAction), "every unfinished action may be cancelled"
        ended = msgspec.structs.replace(ended, error={"error_msg": why})
        synced.changes.append(change(action, ended, ChangeCode.NACTION_CANCEL))
    view = synced.view
    synced.view = view.with_nactions(it for it in view.nactions if it.action_id not in gone)
