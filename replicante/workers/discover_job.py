"""One discovery of one platform: ask, judge, record. Called by the supervisor.

A failure is recorded as the platform's last run and changes nothing of what is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from replicante.errors import Invalid
from replicante.limits import RECORD_CHANGES_MAX
from replicante.model.cluster_spec import ClusterSpec
from replicante.model.codec import Value, encode_value
from replicante.model.discovery import ClusterDiscovery
from replicante.model.namespace import NamespaceStatus
from replicante.model.objects import ObjectKind
from replicante.model.platform import Platform
from replicante.orchestrate.looking.discovery_guard import (
    DiscoveryJudged,
    judge_discovery,
    serving_nodes,
)
from replicante.state import queries, record_queries
from replicante.state.fences import Fence, FenceOn
from replicante.state.outcome import Applied, Rejected
from replicante.state.record_commands import RecordCycle, record_change
from replicante.state.record_parts import slices
from replicante.state.record_queries import Discoveries
from replicante.storage.kv import Reader
from replicante.workers.doors import Rooms
from replicante.workers.scribe import Scribe

_NOT_DISCOVERED = (NamespaceStatus.INACTIVE, NamespaceStatus.DELETING, NamespaceStatus.DELETED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a discovery begins with, all of one view."""

    platform: Platform
    status: NamespaceStatus
    known: Discoveries
    expected_gone: Mapping[str, frozenset[str]]
    """Cluster → nodes that we have asked the platform to take away."""
    serving: Mapping[str, frozenset[str]]
    """Cluster whose last answer is held → nodes that are seen as primaries."""
    request: int | None
    under: tuple[int, int]
    """Revisions of the platform and of the namespace."""


async def discover(rooms: Rooms, scribe: Scribe, fence: Fence) -> Rejected | None:
    """The refusal of the record, None when it was written or nothing was to be done. Raises as
    `Scribe.read` and `Scribe.write`."""
    found = await scribe.read(lambda view: _read(view, fence))
    if found is None:
        return None
    started_ms, started_wall_ms = rooms.peer.clock_ms, rooms.clock.wall_ms()
    judged, error = await _ask(rooms, found, now_ms=started_ms)
    run: dict[str, Value] = {
        "start_ms": started_ms,
        "start_wall_ms": started_wall_ms,
        "is_success": error is None,
        "error": error,
        "refused": dict(judged.refused),
    }
    changes = [record_change(one, found.known.revisions) for one in judged.changes]
    new_ids = set(judged.new_cluster_ids)
    # What is said of one cluster holds without what is said of another, so each part stands alone;
    # half as many as may be, because a new cluster brings its spec besides.
    parts = [*slices(changes, records_max=RECORD_CHANGES_MAX // 2)] or [()]
    for i, part in enumerate(parts):
        is_last = i == len(parts) - 1
        command = RecordCycle(
            fence,
            part,
            tuple(_spec(found.platform, it.names[1]) for it in part if it.names[1] in new_ids),
            encode_value(run) if is_last else None,
            found.request if is_last else None,
            found.under,
        )
        outcome = await scribe.write(command, why=f"discovery {fence.ns}/{fence.name}")
        if not isinstance(outcome, Applied):
            return outcome
    return None


async def _ask(rooms: Rooms, found: _Found, *, now_ms: int) -> tuple[DiscoveryJudged, str | None]:
    """What is to be believed, and why nothing was when nothing is."""
    platform = found.platform
    nothing = DiscoveryJudged(refused={})
    if not platform.is_active:
        return nothing, "the platform is not active"
    if found.status in _NOT_DISCOVERED:
        return nothing, f"the namespace is {found.status}"
    said = await rooms.platforms.discover(platform)
    if said.failure is not None:
        return nothing, said.failure
    try:
        judged = judge_discovery(
            ns_id=platform.ns_id,
            platform=platform.name,
            answer=said.value,
            stored=found.known.items,
            expected_gone=found.expected_gone,
            serving=found.serving,
            is_confirmed=False,
            now_ms=now_ms,
        )
    except Invalid as exc:
        return nothing, f"its answer is not valid: {exc.message}"[:1_000]
    return judged, None


def _read(view: Reader, fence: Fence) -> _Found | None:
    stored = queries.object_get(view, ObjectKind.PLATFORM, (fence.ns, fence.name))
    namespace = queries.object_get(view, ObjectKind.NAMESPACE, (fence.ns,))
    if stored is None or namespace is None or stored.is_deleting:
        return None
    known = record_queries.discoveries(view, fence.ns)
    return _Found(
        platform=Platform.from_spec(stored.spec),
        status=NamespaceStatus(namespace.status),
        known=known,
        expected_gone={
            it.cluster_id: record_queries.nodes_taken_away(view, fence.ns, it.cluster_id)
            for it in known.items
        },
        serving={
            it.cluster_id: _serving(view, it)
            for it in known.items
            if it.platform == fence.name and it.held is not None
        },
        request=record_queries.work_request(view, FenceOn.PLATFORM, fence.ns, fence.name),
        under=(stored.revision, namespace.revision),
    )


def _serving(view: Reader, discovery: ClusterDiscovery) -> frozenset[str]:
    records = record_queries.cluster_records(view, discovery.ns_id, discovery.cluster_id)
    return serving_nodes(records.nodes, records.shards)


def _spec(platform: Platform, cluster_id: str) -> tuple[str, bytes]:
    """A spec of defaults, in observe mode, that knows its platform."""
    spec = ClusterSpec(
        ns_id=platform.ns_id,
        cluster_id=cluster_id,
        platform_ns_id=platform.ns_id,
        platform_name=platform.name,
    )
    return cluster_id, encode_value(spec.to_spec())
