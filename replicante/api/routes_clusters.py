"""The paths of platforms and clusters, and of what the control plane knows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors
from replicante.api import objects
from replicante.api.call import Call, Reply
from replicante.api.reads import read
from replicante.api.routing import Access, Method, Route
from replicante.model.objects import ObjectKind
from replicante.state import record_queries
from replicante.wire import headers, paths
from replicante.wire.clusters import DiscoveryAnswer, ReportAnswer
from replicante.wire.objects import (
    ClusterSpecAnswer,
    ClusterSpecPage,
    ObjectDeleted,
    PlatformAnswer,
    PlatformPage,
)

if TYPE_CHECKING:
    from replicante.api.context import Context


async def get_platform(ctx: Context, call: Call) -> Reply:
    return await objects.read_one(ctx, call, ObjectKind.PLATFORM, _scope(call))


async def delete_platform(ctx: Context, call: Call) -> Reply:
    return await objects.delete_one(ctx, call, ObjectKind.PLATFORM, _scope(call))


async def list_platforms(ctx: Context, call: Call) -> Reply:
    within = (call.arguments["ns"],)
    return await objects.list_within(ctx, call, ObjectKind.PLATFORM, within)


async def get_clusterspec(ctx: Context, call: Call) -> Reply:
    return await objects.read_one(ctx, call, ObjectKind.CLUSTER_SPEC, _scope(call))


async def delete_clusterspec(ctx: Context, call: Call) -> Reply:
    return await objects.delete_one(ctx, call, ObjectKind.CLUSTER_SPEC, _scope(call))


async def list_clusterspecs(ctx: Context, call: Call) -> Reply:
    within = (call.arguments["ns"],)
    return await objects.list_within(ctx, call, ObjectKind.CLUSTER_SPEC, within)


async def get_discovery(ctx: Context, call: Call) -> Reply:
    ns, cluster = _scope(call)
    seen = await read(ctx, call, lambda view: record_queries.discovery(view, ns, cluster))
    if seen.value is None:
        raise errors.NotFound(f"Nothing was discovered of {ns}/{cluster}.", index=seen.index)
    return seen.reply(seen.value.to_value())


async def get_report(ctx: Context, call: Call) -> Reply:
    ns, cluster = _scope(call)
    seen = await read(ctx, call, lambda view: record_queries.report(view, ns, cluster))
    if seen.value is None:
        raise errors.NotFound(f"{ns}/{cluster} was not orchestrated yet.", index=seen.index)
    return seen.reply(seen.value.to_value())


def _scope(call: Call) -> tuple[str, str]:
    return call.arguments["ns"], call.arguments["name"]


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
        method=Method.GET,
        path=f"{_CLUSTER}/orchestrate/report",
        access=Access.READ,
        handler=get_report,
        summary="The report of the last cycle.",
        answer=ReportAnswer,
        is_original=True,
    ),
)
