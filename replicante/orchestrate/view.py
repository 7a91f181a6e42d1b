"""The cluster as one value: what is declared, discovered, last seen, and under way. Pure.

Called by the cycle, by explain and plan. Every decision reads a view and nothing else.

A view is consistent or is not made: each record belongs to this cluster, no key occurs twice, what
is listed as unfinished is unfinished, and the parts of a node belong to a known node.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from replicante.errors import InconsistentRecords
from replicante.model.action_kinds import PLATFORM_DEPROVISION
from replicante.model.actions import NAction, OAction, OActionPhase
from replicante.model.cluster_spec import ClusterSpec
from replicante.model.discovery import ClusterDiscovery, DiscoveredNode
from replicante.model.node import Node, NodeStatus, StoreExtras
from replicante.model.shard import Shard, ShardRole


class _Scoped(Protocol):
    @property
    def ns_id(self) -> str: ...
    @property
    def cluster_id(self) -> str: ...


_T = TypeVar("_T")
_K = TypeVar("_K", bound=Hashable)
_R = TypeVar("_R", bound=_Scoped)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    spec: ClusterSpec
    discovery: ClusterDiscovery
    nodes: Mapping[str, Node] = field(default_factory=dict)
    extras: Mapping[str, StoreExtras] = field(default_factory=dict)
    shards: Mapping[str, Mapping[str, Shard]] = field(default_factory=dict)
    """Node → shard → its copy there."""
    nactions: tuple[NAction, ...] = ()
    """Unfinished, in the order of their creation."""
    oactions: tuple[OAction, ...] = ()
    """As `nactions`."""

    @property
    def node_ids(self) -> tuple[str, ...]:
        """Those discovered, sorted."""
        return tuple(sorted(found.node_id for found in self.discovery.nodes))

    def discovered(self, node_id: str) -> DiscoveredNode | None:
        return next((it for it in self.discovery.nodes if it.node_id == node_id), None)

    def nactions_of(self, node_id: str) -> tuple[NAction, ...]:
        return tuple(action for action in self.nactions if action.node_id == node_id)

    def shard_ids(self) -> tuple[str, ...]:
        return tuple(sorted({shard_id for copies in self.shards.values() for shard_id in copies}))

    def copies(self, shard_id: str) -> tuple[Shard, ...]:
        """Every copy of a shard, by node id."""
        return tuple(
            self.shards[node_id][shard_id]
            for node_id in sorted(self.shards)
            if shard_id in self.shards[node_id]
        )

    def copies_on(self, node_id: str) -> tuple[Shard, ...]:
        copies = self.shards.get(node_id, {})
        return tuple(copies[shard_id] for shard_id in sorted(copies))

    def primaries(self, shard_id: str) -> tuple[Shard, ...]:
        """Copies that were seen as primary in this cycle."""
        return tuple(
            copy
            for copy in self.copies(shard_id)
            if copy.is_fresh and copy.role is ShardRole.PRIMARY
        )

    def is_healthy(self, node_id: str) -> bool:
        node = self.nodes.get(node_id)
        return node is not None and node.node_status is NodeStatus.HEALTHY

    def is_blank(self, node_id: str) -> bool:
        """It told that it is in no cluster and has no copy: there is nothing that it could lose."""
        node = self.nodes.get(node_id)
        is_outside = node is not None and node.node_status is NodeStatus.NOT_IN_CLUSTER
        return is_outside and not self.copies_on(node_id)

    def node_at(self, member_address: str | None) -> str | None:
        """The node that members know by this address."""
        if member_address is None:
            return None
        for node_id in self.node_ids:
            node = self.nodes.get(node_id)
            if node is not None and node.member_address == member_address:
                return node_id
        return None

    def address_of(self, node_id: str | None) -> str | None:
        """By which members know it. None: it is no node that is known, or it told none."""
        node = self.nodes.get(node_id or "")
        return None if node is None else node.member_address

    def taken_away(self) -> dict[str, str]:
        """Node → the order by which a platform may be taking it away: once called, it may have been
        heard, whatever was answered."""
        return {
            it.args["node_id"]: it.action_id
            for it in self.oactions
            if it.kind == PLATFORM_DEPROVISION
            and it.phase is OActionPhase.RUNNING
            and isinstance(it.args, dict)
            and isinstance(it.args.get("node_id"), str)
        }

    def role_counts(self, node_id: str) -> dict[str, int]:
        """Role, by its own name where the store has one → copies on the node."""
        counts: dict[str, int] = {}
        for copy in self.copies_on(node_id):
            name = copy.other_role if copy.role is ShardRole.OTHER else None
            counts[name or str(copy.role)] = counts.get(name or str(copy.role), 0) + 1
        return counts

    def with_nactions(self, actions: Iterable[NAction]) -> ClusterView:
        kept = (action for action in actions if not action.phase.is_final)
        return replace(self, nactions=tuple(sorted(kept, key=_naction_order)))

    def with_oactions(self, actions: Iterable[OAction]) -> ClusterView:
        kept = (action for action in actions if not action.phase.is_final)
        return replace(self, oactions=tuple(sorted(kept, key=_oaction_order)))


def build_view(
    *,
    spec: ClusterSpec,
    discovery: ClusterDiscovery | None,
    nodes: Iterable[Node] = (),
    extras: Iterable[StoreExtras] = (),
    shards: Iterable[Shard] = (),
    nactions: Iterable[NAction] = (),
    oactions: Iterable[OAction] = (),
) -> ClusterView:
    """The view of stored records.  Raises InconsistentRecords."""
    scope = (spec.ns_id, spec.cluster_id)
    if discovery is None:
        discovery = ClusterDiscovery(ns_id=spec.ns_id, cluster_id=spec.cluster_id)
    if (discovery.ns_id, discovery.cluster_id) != scope:
        raise _fault(f"discovery of {discovery.cluster_id} in a view of {spec.cluster_id}")
    _keyed("discovered node", discovery.nodes, lambda it: it.node_id)
    by_node: dict[str, dict[str, Shard]] = {}
    for (node_id, shard_id), shard in _scoped(
        "shard", shards, scope, lambda it: (it.node_id, it.shard_id)
    ).items():
        by_node.setdefault(node_id, {})[shard_id] = shard
    view = ClusterView(
        spec=spec,
        discovery=discovery,
        nodes=_scoped("node", nodes, scope, lambda it: it.node_id),
        extras=_scoped("store extras", extras, scope, lambda it: it.node_id),
        shards=by_node,
    )
    for kind, owners in (("store extras", view.extras), ("shard", view.shards)):
        for node_id in owners:
            if node_id not in view.nodes:
                raise _fault(f"{kind} of node {node_id}, which has no record")
    found_nactions = _scoped("action", nactions, scope, lambda it: it.action_id)
    found_oactions = _scoped("orchestrator action", oactions, scope, lambda it: it.action_id)
    unfinished: tuple[NAction | OAction, ...] = (
        *found_nactions.values(),
        *found_oactions.values(),
    )
    for action in unfinished:
        if action.phase.is_final:
            raise _fault(f"action {action.action_id} is finished but listed as unfinished")
    return view.with_nactions(found_nactions.values()).with_oactions(found_oactions.values())


def _scoped(
    kind: str, records: Iterable[_R], scope: tuple[str, str], key: Callable[[_R], _K]
) -> dict[_K, _R]:
    found = tuple(records)
    for record in found:
        if (record.ns_id, record.cluster_id) != scope:
            raise _fault(f"{kind} {key(record)} belongs to {record.ns_id}/{record.cluster_id}")
    return _keyed(kind, found, key)


def _keyed(kind: str, records: Iterable[_T], key: Callable[[_T], _K]) -> dict[_K, _T]:
    found: dict[_K, _T] = {}
    for record in records:
        if key(record) in found:
            raise _fault(f"{kind} {key(record)} occurs twice")
        found[key(record)] = record
    return found


def _naction_order(action: NAction) -> tuple[int, str]:
    return action.created_ms, action.action_id


def _oaction_order(action: OAction) -> tuple[int, str]:
    return action.created_ms, action.action_id


def _fault(message: str) -> InconsistentRecords:
    return InconsistentRecords(message)
