"""What the control plane writes of clusters, as values, and their fields in a packed command. Pure.

Part of `commands`, which knows the tags. Built by `workers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from replicante.model.change import Change, ChangeCode, RecordKind
from replicante.model.codec import encode_value
from replicante.state.fences import Fence, FenceOn, pack_fence, unpack_fence
from replicante.state.object_commands import unpack_names

Revisions = Mapping[tuple[RecordKind, tuple[str, ...]], int]


class RecordChange(msgspec.Struct, frozen=True):
    """One change of one record with the event that tells of it."""

    kind: RecordKind
    names: tuple[str, ...]
    seen: int | None
    """Revision of the record that the change was decided on; None: there was none. Several changes
    of one record in a cycle all name the one that the cycle began with."""
    after: bytes | None
    """Canonical bytes of a map; None: the record goes."""
    code: ChangeCode | None
    cause: str | None = None


class RecordCycle(msgspec.Struct, frozen=True):
    """Everything that one cycle found and decided, in one entry, all of it or nothing: Rejected
    stale_token when the fence is not held any more, record_changed when a record is not as it was
    seen, wrong_phase for a step that an action may not take."""

    fence: Fence
    changes: tuple[RecordChange, ...]
    """At most RECORD_CHANGES_MAX, of the fence's cluster; under a platform's: discoveries of its
    namespace."""
    specs: tuple[tuple[str, bytes], ...] = ()
    """Under a platform's fence: cluster and canonical spec, for those that have none yet."""
    run: bytes | None = None
    """Under a platform's fence: canonical bytes of what became of the discovery."""
    answers: int | None = None
    """Revision of the request for work that this cycle answers; a later one stays."""
    under: tuple[int, int] | None = None
    """Revisions of the target's object and of its namespace that were decided on: what people have
    declared since refuses the cycle. None: whatever is declared."""


class DropRecords(msgspec.Struct, frozen=True):
    """Removes at most RECORDS_DROPPED_MAX records of a cluster that is Deleting, its unfinished
    actions cancelled, and with the last of them the cluster itself. Rejected not_found when there
    is no such cluster, or its end was not asked for."""

    ns: str
    cluster: str


class RequestWork(msgspec.Struct, frozen=True):
    """Asks for a cycle of a cluster, or a discovery of a platform, as soon as may be. While the
    request stands, another one changes nothing. Rejected not_found without such a target."""

    on: FenceOn
    ns: str
    name: str


class ConfirmDiscovery(msgspec.Struct, frozen=True):
    """Believes the answer of a platform that is held: a person says that these nodes are really
    gone. Rejected not_found when nothing is held of the cluster, record_changed when other nodes
    than these are missing in what is held."""

    ns: str
    cluster: str
    gone: tuple[str, ...]
    """Ids of the nodes, each once."""
    reason: str = ""


RecordCommand = RecordCycle | DropRecords | RequestWork | ConfirmDiscovery


def record_change(change: Change, revisions: Revisions) -> RecordChange:
    """revisions: of the records that the change was decided on. The event's `before` is taken from
    the row itself.  Raises Invalid for values that cannot be stored."""
    return RecordChange(
        change.kind,
        change.key,
        revisions.get((change.kind, change.key)),
        None if change.after is None else encode_value(change.after),
        change.code,
        change.cause,
    )


def pack_record_fields(command: RecordCommand) -> list[Any]:
    match command:
        case RecordCycle(fence, changes, specs, run, answers, under):
            packed: list[Any] = [pack_fence(fence), [_pack_change(change) for change in changes]]
            packed += [[list(pair) for pair in specs], run]
            if under is not None:
                return [*packed, answers, list(under)]
            return packed if answers is None else [*packed, answers]
        case RequestWork(on, ns, name):
            return [int(on), ns, name]
        case DropRecords(ns, cluster):
            return [ns, cluster]
        case ConfirmDiscovery(ns, cluster, gone, reason):
            return [ns, cluster, list(gone), reason]


def unpack_cycle(packed: list[Any]) -> RecordCycle:
    _, fence, changes, specs, run, *more = packed
    answers, under = (*more, None, None)[:2]
    if len(more) > 2 or any(
        type(it) is not int or it <= 0
        for it in ([] if answers is None else [answers]) + ([] if under is None else list(under))
    ):
        raise TypeError("a revision is positive")
    if run is not None and type(run) is not bytes:
        raise TypeError("a run is bytes")
    return RecordCycle(
        unpack_fence(fence),
        tuple(_unpack_change(change) for change in changes),
        tuple(_unpack_spec(pair) for pair in specs),
        run,
        answers,
        None if under is None else _pair(under),
    )


def unpack_request(packed: list[Any]) -> RequestWork:
    _, on, ns, name = packed
    if type(ns) is not str or type(name) is not str:
        raise TypeError("a target is named by two texts")
    return RequestWork(FenceOn(on), ns, name)


def unpack_confirm(packed: list[Any]) -> ConfirmDiscovery:
    _, ns, cluster, gone, reason = packed
    if type(ns) is not str or type(cluster) is not str or type(reason) is not str:
        raise TypeError("a cluster is named by two texts, and a reason is text")
    return ConfirmDiscovery(ns, cluster, unpack_names(gone), reason)


def unpack_drop(packed: list[Any]) -> DropRecords:
    _, ns, cluster = packed
    if type(ns) is not str or type(cluster) is not str:
        raise TypeError("a cluster is named by two texts")
    return DropRecords(ns, cluster)


def _pack_change(change: RecordChange) -> list[Any]:
    code = None if change.code is None else str(change.code)
    names = list(change.names)
    return [str(change.kind), names, change.seen, change.after, code, change.cause]


def _unpack_change(packed: list[Any]) -> RecordChange:
    kind, names, seen, after, code, cause = packed
    if after is not None and type(after) is not bytes:
        raise TypeError("a record is bytes")
    if seen is not None and (type(seen) is not int or seen <= 0):
        raise TypeError("a revision is positive")
    if cause is not None and type(cause) is not str:
        raise TypeError("a cause is text")
    return RecordChange(
        RecordKind(kind),
        unpack_names(names),
        seen,
        after,
        None if code is None else ChangeCode(code),
        cause,
    )


def _pair(found: Any) -> tuple[int, int]:
    target, namespace = found
    return target, namespace


def _unpack_spec(pair: Any) -> tuple[str, bytes]:
    cluster, spec = pair
    if type(cluster) is not str or type(spec) is not bytes:
        raise TypeError("a spec is a name and bytes")
    return cluster, spec
