"""The paths that answer why a cluster is as it is, and what would be done next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors
from replicante.api import query as q
from replicante.api.call import Call, Reply
from replicante.api.reads import read
from replicante.api.routing import Access, Method, Parameter, Route
from replicante.ids import STAMP_MAX
from replicante.orchestrate import explain
from replicante.state import record_queries
from replicante.wire import headers, paths
from replicante.wire.explain import ExplainAnswer, PlanAnswer

if TYPE_CHECKING:
    from replicante.api.context import Context

_AT = Parameter(
    name=headers.Q_AT, meaning="An event id: the decision that stood then. Default: the last one."
)


async def explain_cluster(ctx: Context, call: Call) -> Reply:
    ns, cluster = call.object_name("ns"), call.object_name("name")
    text = call.query.get(headers.Q_AT)
    stamp = STAMP_MAX if text is None else q.stamp(text, path=headers.Q_AT)
    seen = await read(ctx, call, lambda view: record_queries.decision_at(view, ns, cluster, stamp))
    if seen.value is None:
        when = "was not orchestrated yet" if text is None else f"has no decision kept of {text}"
        raise errors.NotFound(f"{ns}/{cluster} {when}.", index=seen.index)
    return seen.reply(explain.explain(seen.value).to_value())


async def plan_cluster(ctx: Context, call: Call) -> Reply:
    ns, cluster = call.object_name("ns"), call.object_name("name")
    find = record_queries.decision_at
    seen = await read(ctx, call, lambda view: find(view, ns, cluster, STAMP_MAX))
    if seen.value is None:
        raise errors.NotFound(f"{ns}/{cluster} was not orchestrated yet.", index=seen.index)
    return seen.reply(explain.plan(seen.value).to_value())


_CLUSTER = f"{headers.API_PREFIX}/object/{paths.OBJECT_API_VERSION}/clusterspec/{{ns}}/{{name}}"

ROUTES = (
    Route(
        method=Method.GET,
        path=f"{_CLUSTER}/explain",
        access=Access.READ,
        handler=explain_cluster,
        summary="What is seen of a cluster, what holds, what is blocked by which rule.",
        answer=ExplainAnswer,
        parameters=(_AT,),
    ),
    Route(
        method=Method.GET,
        path=f"{_CLUSTER}/plan",
        access=Access.READ,
        handler=plan_cluster,
        summary="What would be done next, step by step, with effect and worst loss.",
        answer=PlanAnswer,
    ),
)
