"""Puts into a few words what a cycle saw of each node. Pure; called by the cycle."""

from __future__ import annotations

from collections.abc import Mapping

from replicante.model.decision import SeenNode
from replicante.model.observation import Observation
from replicante.model.shard import Shard, Sight
from replicante.orchestrate.view import ClusterView

_SIGHTS = {
    Sight.UP: "hears",
    Sight.DOWN: "does not hear",
    Sight.REFUSED: "is refused by",
    Sight.UNKNOWN: "follows",
}


def seen_nodes(view: ClusterView, observations: Mapping[str, Observation]) -> tuple[SeenNode, ...]:
    found: list[SeenNode] = []
    for node_id in view.node_ids:
        node, observation = view.nodes.get(node_id), observations.get(node_id)
        copies = view.copies_on(node_id)
        found.append(
            SeenNode(
                node_id=node_id,
                answer="no look" if observation is None else str(observation.answer),
                status="never seen" if node is None else str(node.node_status),
                roles=tuple(_words(copy) for copy in copies),
                is_fresh=all(copy.is_fresh for copy in copies),
            )
        )
    return tuple(found)


def _words(copy: Shard) -> str:
    text = f"{copy.shard_id}: {copy.other_role or copy.role}"
    if copy.commit_offset is not None:
        text += f" at {copy.commit_offset.value} {copy.commit_offset.unit}"
    if copy.lag is not None and copy.is_fresh:
        text += f", {copy.lag.value} {copy.lag.unit} behind"
    upstream = copy.upstream
    if upstream is not None and upstream.address is not None:
        text += f", {_SIGHTS[upstream.sight]} {upstream.address}"
    return text
