"""Whether everything that an acknowledgement carries will be carried out. Pure, reads only.

Called by `apply_queue` before it removes the job: what comes with an acknowledgement happens with
it or not at all (ADR 0023). A deletion of what is not there is no refusal: it already is as asked.

Rule: what passes here is not refused when it is carried out. An object that goes, or is going, is
declared again by a later write only.
"""

from __future__ import annotations

from collections.abc import Sequence

from replicante.model.objects import ObjectKind
from replicante.state import apply_kv
from replicante.state.commands import KvPut, Operation
from replicante.state.object_commands import DeleteObject, PutObject
from replicante.state.object_verdicts import Change, judge
from replicante.state.outcome import RejectCode, Rejected
from replicante.state.tables import object_key, read_object_row
from replicante.state.writer import Writer

_Thing = tuple[ObjectKind, tuple[str, ...]]


def refusal(writer: Writer, operations: Sequence[Operation]) -> Rejected | None:
    """Of the first operation that would be refused, with its place among the details."""
    made: set[_Thing] = set()
    leaving: dict[_Thing, int | None] = {}
    for place, operation in enumerate(operations):
        refused = _refused(writer, operation, made, leaving)
        if refused is not None:
            return Rejected(refused.code, {**refused.details, "operation": place})
    return None


def _refused(
    writer: Writer, operation: Operation, made: set[_Thing], leaving: dict[_Thing, int | None]
) -> Rejected | None:
    """made, leaving: what the operations before this one do; leaving, with the revision of now."""
    match operation:
        case KvPut(lease=int(lease)):
            return apply_kv.not_held(writer, lease)
        case PutObject():
            return _refused_put(writer, operation, made, leaving)
        case DeleteObject(kind, scope):
            raw = writer.get(object_key(kind, scope))
            if raw is not None or (kind, scope) in made:
                leaving[kind, scope] = None if raw is None else read_object_row(raw).revision
            return None
        case _:
            return None


def _refused_put(
    writer: Writer, command: PutObject, made: set[_Thing], leaving: dict[_Thing, int | None]
) -> Rejected | None:
    thing, namespace = (command.kind, command.scope), (ObjectKind.NAMESPACE, command.scope[:1])
    for one in (namespace, thing):
        if one in leaving:
            return Rejected(RejectCode.BEING_DELETED, {"revision": leaving[one]})
    if thing in made:
        return None
    if namespace in made:
        made.add(thing)
        return None
    verdict = judge(writer, command)
    if isinstance(verdict, Rejected):
        return verdict
    if verdict.change is Change.CREATED:
        made.add(thing)
    elif verdict.before is not None and verdict.before.is_deleting:
        leaving[thing] = verdict.before.revision
    return None
