"""Decides what keeps an object that is Deleting: its finalisers, and what lives in it. Pure.

Called by `apply_objects` and `apply_records`. A namespace is held by its platforms and clusters, a
cluster by its records. Whoever takes the last of them away takes the holder along, in one write.
"""

from __future__ import annotations

from replicante.model.objects import ObjectKind
from replicante.state import record_tables, tables
from replicante.storage.keys import encode_prefix, prefix_range
from replicante.storage.kv import Reader

_HELD_BY = {
    ObjectKind.NAMESPACE: (
        tables.OBJECT_TABLES[ObjectKind.PLATFORM],
        tables.OBJECT_TABLES[ObjectKind.CLUSTER_SPEC],
    ),
    ObjectKind.PLATFORM: (),
    ObjectKind.CLUSTER_SPEC: record_tables.CLUSTER_TABLES,
}


def is_empty(reader: Reader, kind: ObjectKind, scope: tuple[str, ...]) -> bool:
    """Whether nothing lives in the object."""
    for table in _HELD_BY[kind]:
        if next(iter(reader.scan(*prefix_range(encode_prefix(table, *scope)))), None) is not None:
            return False
    return True


def may_go(
    reader: Reader, kind: ObjectKind, scope: tuple[str, ...], finalisers: tuple[str, ...]
) -> bool:
    return not finalisers and is_empty(reader, kind, scope)
