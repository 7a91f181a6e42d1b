"""Decides what another controller of roles means for a cluster: who it is, whether roles are
changed through it, and whom it names as primary. Pure.

Called by the steps, the safety rules, the conditions and `progress`. A controller counts where an
agent sees it, for a while after that, and, once the declaration says that roles are changed through
it, whether anybody sees it or not: a Sentinel that is cut off for a minute must not find roles
changed behind its back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from replicante.limits import CONTROLLER_KEPT_MS
from replicante.model.cluster_declaration import Controller, ControllerUse
from replicante.model.node import CONTROLLER_PRIMARY, NodeStatus
from replicante.model.shard import ShardRole
from replicante.orchestrate.proposal import Situation
from replicante.orchestrate.view import ClusterView


@dataclass(frozen=True, slots=True, kw_only=True)
class InCharge:
    """Other controllers of the roles of one cluster."""

    seen: Mapping[str, tuple[str, ...]]
    """Node → those that its agent sees, or saw before it fell silent; nodes without are left
    out."""
    declared: tuple[Controller, ...]
    """Those through which roles are changed."""
    remembered: Mapping[str, int]
    """Those that were seen lately → for how many milliseconds more they count."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that count, seen, remembered or declared."""
        seen = {it for found in self.seen.values() for it in found}
        return tuple(sorted(seen | {*self.remembered} | {*self.declared}))

    @property
    def through(self) -> Controller | None:
        """The one that is asked to change roles. None: they are ours, or nobody may change them."""
        names = {it for found in self.seen.values() for it in found}
        is_alone = {*self.remembered} <= names
        return next((it for it in self.declared if names == {it} and is_alone), None)


def in_charge(situation: Situation) -> InCharge:
    view, now_ms = situation.view, situation.now_ms
    declared = view.spec.declaration.controllers
    rests_ms = {
        it: seen_ms + CONTROLLER_KEPT_MS - now_ms
        for it, seen_ms in situation.state.controllers.items()
    }
    return InCharge(
        remembered={it: rest_ms for it, rest_ms in rests_ms.items() if rest_ms > 0},
        seen={
            node_id: node.controllers
            for node_id in view.node_ids
            if (node := view.nodes.get(node_id)) is not None and node.controllers
        },
        declared=tuple(it for it in Controller if declared[it] is ControllerUse.THROUGH),
    )


def primary_by_controller(view: ClusterView, shard_id: str) -> str | None:
    """The node that the controller in charge names as primary of the shard and that calls itself
    so. None: not known."""
    found = view.node_at(named_address(view))
    copy = view.shards.get(found or "", {}).get(shard_id)
    is_so = copy is not None and copy.is_fresh and copy.role is ShardRole.PRIMARY
    return found if is_so else None


def named_address(view: ClusterView) -> str | None:
    """The primary that the controller in charge names, by the word of most agents that see it."""
    words: list[str] = []
    for node_id in view.node_ids:
        node = view.nodes.get(node_id)
        if node is None or not node.controllers or node.details is None:
            continue
        if node.node_status is not NodeStatus.UNREACHABLE:
            words.append(str(node.details.attributes.get(CONTROLLER_PRIMARY) or ""))
    return next((it for it in words if it and 2 * words.count(it) > len(words)), None)
