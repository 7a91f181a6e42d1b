"""The object paths: apply, object, list. Paths and fields of the original stay; ours are added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from replicante import errors
from replicante.api import query as q
from replicante.api.call import Call, Reply
from replicante.api.cursors import read_scope_cursor, write_cursor
from replicante.api.reads import read, read_options, read_with
from replicante.api.routing import Access, Method, Parameter, Route
from replicante.api.strict_parse import parse_body
from replicante.api.writes import expectation, write
from replicante.ids import Stamp, format_stamp
from replicante.model.codec import Value, encode_value
from replicante.model.namespace import NamespaceStatus
from replicante.model.objects import (
    SCOPE_NAMES,
    Declaration,
    ObjectKind,
    StoredObject,
    read_declaration,
    read_scope,
    render_object,
)
from replicante.state import queries
from replicante.state.commands import DeleteObject, Expect, PutObject
from replicante.wire import headers, paths
from replicante.wire.objects import (
    ApplyAnswer,
    ApplyBody,
    NamespaceAnswer,
    ObjectDeleted,
    ObjectPage,
    ObjectSummary,
)
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context

_MIRRORED = ("id", "settings", "tls")
"""Fields of a Namespace's spec that the original also shows at the top of its answers."""


async def apply_object(ctx: Context, call: Call) -> Reply:
    expect = expectation(call)
    if q.flag(call.query, headers.Q_DRY_RUN):
        body, media = await call.body(ctx.bodies)
        declared = await ctx.bodies.work(body, lambda raw: read_document(parse_body(raw, media)))
        return await _dry_run(ctx, call, declared, expect)

    def build(body: Json) -> tuple[PutObject, Declaration]:
        declared = read_document(body)
        return put_command(declared, expect), declared

    written = await write(ctx, call, build)
    applied = written.applied
    stored = _after_write(ctx, written.built, applied.revision)
    return written.reply(
        _answer(stored, is_created=applied.is_created, is_changed=applied.is_changed),
        status=201 if applied.is_created else 200,
        revision=format_stamp(applied.revision),
    )


async def get_object(ctx: Context, call: Call) -> Reply:
    kind, scope = _address(call)
    seen = await read(ctx, call, lambda view: queries.object_get(view, kind, scope))
    if seen.value is None:
        raise _missing(kind, scope, index=seen.index)
    document = _with_mirrors(seen.value)
    return seen.reply(document, revision=format_stamp(seen.value.revision))


async def delete_object(ctx: Context, call: Call) -> Reply:
    kind, scope = _address(call)
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


async def list_objects(ctx: Context, call: Call) -> Reply:
    kind = object_kind(call.arguments["kind"])
    cursor_kind = f"list:{kind.title}"
    after = read_scope_cursor(
        cursor_kind, call.query.get(headers.Q_CURSOR), names_count=len(SCOPE_NAMES[kind])
    )
    limit = q.page_limit(call.query, headers.Q_LIMIT)
    seen = await read(
        ctx, call, lambda view: queries.object_list(view, kind, after=after, limit=limit)
    )
    page = seen.value
    items = tuple(
        ObjectSummary(id=one.scope[-1], status=one.status, revision=format_stamp(one.revision))
        for one in page.items
    )
    following = None if page.next is None else write_cursor(cursor_kind, page.next)
    return seen.reply(ObjectPage(items=items, next=following))


def read_document(body: Json) -> Declaration:
    """Raises Invalid. A document that was read from us may be sent back as it is: it has a
    revision, and the fields that only answers have are then passed over."""
    if not isinstance(body, dict):
        raise errors.Invalid("An object is a map with apiVersion, kind, metadata and spec.")
    if "revision" in body:
        body = {name: value for name, value in body.items() if name not in _MIRRORED}
    return read_declaration(body)


def put_command(declared: Declaration, expect: Expect | None) -> PutObject:
    """expect: of the request; else the revision that the document names."""
    if expect is not None and declared.revision is not None:
        raise errors.Invalid("Give the revision in the document or as a condition, not both.")
    if declared.revision is not None:
        expect = Expect.at(declared.revision)
    spec = encode_value(declared.spec, path=("spec",))
    return PutObject(declared.kind, declared.scope, spec, declared.finalisers, expect)


def object_kind(text: str) -> ObjectKind:
    kind = ObjectKind.named(text)
    if kind is None:
        known = ", ".join(sorted(one.title for one in ObjectKind))
        raise errors.NotFound(
            f"There is no kind {text[:100]!r}; known: {known}.",
            resource={"apiVersion": paths.OBJECT_API_VERSION, "kind": text[:100]},
        )
    return kind


async def _dry_run(ctx: Context, call: Call, declared: Declaration, expect: Expect | None) -> Reply:
    """What apply would answer now; nothing is proposed, so nothing is promised."""
    command = put_command(declared, expect)
    options = read_options(
        {name: text for name, text in call.query.items() if name == headers.Q_TIMEOUT}
    )
    seen = await read_with(
        ctx, options, lambda view: queries.object_get(view, declared.kind, declared.scope)
    )
    present = seen.value
    _check_expectation(command.expect, present)
    is_same_spec = present is not None and present.spec == declared.spec
    if present is not None and present.is_deleting and not is_same_spec:
        raise errors.BeingDeleted(revision=format_stamp(present.revision))
    is_same = is_same_spec and present is not None and present.finalisers == declared.finalisers
    stored = _declared_object(declared, present)
    answer = _answer(stored, is_created=present is None, is_changed=not is_same, is_dry_run=True)
    return seen.reply(answer)


def _check_expectation(expect: Expect | None, present: StoredObject | None) -> None:
    if expect is None:
        return
    if expect == Expect.absent():
        is_met = present is None
    elif expect == Expect.present():
        is_met = present is not None
    else:
        is_met = present is not None and Expect.at(present.revision) == expect
    if not is_met:
        revision = None if present is None else format_stamp(present.revision)
        raise errors.RevisionMismatch(revision=revision)


def _after_write(ctx: Context, declared: Declaration, revision: Stamp) -> StoredObject:
    """The object as this write left it. This peer has applied the write; when somebody wrote
    after it, what was declared is the answer."""
    with ctx.state.view() as view:
        present = queries.object_get(view, declared.kind, declared.scope)
    if present is not None and present.revision == revision:
        return present
    return StoredObject(
        kind=declared.kind,
        scope=declared.scope,
        revision=revision,
        created=revision,
        is_deleting=False,
        finalisers=declared.finalisers,
        spec=declared.spec,
    )


def _declared_object(declared: Declaration, present: StoredObject | None) -> StoredObject:
    return StoredObject(
        kind=declared.kind,
        scope=declared.scope,
        revision=Stamp(0) if present is None else present.revision,
        created=Stamp(0) if present is None else present.created,
        is_deleting=present is not None and present.is_deleting,
        finalisers=declared.finalisers,
        spec=declared.spec,
    )


def _answer(
    stored: StoredObject, *, is_created: bool, is_changed: bool, is_dry_run: bool = False
) -> dict[str, Value]:
    return {
        **_with_mirrors(stored),
        "is_created": is_created,
        "is_changed": is_changed,
        "is_dry_run": is_dry_run,
    }


def _with_mirrors(stored: StoredObject) -> dict[str, Value]:
    document = render_object(stored)
    spec: Mapping[str, Value] = stored.spec
    return {**document, **{name: spec[name] for name in _MIRRORED if name in spec}}


def _address(call: Call) -> tuple[ObjectKind, tuple[str, ...]]:
    kind = object_kind(call.arguments["kind"])
    return kind, read_scope(kind, (call.arguments["ns"],))


def _missing(kind: ObjectKind, scope: tuple[str, ...], *, index: int) -> errors.NotFound:
    return errors.NotFound(f"There is no {kind.title} {'/'.join(scope)}.", index=index)


_OBJECT = f"{headers.API_PREFIX}/object/{paths.OBJECT_API_VERSION}/{{kind}}/{{ns}}"
_LIST = f"{headers.API_PREFIX}/list/{paths.OBJECT_API_VERSION}/{{kind}}"

ROUTES = (
    Route(
        method=Method.POST,
        path=paths.APPLY,
        access=Access.WRITE,
        handler=apply_object,
        summary="Creates or replaces one object; 201 when it is new.",
        body=ApplyBody,
        answer=ApplyAnswer,
        statuses=(200, 201),
        parameters=(
            Parameter(name=headers.Q_DRY_RUN, meaning="true: check everything, write nothing."),
        ),
        is_original=True,
        takes_match=True,
    ),
    Route(
        method=Method.GET,
        path=_OBJECT,
        access=Access.READ,
        handler=get_object,
        summary="Reads one object.",
        answer=NamespaceAnswer,
        is_original=True,
    ),
    Route(
        method=Method.DELETE,
        path=_OBJECT,
        access=Access.WRITE,
        handler=delete_object,
        summary="Asks for the end of one object; it is Deleting until nothing holds it.",
        answer=ObjectDeleted,
        is_original=True,
        takes_match=True,
    ),
    Route(
        method=Method.GET,
        path=_LIST,
        access=Access.READ,
        handler=list_objects,
        summary="Lists the objects of one kind by name.",
        answer=ObjectPage,
        parameters=(
            Parameter(name=headers.Q_LIMIT, meaning="Items of a page, 1 to 1000. Default 100."),
            Parameter(name=headers.Q_CURSOR, meaning="`next` of the page before."),
        ),
        is_original=True,
    ),
)
