"""Decides which targets are due. Pure; called by the supervisor over a view of this peer's copy.

Nothing is scheduled that could be lost. A target is due when somebody asked for work on it, and
when its end was asked for. A platform is due when its last discovery, as recorded, began an
interval ago. A cluster is due when this worker has not looked at it since it began to lead, when
its spec was changed since, and when its last cycle wants the next; that wish is kept in memory,
because the first of the three makes up for its loss.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass

from replicante.limits import WORK_TARGETS_SLICE_MAX
from replicante.model.objects import ObjectKind, StoredObject
from replicante.model.platform import DISCOVERY_INTERVAL_MS_DEFAULT
from replicante.state import queries, record_queries
from replicante.state.fences import FenceOn
from replicante.state.queries import ObjectPage
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
class Wanted:
    """When the last cycle of a cluster wants the next."""

    revision: int
    """Of the spec that it was decided on: a changed one is looked at anew at once."""
    at_ms: int
    """Cluster clock."""


def targets(reader: Reader, kind: ObjectKind, *, after: tuple[str, ...] | None) -> ObjectPage:
    """One slice of the platforms or clusters."""
    return queries.object_list(reader, kind, after=after, limit=WORK_TARGETS_SLICE_MAX)


def target_of(stored: StoredObject) -> Target:
    ns, name = stored.scope
    is_cluster = stored.kind is ObjectKind.CLUSTER_SPEC
    return FenceOn.CLUSTER if is_cluster else FenceOn.PLATFORM, ns, name


def due_work(
    reader: Reader, stored: StoredObject, *, wanted: Wanted | None, now_ms: int
) -> Work | None:
    """What is to be done about one target now.

    wanted: by the last cycle of a cluster; None: this worker has not looked at it yet.
    """
    target = target_of(stored)
    if stored.is_deleting or _is_deleting(reader, target[1]):
        return Work(kind=WorkKind.DROP, target=target)
    if record_queries.work_request(reader, *target) is not None:
        return _work_on(target)
    if not stored.spec["active"]:
        return None
    if target[0] is FenceOn.CLUSTER:
        is_due = wanted is None or wanted.revision != stored.revision or now_ms >= wanted.at_ms
    else:
        run = record_queries.platform_run(reader, *target[1:])
        interval_ms = interval_of(stored)
        begins_ms = 0 if run is None else int(run["start_ms"]) + interval_ms
        is_due = now_ms >= begins_ms - jitter_ms(target, interval_ms)
    return _work_on(target) if is_due else None


def _work_on(target: Target) -> Work:
    is_cluster = target[0] is FenceOn.CLUSTER
    return Work(kind=WorkKind.ORCHESTRATE if is_cluster else WorkKind.DISCOVER, target=target)


def interval_of(platform: StoredObject) -> int:
    """Milliseconds between the beginnings of two discoveries."""
    wanted = platform.spec["discovery"]["interval"]
    found = parse_duration_ms(wanted) if isinstance(wanted, str) else None
    return DISCOVERY_INTERVAL_MS_DEFAULT if found is None else found


def jitter_ms(target: Target, interval_ms: int) -> int:
    digest = hashlib.blake2b("/".join(target[1:]).encode(), digest_size=4).digest()
    return interval_ms // JITTER_DIVISOR * int.from_bytes(digest, "big") >> 32


def _is_deleting(reader: Reader, ns: str) -> bool:
    namespace = queries.object_get(reader, ObjectKind.NAMESPACE, (ns,))
    return namespace is not None and namespace.is_deleting
