"""What a cycle writes: checked as a whole, then written as a whole. Pure; called by machine.apply.

Rules: nothing is written under a fence that is not held at this very entry; nothing is written over
a record that is not as the cycle saw it, so what a person approved or cancelled meanwhile is never
lost; after the first write nothing is refused any more.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

import msgspec

from replicante.ids import Stamp, format_stamp
from replicante.limits import RECORDS_DROPPED_MAX
from replicante.model.actions import NActionPhase, OActionPhase
from replicante.model.change import ChangeCode, RecordKind
from replicante.model.codec import encode_value, load_value
from replicante.model.discovery import ClusterDiscovery
from replicante.model.objects import ObjectKind
from replicante.state import apply_objects, fences, leases, record_tables, records
from replicante.state.eventlog import EventCode
from replicante.state.fences import Fence, FenceOn
from replicante.state.object_commands import PutObject
from replicante.state.object_verdicts import missing_scope
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.record_commands import (
    ConfirmDiscovery,
    DropRecords,
    RecordChange,
    RecordCycle,
    RequestWork,
)
from replicante.state.record_tables import RECORD_TABLES, find_record
from replicante.state.tables import object_key, read_object_row
from replicante.state.writer import Writer
from replicante.storage.keys import decode_key, encode_prefix, prefix_range

_TARGETS: Final = {
    FenceOn.CLUSTER: ObjectKind.CLUSTER_SPEC,
    FenceOn.PLATFORM: ObjectKind.PLATFORM,
}
_REQUESTED: Final = {
    FenceOn.CLUSTER: EventCode.ORCHESTRATE_REQUESTED,
    FenceOn.PLATFORM: EventCode.DISCOVER_REQUESTED,
}
_CONFIRMED: Final = {
    False: ChangeCode.CLUSTER_DISCOVERY_UPDATE,
    True: ChangeCode.CLUSTER_DISCOVERY_LOST,
}
"""Whether no node is left → the event."""
_DROPPED: Final = {
    RecordKind.NODE: ChangeCode.NODE_DELETE,
    RecordKind.STORE_EXTRAS: ChangeCode.STORE_EXTRAS_DELETE,
    RecordKind.SHARD: ChangeCode.SHARD_DELETE,
}
_CANCELLED: Final = {
    RecordKind.NACTION: ChangeCode.NACTION_CANCEL,
    RecordKind.OACTION: ChangeCode.OACTION_CANCEL,
}


def record_cycle(writer: Writer, command: RecordCycle) -> Applied | Rejected:
    refusal = (
        _not_held(writer, command.fence)
        or _not_under(writer, command)
        or _not_as_seen(writer, command)
    )
    if refusal is not None:
        return refusal
    revision = 0
    for cluster, spec in command.specs:
        scope = (command.fence.ns, cluster)
        if writer.get(object_key(ObjectKind.CLUSTER_SPEC, scope)) is None:
            put = PutObject(ObjectKind.CLUSTER_SPEC, scope, spec)
            created = apply_objects.create(writer, put, EventCode.CLUSTER_DISCOVERY_SYNTHETIC)
            revision = created.revision
    for change in command.changes:
        revision = _carry_out(writer, change)
    if command.run is not None:
        key = record_tables.platform_run_key(command.fence.ns, command.fence.name)
        writer.put(key, command.run)
    if command.fence.on is FenceOn.CLUSTER:
        records.forget_aged(writer, command.fence.ns, command.fence.name)
    _forget_request(writer, command)
    return Applied(Stamp(revision), is_changed=revision > 0 or command.run is not None)


def request(writer: Writer, command: RequestWork) -> Applied | Rejected:
    kind = _TARGETS[command.on]
    if writer.get(object_key(kind, (command.ns, command.name))) is None:
        return Rejected(RejectCode.NOT_FOUND)
    key = record_tables.work_request_key(command.on, command.ns, command.name)
    standing = record_tables.read_work_request(writer.get(key))
    if standing is not None:
        return Applied(Stamp(standing), is_changed=False)
    revision = writer.stamp()
    writer.put(key, record_tables.work_request_row(revision))
    payload = encode_value({"revision": format_stamp(revision)})
    cluster = command.name if command.on is FenceOn.CLUSTER else None
    code = _REQUESTED[command.on]
    writer.emit(code, payload, ns=command.ns, cluster=cluster, key=command.name)
    return Applied(Stamp(revision), is_created=True)


def confirm_discovery(writer: Writer, command: ConfirmDiscovery) -> Applied | Rejected:
    names = (command.ns, command.cluster)
    row = find_record(writer, RecordKind.CLUSTER_DISCOVERY, names)
    before = None if row is None else ClusterDiscovery.decode(row.value)
    if before is None or before.held is None:
        return Rejected(RejectCode.NOT_FOUND)
    left = {node.node_id for node in before.held.nodes}
    missing = sorted(node.node_id for node in before.nodes if node.node_id not in left)
    if missing != sorted(command.gone):
        record = f"{RecordKind.CLUSTER_DISCOVERY} {'/'.join(names)}"
        return Rejected(RejectCode.RECORD_CHANGED, {"record": record, "missing": missing})
    after = msgspec.structs.replace(before, nodes=before.held.nodes, held=None)
    is_lost = not after.nodes
    revision = records.write(
        writer,
        records.Write(
            kind=RecordKind.CLUSTER_DISCOVERY,
            names=names,
            before=row,
            after=after.encode(),
            code=_CONFIRMED[is_lost],
            reason=command.reason,
        ),
    )
    return Applied(Stamp(revision))


def drop(writer: Writer, command: DropRecords) -> Applied | Rejected:
    scope = (command.ns, command.cluster)
    raw = writer.get(object_key(ObjectKind.CLUSTER_SPEC, scope))
    spec = None if raw is None else read_object_row(raw)
    if spec is None or not spec.is_deleting:
        return Rejected(RejectCode.NOT_FOUND)
    left = RECORDS_DROPPED_MAX
    for kind, table in RECORD_TABLES.items():
        rows = writer.scan(*prefix_range(encode_prefix(table, *scope)))
        found = list(islice(rows, left))
        for key, row in found:
            _drop_one(writer, kind, key, row)
        left -= len(found)
    apply_objects.remove_if_free(writer, ObjectKind.CLUSTER_SPEC, scope)
    is_gone = writer.get(object_key(ObjectKind.CLUSTER_SPEC, scope)) is None
    is_changed = is_gone or left < RECORDS_DROPPED_MAX
    return Applied(Stamp(spec.revision), is_changed=is_changed, is_removed=is_gone)


def _forget_request(writer: Writer, command: RecordCycle) -> None:
    """A request that came after the cycle had looked is not answered by it."""
    fence = command.fence
    key = record_tables.work_request_key(fence.on, fence.ns, fence.name)
    standing = record_tables.read_work_request(writer.get(key))
    if standing is not None and standing == command.answers:
        writer.delete(key)


def _not_held(writer: Writer, fence: Fence) -> Rejected | None:
    name = fences.lease_name(fence.on, fence.ns, fence.name)
    row = leases.held(writer, name, clock_ms=writer.counters.clock_ms)
    if row is None or row.token != fence.token:
        return Rejected(RejectCode.STALE_TOKEN, {"held": None if row is None else row.token})
    kind = _TARGETS[fence.on]
    raw = writer.get(object_key(kind, (fence.ns, fence.name)))
    if raw is None:
        return Rejected(RejectCode.NOT_FOUND)
    if read_object_row(raw).is_deleting:
        return Rejected(RejectCode.BEING_DELETED, {"revision": read_object_row(raw).revision})
    return missing_scope(writer, kind, (fence.ns, fence.name))


def _not_under(writer: Writer, command: RecordCycle) -> Rejected | None:
    """A pause that was acknowledged is followed by nothing that did not know of it."""
    if command.under is None:
        return None
    fence = command.fence
    kind = _TARGETS[fence.on]
    scopes = ((kind, (fence.ns, fence.name)), (ObjectKind.NAMESPACE, (fence.ns,)))
    for (object_kind, scope), seen in zip(scopes, command.under, strict=True):
        raw = writer.get(object_key(object_kind, scope))
        if raw is None or read_object_row(raw).revision != seen:
            return Rejected(
                RejectCode.RECORD_CHANGED, {"record": f"{object_kind.title} {'/'.join(scope)}"}
            )
    return None


def _not_as_seen(writer: Writer, command: RecordCycle) -> Rejected | None:
    """Walks the changes without writing; a later one sees what an earlier one would write."""
    written: dict[bytes, bytes | None] = {}
    created = {cluster for cluster, _ in command.specs}
    for change in command.changes:
        key = record_tables.record_key(change.kind, change.names)
        present = written.get(key)
        if key not in written and change.kind is not RecordKind.DECISION:
            row = find_record(writer, change.kind, change.names)
            present = None if row is None else row.value
            if change.seen != (None if row is None else row.revision):
                return Rejected(RejectCode.RECORD_CHANGED, {"record": _named(change)})
        refusal = _wrong_step(change, present)
        if refusal is not None:
            return refusal
        cluster = change.names[1]
        is_known = cluster in created or writer.get(
            object_key(ObjectKind.CLUSTER_SPEC, change.names[:2])
        )
        if not is_known:
            return Rejected(RejectCode.UNKNOWN_SCOPE, {"kind": "ClusterSpec", "name": cluster})
        written[key] = change.after
    return None


def _wrong_step(change: RecordChange, present: bytes | None) -> Rejected | None:
    if present is None or change.after is None or change.kind not in _CANCELLED:
        return None
    held = load_value(present)
    before, after = held["phase"], load_value(change.after)["phase"]
    if change.kind is RecordKind.NACTION:
        is_sent = held.get("sent_epoch") is not None
        may_become = NActionPhase(before).may_become(NActionPhase(after), is_sent=is_sent)
    else:
        may_become = OActionPhase(before).may_become(OActionPhase(after))
    if before == after or may_become:
        return None
    return Rejected(RejectCode.WRONG_PHASE, {"phase": before, "record": _named(change)})


def _carry_out(writer: Writer, change: RecordChange) -> int:
    before = None
    if change.kind is not RecordKind.DECISION:
        before = find_record(writer, change.kind, change.names)
    return records.write(
        writer,
        records.Write(
            kind=change.kind,
            names=change.names,
            before=before,
            after=change.after,
            code=change.code,
            cause=change.cause,
        ),
    )


def _drop_one(writer: Writer, kind: RecordKind, key: bytes, raw: bytes) -> None:
    if kind is RecordKind.DECISION:
        writer.delete(key)
        return
    row = record_tables.read_record_row(raw)
    shape = (str,) * record_tables.NAMES_COUNT[kind]
    names = tuple(str(name) for name in decode_key(key, *shape))
    code = _DROPPED.get(kind)
    if kind in _CANCELLED and not records.is_final(str(row.load()["phase"])):
        code = _CANCELLED[kind]
    records.write(writer, records.Write(kind=kind, names=names, before=row, after=None, code=code))


def _named(change: RecordChange) -> str:
    return f"{change.kind} {'/'.join(change.names)}"
