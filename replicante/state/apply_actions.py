"""What people do with actions: create, approve, reject, cancel. Pure; called by machine.apply.

The life cycle is decided here and in `apply_records`, by `model.actions`, and nowhere else: a step
that the phases do not allow changes nothing. Each step is one write of the record, one row of its
history, one event with the record before and after.
"""

from __future__ import annotations

from typing import Final

from replicante.ids import Stamp
from replicante.model.action_requests import ActionOn
from replicante.model.actions import NActionPhase, OActionPhase
from replicante.model.change import ChangeCode, RecordKind
from replicante.model.codec import encode_value, load_value
from replicante.state import records
from replicante.state.action_commands import ActionVerb, CreateAction, MoveAction
from replicante.state.object_verdicts import missing_cluster
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.record_tables import find_record
from replicante.state.writer import Writer

_KINDS: Final = {ActionOn.NODE: RecordKind.NACTION, ActionOn.CLUSTER: RecordKind.OACTION}
_CREATED: Final = {
    ActionOn.NODE: ChangeCode.NACTION_CREATE,
    ActionOn.CLUSTER: ChangeCode.OACTION_CREATE,
}
_MOVED: Final = {
    (ActionOn.NODE, ActionVerb.APPROVE): ChangeCode.NACTION_APPROVE,
    (ActionOn.NODE, ActionVerb.REJECT): ChangeCode.NACTION_REJECT,
    (ActionOn.NODE, ActionVerb.CANCEL): ChangeCode.NACTION_CANCEL,
    (ActionOn.CLUSTER, ActionVerb.APPROVE): ChangeCode.OACTION_APPROVE,
    (ActionOn.CLUSTER, ActionVerb.REJECT): ChangeCode.OACTION_REJECT,
    (ActionOn.CLUSTER, ActionVerb.CANCEL): ChangeCode.OACTION_CANCEL,
}
_WAITING: Final = str(NActionPhase.PENDING_APPROVE)
assert _WAITING == OActionPhase.PENDING_APPROVE, "both kinds wait in the same phase"


def create(writer: Writer, command: CreateAction) -> Applied | Rejected:
    ns, cluster, action_id = command.names
    kind = _KINDS[command.on]
    refusal = missing_cluster(writer, ns, cluster)
    if refusal is not None:
        return refusal
    asked = load_value(command.body)
    phase = NActionPhase.PENDING_SCHEDULE if command.is_approved else NActionPhase.PENDING_APPROVE
    known = find_record(writer, kind, command.names)
    if known is not None:
        before = known.load()
        is_same = all(before.get(name) == value for name, value in asked.items())
        if is_same:
            return Applied(known.revision, is_changed=False)
        return Rejected(RejectCode.ACTION_EXISTS, {"revision": known.revision})
    value = encode_value(
        {
            **asked,
            "ns_id": ns,
            "cluster_id": cluster,
            "action_id": action_id,
            "created_ms": writer.counters.clock_ms,
            "created_wall_ms": writer.wall_ms,
            "phase": str(phase),
        }
    )
    revision = records.write(
        writer,
        records.Write(
            kind=kind, names=command.names, before=None, after=value, code=_CREATED[command.on]
        ),
    )
    return Applied(Stamp(revision), is_created=True)


def move(writer: Writer, command: MoveAction) -> Applied | Rejected:
    *scope, action_id = command.names
    names = (scope[0], scope[1], action_id)
    kind = _KINDS[command.on]
    row = find_record(writer, kind, names)
    if row is None:
        return Rejected(RejectCode.NOT_FOUND)
    value = row.load()
    if command.on is ActionOn.NODE and value["node_id"] != scope[2]:
        return Rejected(RejectCode.NOT_FOUND)
    phase = str(value["phase"])
    is_waiting = phase == _WAITING
    if command.verb is ActionVerb.CANCEL:
        may_move = not records.is_final(phase)
    else:
        may_move = is_waiting
    if not may_move:
        return Rejected(RejectCode.WRONG_PHASE, {"phase": phase, "revision": row.revision})
    if command.verb is ActionVerb.APPROVE:
        value["phase"] = "PENDING_SCHEDULE"
        value["approved_ms"] = writer.counters.clock_ms
        value["approved_wall_ms"] = writer.wall_ms
    else:
        value["phase"] = "CANCELLED"
        value["finished_ms"] = writer.counters.clock_ms
        value["finished_wall_ms"] = writer.wall_ms
    revision = records.write(
        writer,
        records.Write(
            kind=kind,
            names=names,
            before=row,
            after=encode_value(value),
            code=_MOVED[command.on, command.verb],
            reason=command.reason,
        ),
    )
    return Applied(Stamp(revision))
