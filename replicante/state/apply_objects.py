"""What the object commands do, the same for every kind: create, replace, delete. Pure; called by
machine.apply on every peer.

Life of an object: declared → (DeleteObject) Deleting → gone. While a finaliser is left, or
something lives in it, it stays in Deleting, where only finalisers may go; the write that takes the
last holder away removes it, and with it a namespace that waited for it. Without holders both steps
happen in one write, with both events. Nothing new is declared inside what is Deleting.

A replacement by the same content changes nothing and emits nothing: `apply` is repeated by people
and by loops, and a revision tells of a change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from replicante.ids import Stamp, format_stamp
from replicante.model.codec import encode_value, join_map
from replicante.model.objects import ObjectKind
from replicante.state import holders
from replicante.state.eventlog import EventCode
from replicante.state.expectations import unmet
from replicante.state.fences import FenceOn
from replicante.state.object_commands import DeleteObject, PutObject
from replicante.state.object_verdicts import Change, judge
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.record_tables import platform_run_key, work_request_key
from replicante.state.tables import ObjectRow, object_key, object_row, read_object_row
from replicante.state.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Codes:
    applied: EventCode
    delete_requested: EventCode
    deleted: EventCode


_CODES: Final = {
    ObjectKind.NAMESPACE: _Codes(
        applied=EventCode.NAMESPACE_APPLY,
        delete_requested=EventCode.NAMESPACE_DELETE_REQUESTED,
        deleted=EventCode.NAMESPACE_DELETED,
    ),
    ObjectKind.PLATFORM: _Codes(
        applied=EventCode.PLATFORM_APPLY,
        delete_requested=EventCode.PLATFORM_DELETE_REQUESTED,
        deleted=EventCode.PLATFORM_DELETED,
    ),
    ObjectKind.CLUSTER_SPEC: _Codes(
        applied=EventCode.CLUSTER_SPEC_APPLY,
        delete_requested=EventCode.CLUSTER_SPEC_DELETE_REQUESTED,
        deleted=EventCode.CLUSTER_SPEC_DELETED,
    ),
}


def put(writer: Writer, command: PutObject) -> Applied | Rejected:
    verdict = judge(writer, command)
    if isinstance(verdict, Rejected):
        return verdict
    before = verdict.before
    if before is None:
        return create(writer, command, _CODES[command.kind].applied)
    if verdict.change is Change.NONE:
        return Applied(Stamp(before.revision), is_changed=False)
    if verdict.change is Change.REMOVED:
        return _remove(writer, command.kind, command.scope, previous=before.revision)
    return _write(writer, command, before, _CODES[command.kind].applied)


def create(writer: Writer, command: PutObject, code: EventCode) -> Applied:
    """An object that is not there, under a namespace that is."""
    writer.counters.objects_count += 1
    return _write(writer, command, None, code)


def delete(writer: Writer, command: DeleteObject) -> Applied | Rejected:
    kind, scope = command.kind, command.scope
    row_key = object_key(kind, scope)
    raw = writer.get(row_key)
    before = None if raw is None else read_object_row(raw)
    previous = None if before is None else before.revision
    if command.expect is not None and (refusal := unmet(command.expect, previous)):
        return refusal
    if before is None:
        return Rejected(RejectCode.NOT_FOUND)
    if before.is_deleting:
        return Applied(Stamp(before.revision), is_changed=False)
    revision = writer.stamp()
    payload = {
        "finalisers": list(before.finalisers),
        "previous": format_stamp(before.revision),
        "revision": format_stamp(revision),
    }
    # The row in Deleting is written also when it is removed at once: one path, and both stamps.
    writer.put(
        row_key,
        object_row(
            revision=revision,
            created=before.created,
            is_deleting=True,
            finalisers=before.finalisers,
            spec=before.spec,
            labels=before.labels,
        ),
    )
    _emit(writer, _CODES[kind].delete_requested, kind, scope, encode_value(payload))
    if not holders.may_go(writer, kind, scope, before.finalisers):
        return Applied(Stamp(revision))
    return _remove(writer, kind, scope, previous=revision)


def remove_if_free(writer: Writer, kind: ObjectKind, scope: tuple[str, ...]) -> None:
    """Called when something that lived in the object went: it goes too when it only waited."""
    raw = writer.get(object_key(kind, scope))
    row = None if raw is None else read_object_row(raw)
    if row is None or not row.is_deleting:
        return
    if holders.may_go(writer, kind, scope, row.finalisers):
        _remove(writer, kind, scope, previous=row.revision)


def _write(
    writer: Writer, command: PutObject, before: ObjectRow | None, code: EventCode
) -> Applied:
    """before: the object that is replaced; one that is Deleting stays so."""
    revision = writer.stamp()
    row = object_row(
        revision=revision,
        created=revision if before is None else before.created,
        is_deleting=before is not None and before.is_deleting,
        finalisers=command.finalisers,
        spec=command.spec,
        labels=command.labels,
    )
    writer.put(object_key(command.kind, command.scope), row)
    fields = {"finalisers": encode_value(list(command.finalisers))}
    if command.labels:
        fields["labels"] = encode_value(dict(command.labels))
    fields["previous"] = encode_value(None if before is None else format_stamp(before.revision))
    fields["revision"] = encode_value(format_stamp(revision))
    fields["spec"] = command.spec
    _emit(writer, code, command.kind, command.scope, join_map(fields))
    return Applied(Stamp(revision), is_created=before is None)


def _remove(writer: Writer, kind: ObjectKind, scope: tuple[str, ...], *, previous: int) -> Applied:
    revision = writer.stamp()
    writer.delete(object_key(kind, scope))
    if kind is ObjectKind.PLATFORM:
        writer.delete(platform_run_key(*scope))
        writer.delete(work_request_key(FenceOn.PLATFORM, *scope))
    elif kind is ObjectKind.CLUSTER_SPEC:
        writer.delete(work_request_key(FenceOn.CLUSTER, *scope))
    writer.counters.objects_count -= 1
    payload = {"previous": format_stamp(previous), "revision": format_stamp(revision)}
    _emit(writer, _CODES[kind].deleted, kind, scope, encode_value(payload))
    if kind is not ObjectKind.NAMESPACE:
        remove_if_free(writer, ObjectKind.NAMESPACE, scope[:1])
    return Applied(Stamp(revision), is_removed=True)


def _emit(
    writer: Writer, code: EventCode, kind: ObjectKind, scope: tuple[str, ...], payload: bytes
) -> None:
    cluster = scope[1] if kind is ObjectKind.CLUSTER_SPEC else None
    writer.emit(code, payload, ns=scope[0], cluster=cluster, key=scope[-1])
