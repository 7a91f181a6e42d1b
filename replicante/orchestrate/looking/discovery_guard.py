"""Decides what of a platform's answer is believed. Pure; called by `workers` after each discovery.

New nodes and new addresses are believed at once: they are looked at before anything is done. A node
that is missing is another matter, because what follows is the end of its records, and a platform
that lost its database answers just so:

- expected (we had it taken away): believed at once;
- less than half of the nodes: believed after the same answer DISCOVERY_CONFIRMATIONS_MIN times, but
  not while one of them is seen to serve as a primary: the agents know better than the platform;
- half or more, or all: held until a person confirms it, or until the nodes are back;
- a cluster that another platform answers for: refused.

What is held is a named condition (`discovery_held`) and forbids planned work on the cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from replicante.limits import (
    DISCOVERED_CLUSTERS_MAX,
    DISCOVERED_NODES_MAX,
    DISCOVERY_CONFIRMATIONS_MIN,
)
from replicante.model.change import Change, ChangeCode
from replicante.model.codec import Value
from replicante.model.discovery import ClusterDiscovery, DiscoveredNode, HeldDiscovery
from replicante.model.node import Node
from replicante.model.records import Record
from replicante.model.shard import Shard, ShardRole, Sight
from replicante.model.violations import Violations
from replicante.orchestrate.recording import change


class AnsweredCluster(Record, frozen=True, kw_only=True):
    cluster_id: str
    nodes: tuple[DiscoveredNode, ...] = ()


class _Answer(Record, frozen=True, kw_only=True):
    clusters: tuple[AnsweredCluster, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryJudged:
    changes: tuple[Change, ...] = ()
    new_cluster_ids: tuple[str, ...] = ()
    """Seen for the first time: those without a spec get a synthetic one, in observe mode."""
    refused: Mapping[str, str]
    """Cluster → why its part of the answer is not taken."""


def read_answer(value: Value) -> tuple[AnsweredCluster, ...]:
    """The body of `/discover`, with nodes in the order of their ids.  Raises Invalid."""
    clusters = _Answer.from_value(value).clusters
    violations = Violations()
    if len(clusters) > DISCOVERED_CLUSTERS_MAX:
        violations.add(("clusters",), f"must be at most {DISCOVERED_CLUSTERS_MAX}")
    seen: set[str] = set()
    for i, cluster in enumerate(clusters):
        path = ("clusters", i)
        violations.name(cluster.cluster_id, (*path, "cluster_id"))
        if cluster.cluster_id in seen:
            violations.add((*path, "cluster_id"), "occurs twice")
        seen.add(cluster.cluster_id)
        if len(cluster.nodes) > DISCOVERED_NODES_MAX:
            violations.add((*path, "nodes"), f"must be at most {DISCOVERED_NODES_MAX}")
        ids = [node.node_id for node in cluster.nodes]
        for j, node in enumerate(cluster.nodes):
            violations.name(node.node_id, (*path, "nodes", j, "node_id"))
            if ids.index(node.node_id) != j:
                violations.add((*path, "nodes", j, "node_id"), "occurs twice")
    violations.raise_if_any()
    return tuple(
        msgspec.structs.replace(it, nodes=tuple(sorted(it.nodes, key=_node_id))) for it in clusters
    )


def judge_discovery(
    *,
    ns_id: str,
    platform: str,
    answer: Value,
    stored: Iterable[ClusterDiscovery],
    expected_gone: Mapping[str, frozenset[str]],
    serving: Mapping[str, frozenset[str]],
    is_confirmed: bool,
    now_ms: int,
) -> DiscoveryJudged:
    """stored: every discovery record of the namespace. expected_gone: cluster → nodes that we had
    taken away. serving: cluster → `serving_nodes`, of those whose last answer is held.
    is_confirmed: a person says that missing nodes are really gone.

    An answer that is no answer changes nothing; it is the caller's to record its failure.
    Raises Invalid.
    """
    known = {record.cluster_id: record for record in stored}
    clusters = {it.cluster_id: it for it in read_answer(answer)}
    # A cluster of ours that the answer leaves out is one whose nodes are all missing.
    for record in known.values():
        if record.platform == platform and record.nodes and record.cluster_id not in clusters:
            clusters[record.cluster_id] = AnsweredCluster(cluster_id=record.cluster_id)
    changes: list[Change] = []
    new_ids: list[str] = []
    refused: dict[str, str] = {}
    for cluster_id in sorted(clusters):
        before = known.get(cluster_id)
        if before is not None and before.platform not in (None, platform):
            refused[cluster_id] = f"platform {before.platform} answers for it already"
            continue
        after = _judged(
            before or ClusterDiscovery(ns_id=ns_id, cluster_id=cluster_id, platform=platform),
            clusters[cluster_id],
            expected_gone.get(cluster_id, frozenset()),
            serving.get(cluster_id, frozenset()),
            is_confirmed,
            now_ms,
        )
        after = msgspec.structs.replace(after, platform=platform)
        if before is None:
            new_ids.append(cluster_id)
            changes.append(change(None, after, ChangeCode.CLUSTER_DISCOVERY_NEW))
        elif after != before:
            changes.append(change(before, after, _code(before, after)))
    return DiscoveryJudged(changes=tuple(changes), new_cluster_ids=tuple(new_ids), refused=refused)


def serving_nodes(nodes: Iterable[Node], shards: Iterable[Shard]) -> frozenset[str]:
    """Those that were primaries in the last look, by their own word or as a copy heard them."""
    at = {it.member_address: it.node_id for it in nodes if it.member_address is not None}
    fresh = [it for it in shards if it.is_fresh]
    links = [it.upstream for it in fresh if it.upstream is not None]
    heard = {it.address for it in links if it.sight is Sight.UP}
    told = {it.node_id for it in fresh if it.role is ShardRole.PRIMARY}
    return frozenset(told | {node_id for address, node_id in at.items() if address in heard})


def _judged(
    before: ClusterDiscovery,
    answered: AnsweredCluster,
    expected_gone: frozenset[str],
    serving: frozenset[str],
    is_confirmed: bool,
    now_ms: int,
) -> ClusterDiscovery:
    present = {node.node_id: node for node in answered.nodes}
    missing = [it for it in before.nodes if it.node_id not in present]
    doubtful = [it for it in missing if it.node_id not in expected_gone]
    if not doubtful or is_confirmed:
        return msgspec.structs.replace(before, nodes=answered.nodes, held=None)
    held = before.held
    is_same = held is not None and _ids(held.nodes) == _ids(answered.nodes)
    count = held.seen_count + 1 if held is not None and is_same else 1
    is_minor = 2 * len(doubtful) < len(before.nodes)
    primaries = sorted(serving & _ids(doubtful))
    if is_minor and not primaries and count >= DISCOVERY_CONFIRMATIONS_MIN:
        return msgspec.structs.replace(before, nodes=answered.nodes, held=None)
    names = ", ".join(it.node_id for it in doubtful)
    what = "it names no node" if not present else f"{names} of {len(before.nodes)} are missing"
    how = f"seen {count} times" if is_minor else "too many at once: a person must confirm it"
    if primaries:
        how = f"{', '.join(primaries)} still serves as a primary: a person must confirm it"
    kept = [present.get(it.node_id, it) for it in before.nodes if it not in missing]
    kept += doubtful
    kept += [node for node_id, node in present.items() if node_id not in _ids(before.nodes)]
    return msgspec.structs.replace(
        before,
        nodes=tuple(sorted(kept, key=_node_id)),
        held=HeldDiscovery(
            nodes=answered.nodes,
            reason=f"{what} ({how})",
            since_ms=held.since_ms if held is not None and is_same else now_ms,
            # Bounded, so that a held answer does not write for ever.
            seen_count=min(count, DISCOVERY_CONFIRMATIONS_MIN),
        ),
    )


def _code(before: ClusterDiscovery, after: ClusterDiscovery) -> ChangeCode | None:
    if after.nodes != before.nodes:
        return (
            ChangeCode.CLUSTER_DISCOVERY_UPDATE
            if after.nodes
            else (ChangeCode.CLUSTER_DISCOVERY_LOST)
        )
    if after.held is not None and before.held is None:
        return ChangeCode.CLUSTER_DISCOVERY_HELD
    is_released = before.held is not None and after.held is None
    return ChangeCode.CLUSTER_DISCOVERY_UPDATE if is_released else None


def _ids(nodes: Iterable[DiscoveredNode]) -> set[str]:
    return {node.node_id for node in nodes}


def _node_id(node: DiscoveredNode) -> str:
    return node.node_id
