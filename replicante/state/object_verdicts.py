"""Decides what a declaration does to the object that is there. Pure, reads only.

Called by `apply_objects`, and by the API for a dry run: what is told beforehand is what is done.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from replicante.model.objects import ObjectKind
from replicante.state import holders
from replicante.state.expectations import unmet
from replicante.state.object_commands import PutObject
from replicante.state.outcome import RejectCode, Rejected
from replicante.state.tables import ObjectRow, object_key, read_object_row
from replicante.storage.kv import Reader


class Change(enum.Enum):
    CREATED = enum.auto()
    NONE = enum.auto()
    """It is already as declared."""
    REPLACED = enum.auto()
    REMOVED = enum.auto()
    """It is Deleting, and its last holder goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """before: None exactly for CREATED."""

    change: Change
    before: ObjectRow | None


def judge(reader: Reader, command: PutObject) -> Verdict | Rejected:
    kind, scope = command.kind, command.scope
    raw = reader.get(object_key(kind, scope))
    before = None if raw is None else read_object_row(raw)
    previous = None if before is None else before.revision
    if command.expect is not None and (refusal := unmet(command.expect, previous)):
        return refusal
    if before is None:
        refusal = missing_scope(reader, kind, scope)
        return refusal or Verdict(change=Change.CREATED, before=None)
    is_same_content = before.spec == command.spec and before.labels == command.labels
    if is_same_content and before.finalisers == command.finalisers:
        return Verdict(change=Change.NONE, before=before)
    if not before.is_deleting:
        return Verdict(change=Change.REPLACED, before=before)
    if not is_same_content or not set(command.finalisers) <= set(before.finalisers):
        return Rejected(RejectCode.BEING_DELETED, {"revision": before.revision})
    if not holders.may_go(reader, kind, scope, command.finalisers):
        return Verdict(change=Change.REPLACED, before=before)
    return Verdict(change=Change.REMOVED, before=before)


def missing_scope(reader: Reader, kind: ObjectKind, scope: tuple[str, ...]) -> Rejected | None:
    """Why nothing new may be declared there; None when it may."""
    if kind is ObjectKind.NAMESPACE:
        return None
    raw = reader.get(object_key(ObjectKind.NAMESPACE, scope[:1]))
    if raw is None:
        return Rejected(RejectCode.UNKNOWN_SCOPE, {"kind": "Namespace", "name": scope[0]})
    namespace = read_object_row(raw)
    if namespace.is_deleting:
        return Rejected(RejectCode.BEING_DELETED, {"revision": namespace.revision})
    return None


def missing_cluster(reader: Reader, ns: str, cluster: str) -> Rejected | None:
    """Why no action may be asked of it; None when one may."""
    refusal = missing_scope(reader, ObjectKind.CLUSTER_SPEC, (ns, cluster))
    if refusal is not None:
        return refusal
    raw = reader.get(object_key(ObjectKind.CLUSTER_SPEC, (ns, cluster)))
    if raw is None:
        return Rejected(RejectCode.UNKNOWN_SCOPE, {"kind": "ClusterSpec", "name": cluster})
    spec = read_object_row(raw)
    if spec.is_deleting:
        return Rejected(RejectCode.BEING_DELETED, {"revision": spec.revision})
    return None
