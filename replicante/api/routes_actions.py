"""The action paths: lists, one action with its history, and what people decide of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors
from replicante.api import actions
from replicante.api import query as q
from replicante.api.call import Call, Reply
from replicante.api.cursors import read_scope_cursor, write_cursor
from replicante.api.reads import read
from replicante.api.routing import Access, Method, Parameter, Route
from replicante.api.writes import write
from replicante.ids import format_stamp
from replicante.model.action_requests import ActionOn
from replicante.model.actions import ActionHistoryEntry
from replicante.state import record_queries
from replicante.state.action_commands import ActionVerb, MoveAction
from replicante.state.record_queries import StoredAction
from replicante.storage.kv import View
from replicante.wire import headers, paths
from replicante.wire.actions import ActionAnswer, ActionMoved, ActionPage

if TYPE_CHECKING:
    from replicante.api.context import Context

_PHASE_AFTER = {
    ActionVerb.APPROVE: "PENDING_SCHEDULE",
    ActionVerb.REJECT: "CANCELLED",
    ActionVerb.CANCEL: "CANCELLED",
}


async def list_nactions(ctx: Context, call: Call) -> Reply:
    return await _list(ctx, call, ActionOn.NODE)


async def list_oactions(ctx: Context, call: Call) -> Reply:
    return await _list(ctx, call, ActionOn.CLUSTER)


async def get_naction(ctx: Context, call: Call) -> Reply:
    return await _get(ctx, call, ActionOn.NODE)


async def get_oaction(ctx: Context, call: Call) -> Reply:
    return await _get(ctx, call, ActionOn.CLUSTER)


async def approve_naction(ctx: Context, call: Call) -> Reply:
    return await _move(ctx, call, ActionOn.NODE, ActionVerb.APPROVE)


async def reject_naction(ctx: Context, call: Call) -> Reply:
    return await _move(ctx, call, ActionOn.NODE, ActionVerb.REJECT)


async def cancel_naction(ctx: Context, call: Call) -> Reply:
    return await _move(ctx, call, ActionOn.NODE, ActionVerb.CANCEL)


async def approve_oaction(ctx: Context, call: Call) -> Reply:
    return await _move(ctx, call, ActionOn.CLUSTER, ActionVerb.APPROVE)


async def reject_oaction(ctx: Context, call: Call) -> Reply:
    return await _move(ctx, call, ActionOn.CLUSTER, ActionVerb.REJECT)


async def cancel_oaction(ctx: Context, call: Call) -> Reply:
    return await _move(ctx, call, ActionOn.CLUSTER, ActionVerb.CANCEL)


async def _list(ctx: Context, call: Call, on: ActionOn) -> Reply:
    ns, cluster = call.object_name("ns"), call.object_name("cluster")
    cursor_kind = f"list:{on.title}"
    after = read_scope_cursor(cursor_kind, call.query.get(headers.Q_CURSOR), names_count=1)
    limit = q.page_limit(call.query, headers.Q_LIMIT)
    is_ended_wanted = q.flag(call.query, headers.Q_ALL)
    seen = await read(
        ctx,
        call,
        lambda view: record_queries.action_list(
            view,
            on,
            ns,
            cluster,
            after=None if after is None else after[0],
            node_id=call.query.get(headers.Q_NODE_ID),
            is_ended_wanted=is_ended_wanted,
            limit=limit,
        ),
    )
    page = seen.value
    following = None if page.next is None else write_cursor(cursor_kind, (page.next,))
    return seen.reply(ActionPage(items=tuple(map(actions.summary_of, page.items)), next=following))


async def _get(ctx: Context, call: Call, on: ActionOn) -> Reply:
    ns, cluster, action_id = call.object_name("ns"), call.object_name("cluster"), call.name("id")

    def look(view: View) -> tuple[StoredAction | None, tuple[ActionHistoryEntry, ...]]:
        return (
            record_queries.action_get(view, on, ns, cluster, action_id),
            record_queries.action_history(view, on, ns, cluster, action_id),
        )

    seen = await read(ctx, call, look)
    stored, history = seen.value
    node_id = call.arguments.get("node")
    if stored is None or (node_id and getattr(stored.action, "node_id", None) != node_id):
        raise errors.NotFound(f"There is no {on.title} {action_id}.", index=seen.index)
    return seen.reply(
        actions.answer_of(stored, on, history), revision=format_stamp(stored.revision)
    )


async def _move(ctx: Context, call: Call, on: ActionOn, verb: ActionVerb) -> Reply:
    place = (call.object_name("ns"), call.object_name("cluster"))
    names = place + tuple(call.name(one) for one in ("node", "id") if one in call.arguments)
    command = MoveAction(on, names, verb, call.query.get(headers.Q_REASON, ""))
    written = await write(ctx, call, lambda _body: (command, None))
    revision = format_stamp(written.applied.revision)
    return written.reply(
        ActionMoved(action_id=names[-1], phase=_PHASE_AFTER[verb], revision=revision)
    )


_ROOT = f"{headers.API_PREFIX}/object/{paths.OBJECT_API_VERSION}"
_LIST = f"{headers.API_PREFIX}/list/{paths.OBJECT_API_VERSION}"
_NACTION = f"{_ROOT}/naction/{{ns}}/{{cluster}}/{{node}}/{{id}}"
_OACTION = f"{_ROOT}/oaction/{{ns}}/{{cluster}}/{{id}}"
_PAGING = (
    Parameter(name=headers.Q_LIMIT, meaning="Items of a page, 1 to 1000. Default 100."),
    Parameter(name=headers.Q_CURSOR, meaning="`next` of the page before."),
    Parameter(name=headers.Q_ALL, meaning="true: ended ones too. Default: unfinished ones."),
)
_REASON = (Parameter(name=headers.Q_REASON, meaning="Why; the event keeps it."),)
_VERBS = (
    ("approve", approve_naction, approve_oaction, "Lets an action begin that waits for it."),
    ("reject", reject_naction, reject_oaction, "Ends an action that waits for approval."),
    ("cancel", cancel_naction, cancel_oaction, "Ends an action that is not finished."),
)

ROUTES = (
    Route(
        method=Method.GET,
        path=f"{_LIST}/naction/{{ns}}/{{cluster}}",
        access=Access.READ,
        handler=list_nactions,
        summary="Lists the node actions of a cluster.",
        answer=ActionPage,
        parameters=(
            *_PAGING,
            Parameter(name=headers.Q_NODE_ID, meaning="Only those of this node."),
        ),
        is_original=True,
    ),
    Route(
        method=Method.GET,
        path=f"{_LIST}/oaction/{{ns}}/{{cluster}}",
        access=Access.READ,
        handler=list_oactions,
        summary="Lists the orchestrator actions of a cluster.",
        answer=ActionPage,
        parameters=_PAGING,
        is_original=True,
    ),
    Route(
        method=Method.GET,
        path=_NACTION,
        access=Access.READ,
        handler=get_naction,
        summary="Reads one node action and its history.",
        answer=ActionAnswer,
        is_original=True,
    ),
    Route(
        method=Method.GET,
        path=_OACTION,
        access=Access.READ,
        handler=get_oaction,
        summary="Reads one orchestrator action and its history.",
        answer=ActionAnswer,
        is_original=True,
    ),
    *(
        Route(
            method=Method.POST,
            path=f"{path}/{verb}",
            access=Access.WRITE,
            handler=handler,
            summary=summary,
            answer=ActionMoved,
            refuses=(errors.NotFound, errors.WrongPhase),
            parameters=_REASON,
            is_original=True,
        )
        for verb, on_node, on_cluster, summary in _VERBS
        for path, handler in ((_NACTION, on_node), (_OACTION, on_cluster))
    ),
)
