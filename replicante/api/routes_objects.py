"""The object paths: apply, and those of namespaces. Paths and fields of the original stay; ours are
added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors
from replicante.api import actions, objects
from replicante.api import query as q
from replicante.api.call import Call, Reply
from replicante.api.reads import read_options, read_with
from replicante.api.rejections import rejection
from replicante.api.routing import Access, Method, Parameter, Route
from replicante.api.strict_parse import parse_body
from replicante.api.writes import expectation, write
from replicante.ids import Stamp, format_stamp
from replicante.model.action_requests import ActionOn, ActionRequest
from replicante.model.codec import Value, encode_value
from replicante.model.objects import Declaration, ObjectKind, StoredObject, read_declaration
from replicante.state import queries
from replicante.state.action_commands import CreateAction
from replicante.state.expect import Expect
from replicante.state.object_commands import PutObject
from replicante.state.object_verdicts import Change, judge
from replicante.state.outcome import Rejected
from replicante.wire import headers, paths
from replicante.wire.objects import (
    ApplyAnswer,
    ApplyBody,
    NamespaceAnswer,
    ObjectDeleted,
    ObjectPage,
)
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context


async def apply_object(ctx: Context, call: Call) -> Reply:
    expect = expectation(call)
    action_id = actions.chosen_id(ctx, call)

    def read_body(body: Json) -> Declaration | ActionRequest:
        on = ActionOn.named(body.get("kind")) if isinstance(body, dict) else None
        if on is None:
            return read_document(body)
        if expect is not None:
            raise errors.Invalid("An action is created once; it has no revision to expect.")
        return actions.read_request(on, body)

    if q.flag(call.query, headers.Q_DRY_RUN):
        raw, media = await call.body(ctx.bodies)
        asked = await ctx.bodies.work(raw, lambda data: read_body(parse_body(data, media)))
        if isinstance(asked, ActionRequest):
            return await actions.dry_run(ctx, call, asked, action_id=action_id)
        return await _dry_run(ctx, call, asked, expect)

    def build(body: Json) -> tuple[PutObject | CreateAction, Declaration | ActionRequest]:
        asked = read_body(body)
        if isinstance(asked, ActionRequest):
            return actions.create_command(asked, action_id=action_id), asked
        return put_command(asked, expect), asked

    written = await write(ctx, call, build)
    applied, built = written.applied, written.built
    if isinstance(built, ActionRequest):
        answer = actions.applied_answer(ctx, built, action_id=action_id, applied=applied)
    else:
        stored = _after_write(ctx, built, applied.revision)
        answer = _answer(
            stored,
            is_created=applied.is_created,
            is_changed=applied.is_changed,
            is_removed=applied.is_removed,
        )
    return written.reply(
        answer,
        status=201 if applied.is_created else 200,
        revision=format_stamp(applied.revision),
    )


async def get_object(ctx: Context, call: Call) -> Reply:
    return await objects.read_one(ctx, call, *_address(call))


async def delete_object(ctx: Context, call: Call) -> Reply:
    return await objects.delete_one(ctx, call, *_address(call))


async def list_objects(ctx: Context, call: Call) -> Reply:
    return await objects.list_within(ctx, call, object_kind(call.arguments["kind"]))


def read_document(body: Json) -> Declaration:
    """Raises Invalid. A document that was read from us may be sent back as it is: it has a
    revision, and the fields that only answers have are then passed over."""
    if not isinstance(body, dict):
        raise errors.Invalid("An object is a map with apiVersion, kind, metadata and spec.")
    if "revision" in body:
        body = {name: value for name, value in body.items() if name not in objects.MIRRORED}
    return read_declaration(body)


def put_command(declared: Declaration, expect: Expect | None) -> PutObject:
    """expect: of the request; else the revision that the document names."""
    if expect is not None and declared.revision is not None:
        raise errors.Invalid("Give the revision in the document or as a condition, not both.")
    if declared.revision is not None:
        expect = Expect.at(declared.revision)
    spec = encode_value(declared.spec, path=("spec",))
    labels = tuple(declared.labels.items())
    return PutObject(declared.kind, declared.scope, spec, declared.finalisers, expect, labels)


def object_kind(text: str) -> ObjectKind:
    kind = ObjectKind.named(text)
    if kind is None:
        known = ", ".join(sorted(one.title for one in (*ObjectKind, *ActionOn)))
        raise errors.NotFound(
            f"resource not supported: there is no kind {text[:100]!r} with so many names; known: "
            f"{known}.",
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
        ctx,
        options,
        lambda view: (
            judge(view, command),
            queries.object_get(view, declared.kind, declared.scope),
        ),
    )
    verdict, present = seen.value
    if isinstance(verdict, Rejected):
        raise rejection(verdict, command)
    answer = _answer(
        _declared_object(declared, present),
        is_created=verdict.change is Change.CREATED,
        is_changed=verdict.change is not Change.NONE,
        is_removed=verdict.change is Change.REMOVED,
        is_dry_run=True,
    )
    return seen.reply(answer)


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
        labels=declared.labels,
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
        labels=declared.labels,
        spec=declared.spec,
    )


def _answer(
    stored: StoredObject,
    *,
    is_created: bool,
    is_changed: bool,
    is_removed: bool,
    is_dry_run: bool = False,
) -> dict[str, Value]:
    """is_removed: it took the last holder of what was Deleting away."""
    document = objects.document_of(stored)
    if is_removed:
        document["status"] = None
    return {
        **document,
        "is_created": is_created,
        "is_changed": is_changed,
        "is_dry_run": is_dry_run,
    }


def _address(call: Call) -> tuple[ObjectKind, tuple[str, ...]]:
    return object_kind(call.arguments["kind"]), (call.object_name("ns"),)


_OBJECT = f"{headers.API_PREFIX}/object/{paths.OBJECT_API_VERSION}/{{kind}}/{{ns}}"
_LIST = f"{headers.API_PREFIX}/list/{paths.OBJECT_API_VERSION}/{{kind}}"

ROUTES = (
    Route(
        method=Method.POST,
        path=paths.APPLY,
        access=Access.WRITE,
        handler=apply_object,
        summary="Creates or replaces one object, or creates an action; 201 when it is new.",
        body=ApplyBody,
        answer=ApplyAnswer,
        refuses=(errors.UnknownScope, errors.BeingDeleted, errors.ActionExists),
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
        summary="Lists the objects of one kind by name, in all namespaces.",
        answer=ObjectPage,
        parameters=objects.LIST_PARAMETERS,
        is_original=True,
    ),
)
