"""One discovery of one platform: ask, judge, record. Called by the supervisor.

A failure is recorded as the platform's last run and changes nothing of what is known.
"""

from __future__ import annotations

from replicante.errors import Invalid
from replicante.model.cluster_spec import ClusterSpec
from replicante.model.codec import Value, encode_value
from replicante.model.namespace import NamespaceStatus
from replicante.model.objects import ObjectKind
from replicante.model.platform import Platform
from replicante.orchestrate.discovery_guard import DiscoveryJudged, judge_discovery
from replicante.state import queries, record_queries
from replicante.state.fences import Fence, FenceOn
from replicante.state.outcome import Applied, Rejected
from replicante.state.record_commands import RecordCycle, record_change
from replicante.state.record_queries import Discoveries
from replicante.storage.kv import Reader
from replicante.workers.doors import Rooms
from replicante.workers.scribe import Scribe

_NOT_DISCOVERED = (NamespaceStatus.INACTIVE, NamespaceStatus.DELETING, NamespaceStatus.DELETED)


async def discover(rooms: Rooms, scribe: Scribe, fence: Fence) -> Rejected | None:
    """The refusal of the record, None when it was written or nothing was to be done. Raises as
    `Scribe.read` and `Scribe.write`."""
    found = await scribe.read(lambda view: _read(view, fence))
    if found is None:
        return None
    platform, status, known, request = found
    started_ms, started_wall_ms = rooms.peer.clock_ms, rooms.clock.wall_ms()
    judged, error = await _ask(rooms, platform, status, known, now_ms=started_ms)
    specs = tuple(
        (cluster_id, encode_value(_synthetic(platform, cluster_id)))
        for cluster_id in judged.new_cluster_ids
    )
    run: dict[str, Value] = {
        "start_ms": started_ms,
        "start_wall_ms": started_wall_ms,
        "is_success": error is None,
        "error": error,
        "refused": dict(judged.refused),
    }
    command = RecordCycle(
        fence,
        tuple(record_change(one, known.revisions) for one in judged.changes),
        specs,
        encode_value(run),
        request,
    )
    outcome = await scribe.write(command, why=f"discovery {fence.ns}/{fence.name}")
    return None if isinstance(outcome, Applied) else outcome


async def _ask(
    rooms: Rooms,
    platform: Platform,
    status: NamespaceStatus,
    known: Discoveries,
    *,
    now_ms: int,
) -> tuple[DiscoveryJudged, str | None]:
    """What is to be believed, and why nothing was when nothing is."""
    nothing = DiscoveryJudged(refused={})
    if not platform.is_active:
        return nothing, "the platform is not active"
    if status in _NOT_DISCOVERED:
        return nothing, f"the namespace is {status}"
    said = await rooms.platforms.discover(platform)
    if said.failure is not None:
        return nothing, said.failure
    try:
        judged = judge_discovery(
            ns_id=platform.ns_id,
            platform=platform.name,
            answer=said.value,
            stored=known.items,
            expected_gone={},
            is_confirmed=False,
            now_ms=now_ms,
        )
    except Invalid as exc:
        return nothing, f"its answer is not valid: {exc.message}"[:1_000]
    return judged, None


def _read(
    view: Reader, fence: Fence
) -> tuple[Platform, NamespaceStatus, Discoveries, int | None] | None:
    stored = queries.object_get(view, ObjectKind.PLATFORM, (fence.ns, fence.name))
    namespace = queries.object_get(view, ObjectKind.NAMESPACE, (fence.ns,))
    if stored is None or namespace is None or stored.is_deleting:
        return None
    return (
        Platform.from_spec(stored.spec),
        NamespaceStatus(namespace.status),
        record_queries.discoveries(view, fence.ns),
        record_queries.work_request(view, FenceOn.PLATFORM, fence.ns, fence.name),
    )


def _synthetic(platform: Platform, cluster_id: str) -> dict[str, Value]:
    """A spec of defaults, in observe mode, that knows its platform."""
    return ClusterSpec(
        ns_id=platform.ns_id,
        cluster_id=cluster_id,
        platform_ns_id=platform.ns_id,
        platform_name=platform.name,
    ).to_spec()
