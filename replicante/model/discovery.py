"""What a platform says of a cluster: which nodes there are and where their agents answer. Pure.

Called by `orchestrate` (discovery guard, cycle), `state` and `platforms`. Fields as the original's.
"""

from __future__ import annotations

from replicante.model.records import Record


class DiscoveredNode(Record, frozen=True, kw_only=True):
    agent_address: str
    node_class: str
    node_id: str
    """Given by the platform, unique in the cluster, stable for the life of the node."""
    node_group: str | None = None
    """The group of the declared definition that the node belongs to."""


class ClusterDiscovery(Record, frozen=True, kw_only=True):
    ns_id: str
    cluster_id: str
    nodes: tuple[DiscoveredNode, ...] = ()
    """Sorted by node id."""
    platform: str | None = None
    """Which platform says so: another one that claims the cluster is refused."""
    held: HeldDiscovery | None = None
    """An answer of the platform that is not believed yet."""


class HeldDiscovery(Record, frozen=True, kw_only=True):
    """A suspicious answer: kept beside the record, not instead of it."""

    nodes: tuple[DiscoveredNode, ...]
    reason: str
    since_ms: int
    seen_count: int
    """How many answers in a row said the same."""
