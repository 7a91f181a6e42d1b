"""Decides which targets are due. Pure; called by the supervisor over a view of this peer's copy.

Nothing is scheduled that could be lost: a target is due when its last cycle, as recorded, began an
interval ago, when somebody asked for one, or when its end was asked for. A cluster is also due when
this worker has not looked at it since it began to lead, and when its last cycle wanted to look
again soon; that is kept in memory, because the first of the two makes up for its loss.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from replicante.limits import WORK_TARGETS_SLICE_MAX
from replicante.model.change import RecordKind
from replicante.model.cluster_spec import INTERVAL_MS_DEFAULT
from replicante.model.codec import Value
from replicante.model.objects import ObjectKind, StoredObject
from replicante.model.platform import DISCOVERY_INTERVAL_MS_DEFAULT
from replicante.state import queries, record_queries
from replicante.state.fences import FenceOn
from replicante.state.record_tables import find_record
from replicante.storage.kv import Reader
from replicante.wire.durations import parse_duration_ms
from replicante.workers.holdings import Target

JITTER_DIVISOR = 16
"""A target comes up to this part of its interval early, always by the same part: clusters that were
declared together do not stay together."""


class WorkKind(enum.Enum):
    ORCHESTRATE = "orchestrate"
    DISCOVER = "discover"
    DROP = "drop"
    """The end of a cluster or a namespace goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    kind: WorkKind
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    work: tuple[Work, ...]
    next: tuple[str, ...] | None
    """Where the next slice begins; None: that was all."""


def due_clusters(
    reader: Reader, wanted: Mapping[Target, int], *, now_ms: int, after: tuple[str, ...] | None
) -> Slice:
    """wanted: cluster → cluster clock at which its last cycle wants the next."""
    page = queries.object_list(
        reader, ObjectKind.CLUSTER_SPEC, after=after, limit=WORK_TARGETS_SLICE_MAX
    )
    work = tuple(_of_clusters(reader, page.items, wanted, now_ms))
    return Slice(work=work, next=page.next)


def due_platforms(reader: Reader, *, now_ms: int, after: tuple[str, ...] | None) -> Slice:
    page = queries.object_list(
        reader, ObjectKind.PLATFORM, after=after, limit=WORK_TARGETS_SLICE_MAX
    )
    return Slice(work=tuple(_of_platforms(reader, page.items, now_ms)), next=page.next)


def interval_of(stored: StoredObject) -> int:
    """Milliseconds between the beginnings of two cycles of this target."""
    if stored.kind is ObjectKind.CLUSTER_SPEC:
        return _length(stored.spec["interval"], default_ms=INTERVAL_MS_DEFAULT)
    wanted = stored.spec["discovery"]["interval"]
    return _length(wanted, default_ms=DISCOVERY_INTERVAL_MS_DEFAULT)


def jitter_ms(target: Target, interval_ms: int) -> int:
    digest = hashlib.blake2b("/".join(target[1:]).encode(), digest_size=4).digest()
    return interval_ms // JITTER_DIVISOR * int.from_bytes(digest, "big") >> 32


def _of_clusters(
    reader: Reader, items: tuple[StoredObject, ...], wanted: Mapping[Target, int], now_ms: int
) -> Iterator[Work]:
    for stored in items:
        ns, name = stored.scope
        target = (FenceOn.CLUSTER, ns, name)
        if stored.is_deleting or _is_deleting(reader, ns):
            yield Work(kind=WorkKind.DROP, target=target)
            continue
        is_wanted = bool(stored.spec["active"]) and now_ms >= wanted.get(target, 0)
        row = find_record(reader, RecordKind.REPORT, (ns, name))
        began_ms = None if row is None else int(row.load()["start_ms"])
        if is_wanted or _is_due(reader, stored, target, began_ms, now_ms):
            yield Work(kind=WorkKind.ORCHESTRATE, target=target)


def _of_platforms(reader: Reader, items: tuple[StoredObject, ...], now_ms: int) -> Iterator[Work]:
    for stored in items:
        ns, name = stored.scope
        target = (FenceOn.PLATFORM, ns, name)
        if stored.is_deleting or _is_deleting(reader, ns):
            yield Work(kind=WorkKind.DROP, target=target)
            continue
        run = record_queries.platform_run(reader, ns, name)
        began_ms = None if run is None else int(run["start_ms"])
        if _is_due(reader, stored, target, began_ms, now_ms):
            yield Work(kind=WorkKind.DISCOVER, target=target)


def _is_due(
    reader: Reader, stored: StoredObject, target: Target, began_ms: int | None, now_ms: int
) -> bool:
    if record_queries.work_request(reader, *target) is not None:
        return True
    if not stored.spec["active"]:
        return False
    interval_ms = interval_of(stored)
    return began_ms is None or now_ms >= began_ms + interval_ms - jitter_ms(target, interval_ms)


def _is_deleting(reader: Reader, ns: str) -> bool:
    namespace = queries.object_get(reader, ObjectKind.NAMESPACE, (ns,))
    return namespace is not None and namespace.is_deleting


def _length(text: Value, *, default_ms: int) -> int:
    found = parse_duration_ms(text) if isinstance(text, str) else None
    return default_ms if found is None else found
