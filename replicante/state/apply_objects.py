"""What the object commands do, the same for every kind: create, replace, delete. Pure; called by
machine.apply on every peer.

Life of an object: declared → (DeleteObject) Deleting → gone. While a finaliser is left it stays in
Deleting, where only finalisers may go; the write that takes the last one away removes it. Without
finalisers both steps happen in one write, with both events.

A replacement by the same content changes nothing and emits nothing: `apply` is repeated by people
and by loops, and a revision tells of a change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from replicante.ids import Stamp, format_stamp
from replicante.model.codec import encode_value, join_map
from replicante.model.objects import ObjectKind
from replicante.state.commands import DeleteObject, PutObject
from replicante.state.eventlog import EventCode
from replicante.state.expectations import unmet
from replicante.state.outcome import Applied, RejectCode, Rejected
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
    )
}


def put(writer: Writer, command: PutObject) -> Applied | Rejected:
    row_key = object_key(command.kind, command.scope)
    raw = writer.get(row_key)
    before = None if raw is None else read_object_row(raw)
    previous = None if before is None else before.revision
    if command.expect is not None and (refusal := unmet(command.expect, previous)):
        return refusal
    if before is None:
        writer.counters.objects_count += 1
        return _write(writer, command, None)
    if before.spec == command.spec and before.finalisers == command.finalisers:
        return Applied(Stamp(before.revision), is_changed=False)
    if not before.is_deleting:
        return _write(writer, command, before)
    if before.spec != command.spec or not set(command.finalisers) <= set(before.finalisers):
        return Rejected(RejectCode.BEING_DELETED, {"revision": before.revision})
    if command.finalisers:
        return _write(writer, command, before)
    return _remove(writer, command.kind, command.scope, previous=before.revision)


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
        ),
    )
    _emit(writer, _CODES[kind].delete_requested, scope, encode_value(payload))
    if before.finalisers:
        return Applied(Stamp(revision))
    return _remove(writer, kind, scope, previous=revision)


def _write(writer: Writer, command: PutObject, before: ObjectRow | None) -> Applied:
    """before: the object that is replaced; one that is Deleting stays so."""
    revision = writer.stamp()
    row = object_row(
        revision=revision,
        created=revision if before is None else before.created,
        is_deleting=before is not None and before.is_deleting,
        finalisers=command.finalisers,
        spec=command.spec,
    )
    writer.put(object_key(command.kind, command.scope), row)
    payload = join_map(
        {
            "finalisers": encode_value(list(command.finalisers)),
            "previous": encode_value(None if before is None else format_stamp(before.revision)),
            "revision": encode_value(format_stamp(revision)),
            "spec": command.spec,
        }
    )
    _emit(writer, _CODES[command.kind].applied, command.scope, payload)
    return Applied(Stamp(revision), is_created=before is None)


def _remove(writer: Writer, kind: ObjectKind, scope: tuple[str, ...], *, previous: int) -> Applied:
    revision = writer.stamp()
    writer.delete(object_key(kind, scope))
    writer.counters.objects_count -= 1
    payload = {"previous": format_stamp(previous), "revision": format_stamp(revision)}
    _emit(writer, _CODES[kind].deleted, scope, encode_value(payload))
    return Applied(Stamp(revision), is_removed=True)


def _emit(writer: Writer, code: EventCode, scope: tuple[str, ...], payload: bytes) -> None:
    writer.emit(code, payload, ns=scope[0], key=scope[-1])
