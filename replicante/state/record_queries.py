"""What can be read of orchestration: records of clusters, actions, decisions. Pure functions over a
View, as `queries`; each reads a bounded number of rows or one cluster's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from replicante.ids import Stamp
from replicante.limits import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX
from replicante.model.action_kinds import PLATFORM_DEPROVISION
from replicante.model.action_requests import ActionOn
from replicante.model.actions import ActionHistoryEntry, NAction, OAction
from replicante.model.change import RecordKind
from replicante.model.codec import Value, load_value
from replicante.model.converge_state import ConvergeState
from replicante.model.decision import Decision
from replicante.model.discovery import ClusterDiscovery
from replicante.model.node import Node, StoreExtras
from replicante.model.records import Record
from replicante.model.report import OrchestrateReport
from replicante.model.shard import Shard
from replicante.state import record_tables, tables
from replicante.state.fences import FenceOn
from replicante.state.record_commands import Revisions
from replicante.state.record_tables import RecordRow, find_record, read_record_row
from replicante.storage.keys import decode_key, encode_prefix, encoded_key_bytes, prefix_range
from replicante.storage.kv import Reader

R = TypeVar("R", bound=Record)

_ACTION_KINDS = {ActionOn.NODE: RecordKind.NACTION, ActionOn.CLUSTER: RecordKind.OACTION}
_STAMP_BYTES = 8
_Seen = dict[tuple[RecordKind, tuple[str, ...]], int]


class StoredAction(msgspec.Struct, frozen=True, kw_only=True):
    action: NAction | OAction
    revision: Stamp


class ActionPage(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[StoredAction, ...]
    next: str | None
    """`after` of the next page: the id of the last action that was looked at."""


class ClusterRecords(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept of one cluster, as one cycle reads it."""

    discovery: ClusterDiscovery | None
    nodes: tuple[Node, ...]
    extras: tuple[StoreExtras, ...]
    shards: tuple[Shard, ...]
    nactions: tuple[NAction, ...]
    """Unfinished, in the order of their creation."""
    oactions: tuple[OAction, ...]
    """Unfinished, in the order of their creation."""
    ended_ids: frozenset[str]
    """Of ended node actions that are still kept."""
    ended_count: int
    """Of all ended actions that are still kept."""
    state: ConvergeState | None
    report: OrchestrateReport | None
    request: int | None
    """Revision of a request for a cycle that stands."""
    revisions: Revisions
    """Of all these records."""


class Discoveries(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[ClusterDiscovery, ...]
    revisions: Revisions


def cluster_records(reader: Reader, ns: str, cluster: str) -> ClusterRecords:
    """Bounded by what one cluster may hold."""
    nactions: list[NAction] = []
    oactions: list[OAction] = []
    seen: _Seen = {}
    for kind, action_id in record_tables.open_actions(reader, ns, cluster):
        row = find_record(reader, kind, (ns, cluster, action_id))
        assert row is not None, "an unfinished action is kept"
        seen[kind, (ns, cluster, action_id)] = row.revision
        if kind is RecordKind.NACTION:
            nactions.append(NAction.decode(row.value))
        else:
            oactions.append(OAction.decode(row.value))
    ended = list(_ended(reader, ns, cluster))
    return ClusterRecords(
        discovery=_noted(reader, RecordKind.CLUSTER_DISCOVERY, ClusterDiscovery, seen, ns, cluster),
        nodes=tuple(_records(reader, RecordKind.NODE, Node, seen, ns, cluster)),
        extras=tuple(_records(reader, RecordKind.STORE_EXTRAS, StoreExtras, seen, ns, cluster)),
        shards=tuple(_records(reader, RecordKind.SHARD, Shard, seen, ns, cluster)),
        nactions=tuple(nactions),
        oactions=tuple(oactions),
        ended_ids=frozenset(it for kind, it in ended if kind is RecordKind.NACTION),
        ended_count=len(ended),
        state=_noted(reader, RecordKind.CONVERGE_STATE, ConvergeState, seen, ns, cluster),
        report=_noted(reader, RecordKind.REPORT, OrchestrateReport, seen, ns, cluster),
        request=work_request(reader, FenceOn.CLUSTER, ns, cluster),
        revisions=seen,
    )


def work_request(reader: Reader, on: FenceOn, ns: str, name: str) -> int | None:
    """Revision of the request for work that stands; None when there is none."""
    row = reader.get(record_tables.work_request_key(on, ns, name)) if _fits(ns, name) else None
    return record_tables.read_work_request(row)


def discovery(reader: Reader, ns: str, cluster: str) -> ClusterDiscovery | None:
    return _one(reader, RecordKind.CLUSTER_DISCOVERY, ClusterDiscovery, ns, cluster)


def discoveries(reader: Reader, ns: str) -> Discoveries:
    """Of all clusters of a namespace."""
    seen: _Seen = {}
    found = _records(reader, RecordKind.CLUSTER_DISCOVERY, ClusterDiscovery, seen, ns)
    return Discoveries(items=tuple(found), revisions=seen)


def nodes_taken_away(reader: Reader, ns: str, cluster: str) -> frozenset[str]:
    """Nodes that an unfinished action of ours has asked their platform to remove."""
    found: set[str] = set()
    for kind, action_id in record_tables.open_actions(reader, ns, cluster):
        row = find_record(reader, kind, (ns, cluster, action_id))
        if kind is not RecordKind.OACTION or row is None:
            continue
        action = OAction.decode(row.value)
        args, payload = action.args, action.payload
        is_asked = isinstance(payload, dict) and payload.get("requested") is True
        if action.kind == PLATFORM_DEPROVISION and is_asked and isinstance(args, dict):
            found |= {it for it in (args.get("node_id"),) if isinstance(it, str)}
    return frozenset(found)


def report(reader: Reader, ns: str, cluster: str) -> OrchestrateReport | None:
    """Of the last cycle."""
    return _one(reader, RecordKind.REPORT, OrchestrateReport, ns, cluster)


def platform_run(reader: Reader, ns: str, platform: str) -> Value:
    """What became of the last discovery; None: there was none."""
    if not _fits(ns, platform):
        return None
    row = reader.get(record_tables.platform_run_key(ns, platform))
    return None if row is None else load_value(row)


def decisions(reader: Reader, ns: str, cluster: str) -> tuple[Decision, ...]:
    """Those that are kept, oldest first."""
    if not _fits(ns, cluster):
        return ()
    prefix = encode_prefix(record_tables.DECISIONS, ns, cluster)
    rows = reader.scan(*prefix_range(prefix))
    return tuple(Decision.decode(read_record_row(row).value) for _, row in rows)


def decision_at(reader: Reader, ns: str, cluster: str, stamp: int) -> Decision | None:
    """The last decision that was recorded at or before this event id; None: not kept any more."""
    if not _fits(ns, cluster):
        return None
    found: Decision | None = None
    for key, row in reader.scan(*prefix_range(encode_prefix(record_tables.DECISIONS, ns, cluster))):
        *_, revision = decode_key(key, str, str, int)
        if revision > stamp:
            break
        found = Decision.decode(read_record_row(row).value)
    return found


def action_get(
    reader: Reader, on: ActionOn, ns: str, cluster: str, action_id: str
) -> StoredAction | None:
    if not _fits(ns, cluster, action_id):
        return None
    row = find_record(reader, _ACTION_KINDS[on], (ns, cluster, action_id))
    return None if row is None else _stored_action(on, row)


def action_history(
    reader: Reader, on: ActionOn, ns: str, cluster: str, action_id: str
) -> tuple[ActionHistoryEntry, ...]:
    """Every step of the action, oldest first."""
    if not _fits(ns, cluster, action_id):
        return ()
    prefix = record_tables.history_prefix(_ACTION_KINDS[on], (ns, cluster, action_id))
    rows = reader.scan(*prefix_range(prefix))
    return tuple(ActionHistoryEntry.decode(row) for _, row in rows)


def action_list(
    reader: Reader,
    on: ActionOn,
    ns: str,
    cluster: str,
    *,
    after: str | None = None,
    node_id: str | None = None,
    is_ended_wanted: bool = True,
    limit: int = PAGE_ITEMS_DEFAULT,
) -> ActionPage:
    """Actions in the order of their ids. A page looks at `limit` rows, so it may hold fewer, and
    still have a next one."""
    assert 1 <= limit <= PAGE_ITEMS_MAX
    if not _fits(ns, cluster, after or ""):
        return ActionPage(items=(), next=None)
    kind = _ACTION_KINDS[on]
    start, end = prefix_range(encode_prefix(record_tables.RECORD_TABLES[kind], ns, cluster))
    if after is not None:
        start = max(start, record_tables.record_key(kind, (ns, cluster, after)) + b"\x00")
    items: list[StoredAction] = []
    place = ""
    for count, (key, row) in enumerate(reader.scan(start, end)):
        if count == limit:
            return ActionPage(items=tuple(items), next=place)
        *_, place = decode_key(key, str, str, str)
        stored = _stored_action(on, read_record_row(row))
        is_on_node = node_id is None or getattr(stored.action, "node_id", None) == node_id
        if is_on_node and (is_ended_wanted or not stored.action.phase.is_final):
            items.append(stored)
    return ActionPage(items=tuple(items), next=None)


def _stored_action(on: ActionOn, row: RecordRow) -> StoredAction:
    kind: type[NAction] | type[OAction] = NAction if on is ActionOn.NODE else OAction
    return StoredAction(action=kind.decode(row.value), revision=row.revision)


def _one(reader: Reader, kind: RecordKind, shape: type[R], ns: str, cluster: str) -> R | None:
    if not _fits(ns, cluster):
        return None
    row = find_record(reader, kind, (ns, cluster))
    return None if row is None else shape.decode(row.value)


def _ended(reader: Reader, ns: str, cluster: str) -> Iterator[tuple[RecordKind, str]]:
    prefix = encode_prefix(record_tables.ACTIONS_ENDED, ns, cluster)
    for key, mark in reader.scan(*prefix_range(prefix)):
        *_, action_id = decode_key(key, str, str, int, str)
        yield record_tables.ACTION_KINDS[mark], str(action_id)


def _noted(
    reader: Reader, kind: RecordKind, shape: type[R], seen: _Seen, ns: str, cluster: str
) -> R | None:
    """As `_one`; the revision goes into `seen`."""
    row = find_record(reader, kind, (ns, cluster)) if _fits(ns, cluster) else None
    if row is None:
        return None
    seen[kind, (ns, cluster)] = row.revision
    return shape.decode(row.value)


def _records(
    reader: Reader, kind: RecordKind, shape: type[R], seen: _Seen, *within: str
) -> Iterator[R]:
    if not _fits(*within):
        return
    prefix = encode_prefix(record_tables.RECORD_TABLES[kind], *within)
    names_shape = (str,) * record_tables.NAMES_COUNT[kind]
    for key, raw in reader.scan(*prefix_range(prefix)):
        row = read_record_row(raw)
        seen[kind, tuple(str(name) for name in decode_key(key, *names_shape))] = row.revision
        yield shape.decode(row.value)


def _fits(*names: str) -> bool:
    """Whether admission would let the names into a row key, with a stamp behind them."""
    return encoded_key_bytes(*names) + _STAMP_BYTES <= tables.OBJECT_KEY_BYTES_MAX
