"""The paths of platforms and clusters, and of what the control plane knows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors
from replicante.api import objects
from replicante.api.bodies import to_request
from replicante.api.call import Call, Reply
from replicante.api.reads import read
from replicante.api.routing import Access, Method, Route
from replicante.api.writes import write
from replicante.ids import format_stamp
from replicante.model.objects import ObjectKind, StoredObject
from replicante.state import queries, record_queries
from replicante.state.fences import FenceOn
from replicante.state.record_commands import ConfirmDiscovery, RequestWork
from replicante.state.record_queries import ClusterRecords
from replicante.storage.kv import View
from replicante.wire import headers, paths
from replicante.wire.clusters import (
    ApproveDiscovery,
    DiscoveryAnswer,
    DiscoveryApproved,
    PlatformRunAnswer,
    ReportAnswer,
    ViewAnswer,
    WorkRequested,
)
from replicante.wire.objects import (
    ClusterSpecAnswer,
    ClusterSpecPage,
    ObjectDeleted,
    PlatformAnswer,
    PlatformPage,
)
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context


async def get_platform(ctx: Context, call: Call) -> Reply:
    return await objects.read_one(ctx, call, ObjectKind.PLATFORM, _scope(call))


async def delete_platform(ctx: Context, call: Call) -> Reply:
    return await objects.delete_one(ctx, call, ObjectKind.PLATFORM, _scope(call))


async def list_platforms(ctx: Context, call: Call) -> Reply:
    within = (call.object_name("ns"),)
    return await objects.list_within(ctx, call, ObjectKind.PLATFORM, within)


async def get_clusterspec(ctx: Context, call: Call) -> Reply:
    return await objects.read_one(ctx, call, ObjectKind.CLUSTER_SPEC, _scope(call))


async def delete_clusterspec(ctx: Context, call: Call) -> Reply:
    return await objects.delete_one(ctx, call, ObjectKind.CLUSTER_SPEC, _scope(call))


async def list_clusterspecs(ctx: Context, call: Call) -> Reply:
    within = (call.object_name("ns"),)
    return await objects.list_within(ctx, call, ObjectKind.CLUSTER_SPEC, within)


async def get_discovery(ctx: Context, call: Call) -> Reply:
    ns, cluster = _scope(call)
    seen = await read(ctx, call, lambda view: record_queries.discovery(view, ns, cluster))
    if seen.value is None:
        raise errors.NotFound(f"Nothing was discovered of {ns}/{cluster}.", index=seen.index)
    return seen.reply(seen.value.to_value())


async def approve_discovery(ctx: Context, call: Call) -> Reply:
    ns, cluster = _scope(call)

    def build(body: Json) -> tuple[ConfirmDiscovery, None]:
        request = to_request(body, ApproveDiscovery)
        gone = tuple(sorted(set(request.gone)))
        return ConfirmDiscovery(ns, cluster, gone, request.reason), None

    written = await write(ctx, call, build)
    return written.reply(DiscoveryApproved(revision=format_stamp(written.applied.revision)))


async def get_report(ctx: Context, call: Call) -> Reply:
    ns, cluster = _scope(call)
    seen = await read(ctx, call, lambda view: record_queries.report(view, ns, cluster))
    if seen.value is None:
        raise errors.NotFound(f"{ns}/{cluster} was not orchestrated yet.", index=seen.index)
    return seen.reply(seen.value.to_value())


async def orchestrate_clusterspec(ctx: Context, call: Call) -> Reply:
    return await _request(ctx, call, FenceOn.CLUSTER)


async def discover_platform(ctx: Context, call: Call) -> Reply:
    return await _request(ctx, call, FenceOn.PLATFORM)


async def discover_platform_by_get(ctx: Context, call: Call) -> Reply:
    """The original's way. It writes, so nothing may repeat or prefetch it without harm."""
    return await _request(ctx, call, FenceOn.PLATFORM)


async def get_platform_run(ctx: Context, call: Call) -> Reply:
    ns, name = _scope(call)
    seen = await read(ctx, call, lambda view: record_queries.platform_run(view, ns, name))
    if seen.value is None:
        raise errors.NotFound(f"{ns}/{name} was not asked yet.", index=seen.index)
    return seen.reply(seen.value)


async def get_view(ctx: Context, call: Call) -> Reply:
    ns, cluster = _scope(call)

    def look(view: View) -> tuple[StoredObject | None, ClusterRecords]:
        return (
            queries.object_get(view, ObjectKind.CLUSTER_SPEC, (ns, cluster)),
            record_queries.cluster_records(view, ns, cluster),
        )

    seen = await read(ctx, call, look)
    stored, records = seen.value
    if stored is None:
        raise objects.missing(ObjectKind.CLUSTER_SPEC, (ns, cluster), index=seen.index)
    return seen.reply(_view_answer(stored, records))


async def _request(ctx: Context, call: Call, on: FenceOn) -> Reply:
    ns, name = _scope(call)
    written = await write(ctx, call, lambda _body: (RequestWork(on, ns, name), None))
    applied = written.applied
    task_id = format_stamp(applied.revision)
    answer = WorkRequested(task_id=task_id, is_new=applied.is_changed)
    return written.reply(answer, status=202)


def _view_answer(stored: StoredObject, records: ClusterRecords) -> ViewAnswer:
    shards: dict[str, dict[str, Json]] = {}
    for shard in records.shards:
        shards.setdefault(shard.node_id, {})[shard.shard_id] = shard.to_value()
    nactions: dict[str, list[Json]] = {}
    for action in records.nactions:
        nactions.setdefault(action.node_id, []).append(action.to_value())
    return ViewAnswer(
        spec=stored.spec,
        discovery=None if records.discovery is None else records.discovery.to_value(),
        nodes={node.node_id: node.to_value() for node in records.nodes},
        store_extras={extras.node_id: extras.to_value() for extras in records.extras},
        shards=shards,
        nactions_by_node=nactions,
        oactions_unfinished=[action.to_value() for action in records.oactions],
    )


def _scope(call: Call) -> tuple[str, str]:
    return call.object_name("ns"), call.object_name("name")


_ROOT = f"{headers.API_PREFIX}/object/{paths.OBJECT_API_VERSION}"
_LIST = f"{headers.API_PREFIX}/list/{paths.OBJECT_API_VERSION}"
_PLATFORM = f"{_ROOT}/platform/{{ns}}/{{name}}"
_CLUSTER = f"{_ROOT}/clusterspec/{{ns}}/{{name}}"

ROUTES = (
    Route(
        method=Method.GET,
        path=_PLATFORM,
        access=Access.READ,
        handler=get_platform,
        summary="Reads one platform.",
        answer=PlatformAnswer,
        is_original=True,
    ),
    Route(
        method=Method.DELETE,
        path=_PLATFORM,
        access=Access.WRITE,
        handler=delete_platform,
        summary="Asks for the end of one platform.",
        answer=ObjectDeleted,
        is_original=True,
        takes_match=True,
    ),
    Route(
        method=Method.GET,
        path=f"{_LIST}/platform/{{ns}}",
        access=Access.READ,
        handler=list_platforms,
        summary="Lists the platforms of a namespace.",
        answer=PlatformPage,
        parameters=objects.LIST_PARAMETERS,
        is_original=True,
    ),
    Route(
        method=Method.GET,
        path=_CLUSTER,
        access=Access.READ,
        handler=get_clusterspec,
        summary="Reads one cluster spec.",
        answer=ClusterSpecAnswer,
        is_original=True,
    ),
    Route(
        method=Method.DELETE,
        path=_CLUSTER,
        access=Access.WRITE,
        handler=delete_clusterspec,
        summary="Asks for the end of one cluster; it is Deleting until its records are gone.",
        answer=ObjectDeleted,
        is_original=True,
        takes_match=True,
    ),
    Route(
        method=Method.GET,
        path=f"{_LIST}/clusterspec/{{ns}}",
        access=Access.READ,
        handler=list_clusterspecs,
        summary="Lists the clusters of a namespace.",
        answer=ClusterSpecPage,
        parameters=objects.LIST_PARAMETERS,
        is_original=True,
    ),
    Route(
        method=Method.GET,
        path=f"{_CLUSTER}/discovery",
        access=Access.READ,
        handler=get_discovery,
        summary="What its platform says of a cluster.",
        answer=DiscoveryAnswer,
        is_original=True,
    ),
    Route(
        method=Method.POST,
        path=f"{_CLUSTER}/discovery/approve",
        access=Access.WRITE,
        handler=approve_discovery,
        summary="Believes a held answer of a platform: the nodes that it leaves out are gone.",
        body=ApproveDiscovery,
        answer=DiscoveryApproved,
        refuses=(errors.NotFound, errors.RecordChanged),
    ),
    Route(
        method=Method.GET,
        path=f"{_CLUSTER}/view",
        access=Access.READ,
        handler=get_view,
        summary="Everything that is known of a cluster: nodes, shards, unfinished actions.",
        answer=ViewAnswer,
        is_original=True,
    ),
    Route(
        method=Method.POST,
        path=f"{_CLUSTER}/orchestrate",
        access=Access.WRITE,
        handler=orchestrate_clusterspec,
        summary="Asks for a cycle now; while one is asked for, asking again changes nothing.",
        answer=WorkRequested,
        refuses=(errors.NotFound, errors.BeingDeleted),
        statuses=(202,),
        is_original=True,
    ),
    Route(
        method=Method.POST,
        path=f"{_PLATFORM}/discover",
        access=Access.WRITE,
        handler=discover_platform,
        summary="Asks for a discovery now; while one is asked for, asking again changes nothing.",
        answer=WorkRequested,
        refuses=(errors.NotFound, errors.BeingDeleted),
        statuses=(202,),
        is_original=True,
    ),
    Route(
        method=Method.GET,
        path=f"{_PLATFORM}/discover",
        access=Access.WRITE,
        handler=discover_platform_by_get,
        summary="Deprecated: the same as POST.",
        answer=WorkRequested,
        refuses=(errors.NotFound, errors.BeingDeleted),
        statuses=(202,),
        is_original=True,
    ),
    Route(
        method=Method.GET,
        path=f"{_PLATFORM}/discovery",
        access=Access.READ,
        handler=get_platform_run,
        summary="What became of the last discovery of a platform.",
        answer=PlatformRunAnswer,
    ),
    Route(
        method=Method.GET,
        path=f"{_CLUSTER}/orchestrate/report",
        access=Access.READ,
        handler=get_report,
        summary="The report of the last cycle.",
        answer=ReportAnswer,
        is_original=True,
    ),
)
