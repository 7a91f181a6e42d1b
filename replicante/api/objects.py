"""How declared objects are read, listed, removed and shown, the same for every kind. Called by
`routes_objects` and `routes_clusters`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors
from replicante.api import query as q
from replicante.api.call import Call, Reply
from replicante.api.cursors import read_scope_cursor, write_cursor
from replicante.api.reads import read
from replicante.api.routing import Parameter
from replicante.api.writes import expectation, write
from replicante.ids import format_stamp
from replicante.model.codec import Value
from replicante.model.labels import parse_selector
from replicante.model.namespace import NamespaceStatus
from replicante.model.objects import (
    SCOPE_NAMES,
    ObjectKind,
    StoredObject,
    read_scope,
    render_object,
)
from replicante.state import queries
from replicante.state.object_commands import DeleteObject
from replicante.wire import headers
from replicante.wire.objects import (
    ClusterSpecPage,
    ClusterSpecSummary,
    ObjectDeleted,
    ObjectPage,
    ObjectSummary,
    PlatformPage,
    PlatformSummary,
)

if TYPE_CHECKING:
    from replicante.api.context import Context

_MIRRORED = {
    ObjectKind.NAMESPACE: ("id", "settings", "tls"),
    ObjectKind.PLATFORM: ("ns_id", "name", "active", "discovery", "transport"),
    ObjectKind.CLUSTER_SPEC: (
        *("ns_id", "cluster_id", "active", "interval", "platform", "mode"),
        "declaration",
    ),
}
"""Fields of a spec that answers also show at their top, where the original has them."""
MIRRORED = frozenset(name for names in _MIRRORED.values() for name in names)

LIST_PARAMETERS = (
    Parameter(name=headers.Q_LIMIT, meaning="Items of a page, 1 to 1000. Default 100."),
    Parameter(name=headers.Q_CURSOR, meaning="`next` of the page before."),
    Parameter(
        name=headers.Q_LABELS,
        meaning="Selector: `tier=cache,zone!=a,blessed,!old`; all terms must hold.",
    ),
)


async def read_one(ctx: Context, call: Call, kind: ObjectKind, scope: tuple[str, ...]) -> Reply:
    read_scope(kind, scope)
    seen = await read(ctx, call, lambda view: queries.object_get(view, kind, scope))
    if seen.value is None:
        raise missing(kind, scope, index=seen.index)
    return seen.reply(document_of(seen.value), revision=format_stamp(seen.value.revision))


async def delete_one(ctx: Context, call: Call, kind: ObjectKind, scope: tuple[str, ...]) -> Reply:
    read_scope(kind, scope)
    command = DeleteObject(kind, scope, expectation(call))
    written = await write(ctx, call, lambda _body: (command, None))
    applied = written.applied
    return written.reply(
        ObjectDeleted(
            kind=kind.title,
            id=scope[-1],
            status=None if applied.is_removed else str(NamespaceStatus.DELETING),
            revision=format_stamp(applied.revision),
        )
    )


async def list_within(
    ctx: Context, call: Call, kind: ObjectKind, within: tuple[str, ...] = ()
) -> Reply:
    cursor_kind = f"list:{kind.title}"
    after = read_scope_cursor(
        cursor_kind, call.query.get(headers.Q_CURSOR), names_count=len(SCOPE_NAMES[kind])
    )
    limit = q.page_limit(call.query, headers.Q_LIMIT)
    selector = parse_selector(call.query.get(headers.Q_LABELS, ""), path=f"?{headers.Q_LABELS}")
    seen = await read(
        ctx,
        call,
        lambda view: queries.object_list(
            view, kind, within=within, after=after, limit=limit, selector=selector
        ),
    )
    page = seen.value
    following = None if page.next is None else write_cursor(cursor_kind, page.next)
    return seen.reply(_page(kind, page.items, following))


def document_of(stored: StoredObject) -> dict[str, Value]:
    """With the fields that the original shows at the top."""
    document, spec = render_object(stored), stored.spec
    return {**document, **{name: spec[name] for name in _MIRRORED[stored.kind] if name in spec}}


def missing(kind: ObjectKind, scope: tuple[str, ...], *, index: int) -> errors.NotFound:
    return errors.NotFound(f"There is no {kind.title} {'/'.join(scope)}.", index=index)


def _page(
    kind: ObjectKind, items: tuple[StoredObject, ...], following: str | None
) -> ObjectPage | PlatformPage | ClusterSpecPage:
    match kind:
        case ObjectKind.NAMESPACE:
            return ObjectPage(items=tuple(map(_summary, items)), next=following)
        case ObjectKind.PLATFORM:
            return PlatformPage(items=tuple(map(_platform_summary, items)), next=following)
        case ObjectKind.CLUSTER_SPEC:
            return ClusterSpecPage(items=tuple(map(_cluster_summary, items)), next=following)


def _summary(one: StoredObject) -> ObjectSummary:
    return ObjectSummary(
        id=one.scope[-1],
        status=one.status,
        revision=format_stamp(one.revision),
        labels=one.labels,
        scope=one.scope,
    )


def _platform_summary(one: StoredObject) -> PlatformSummary:
    return PlatformSummary(
        id=one.scope[-1],
        status=one.status,
        revision=format_stamp(one.revision),
        labels=one.labels,
        scope=one.scope,
        ns_id=one.scope[0],
        name=one.scope[1],
        active=one.spec["active"],
    )


def _cluster_summary(one: StoredObject) -> ClusterSpecSummary:
    return ClusterSpecSummary(
        id=one.scope[-1],
        status=one.status,
        revision=format_stamp(one.revision),
        labels=one.labels,
        scope=one.scope,
        ns_id=one.scope[0],
        cluster_id=one.scope[1],
        active=one.spec["active"],
        mode=one.spec["mode"]["mode"],
    )
