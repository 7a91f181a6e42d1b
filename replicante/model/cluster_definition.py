"""The cluster definition: which groups of nodes a platform is to make, of which store. Pure.

Called by `cluster_declaration`; sent to platforms as it is. Fields are the original's.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from replicante.limits import DEFINITION_GROUPS_MAX, DEFINITION_NODES_MAX
from replicante.model.codec import Path, Value
from replicante.model.records import Record
from replicante.model.violations import Violations, describe


class NodeGroup(Record, frozen=True, kw_only=True):
    desired_count: int
    node_class: str
    store_version: str | None = None
    """None: the cluster's."""
    attributes: dict[str, Value] = msgspec.field(default_factory=dict)
    """Extend and override those of the cluster."""


class ClusterDefinition(Record, frozen=True, kw_only=True):
    cluster_id: str
    store: str
    store_version: str
    attributes: dict[str, Value] = msgspec.field(default_factory=dict)
    nodes: dict[str, NodeGroup] = msgspec.field(default_factory=dict)
    """Group id → group, sorted by id."""

    @property
    def desired_count(self) -> int:
        return sum(group.desired_count for group in self.nodes.values())


def read_definition(
    value: Value, path: Path, *, cluster_id: str, violations: Violations
) -> ClusterDefinition | None:
    """The declared definition; None when there is none. `cluster_id` may be left out."""
    if value is None:
        return None
    fields = violations.mapping(
        value, path, fields=("cluster_id", "store", "store_version", "attributes", "nodes")
    )
    if fields.get("cluster_id", cluster_id) != cluster_id:
        violations.add((*path, "cluster_id"), "differs from spec.cluster_id")
    nodes = _read_groups(fields.get("nodes", {}), (*path, "nodes"), violations)
    if sum(group.desired_count for group in nodes.values()) > DEFINITION_NODES_MAX:
        violations.add((*path, "nodes"), f"must ask for at most {DEFINITION_NODES_MAX} nodes")
    return ClusterDefinition(
        cluster_id=cluster_id,
        store=violations.text(fields.get("store"), (*path, "store")),
        store_version=violations.text(fields.get("store_version"), (*path, "store_version")),
        attributes=_read_attributes(fields, path, violations),
        nodes=nodes,
    )


def _read_groups(value: Value, path: Path, violations: Violations) -> dict[str, NodeGroup]:
    if not isinstance(value, dict):
        violations.add(path, f"must be a map, not {describe(value)}")
        return {}
    if len(value) > DEFINITION_GROUPS_MAX:
        violations.add(path, f"must be at most {DEFINITION_GROUPS_MAX} groups")
        return {}
    groups: dict[str, NodeGroup] = {}
    for name in sorted(value):
        violations.name(name, (*path, name))
        groups[name] = _read_group(value[name], (*path, name), violations)
    return groups


def _read_group(value: Value, path: Path, violations: Violations) -> NodeGroup:
    fields = violations.mapping(
        value, path, fields=("desired_count", "node_class", "store_version", "attributes")
    )
    return NodeGroup(
        desired_count=violations.integer(
            fields.get("desired_count"),
            (*path, "desired_count"),
            lowest=0,
            highest=DEFINITION_NODES_MAX,
        ),
        node_class=violations.text(fields.get("node_class"), (*path, "node_class")),
        store_version=violations.text_or_none(
            fields.get("store_version"), (*path, "store_version")
        ),
        attributes=_read_attributes(fields, path, violations),
    )


def _read_attributes(
    fields: Mapping[str, Value], path: Path, violations: Violations
) -> dict[str, Value]:
    value = fields.get("attributes", {})
    if isinstance(value, dict):
        return dict(value)
    violations.add((*path, "attributes"), f"must be a map, not {describe(value)}")
    return {}
