"""Makes changes out of records: key, before, after, event. Pure; called by the cycle."""

from __future__ import annotations

from replicante.model.actions import ActionHistoryEntry, NAction, NActionPhase, OAction
from replicante.model.change import Change, ChangeCode, RecordKind
from replicante.model.converge_state import ConvergeState
from replicante.model.decision import Decision
from replicante.model.discovery import ClusterDiscovery
from replicante.model.node import Node, NodeStatus, StoreExtras
from replicante.model.records import Record
from replicante.model.report import OrchestrateReport
from replicante.model.shard import Shard

_KINDS: dict[type[Record], RecordKind] = {
    ClusterDiscovery: RecordKind.CLUSTER_DISCOVERY,
    Node: RecordKind.NODE,
    StoreExtras: RecordKind.STORE_EXTRAS,
    Shard: RecordKind.SHARD,
    NAction: RecordKind.NACTION,
    OAction: RecordKind.OACTION,
    ConvergeState: RecordKind.CONVERGE_STATE,
    Decision: RecordKind.DECISION,
    OrchestrateReport: RecordKind.REPORT,
}


def change(
    before: Record | None,
    after: Record | None,
    code: ChangeCode | None,
    *,
    cause: str | None = None,
) -> Change:
    record = after if after is not None else before
    assert record is not None, "a change is of something"
    return Change(
        kind=_KINDS[type(record)],
        key=record_key(record),
        before=None if before is None else before.to_value(),
        after=None if after is None else after.to_value(),
        code=code,
        cause=cause,
    )


def record_key(record: Record) -> tuple[str, ...]:
    """From the namespace downwards, as RecordKind says."""
    match record:
        case Node() | StoreExtras():
            return record.ns_id, record.cluster_id, record.node_id
        case Shard():
            return record.ns_id, record.cluster_id, record.node_id, record.shard_id
        case NAction() | OAction():
            return record.ns_id, record.cluster_id, record.action_id
        case Decision():
            return record.ns_id, record.cluster_id, record.decision_id
        case ClusterDiscovery() | ConvergeState() | OrchestrateReport():
            return record.ns_id, record.cluster_id
        case ActionHistoryEntry():
            raise AssertionError("history is kept by the tables, from the changes of the action")
    raise AssertionError(f"{type(record).__name__} is not stored by a cycle")


def node_code(before: Node | None, after: Node) -> ChangeCode:
    """The most telling event of a change: the agent's coming and going, then the store's."""
    if before is None:
        return ChangeCode.NODE_SYNC_NEW
    old, new = before.node_status, after.node_status
    if old is not new:
        if new is NodeStatus.UNREACHABLE:
            return ChangeCode.AGENT_DOWN
        if new is NodeStatus.UNAVAILABLE:
            return ChangeCode.NODE_DOWN
        if old is NodeStatus.UNREACHABLE:
            return ChangeCode.AGENT_UP
        if old is NodeStatus.UNAVAILABLE:
            return ChangeCode.NODE_UP
    return ChangeCode.NODE_SYNC_UPDATE


def naction_code(before: NAction, after: NAction) -> ChangeCode:
    if after.phase is NActionPhase.LOST:
        return ChangeCode.NACTION_LOST
    if after.phase is NActionPhase.CANCELLED:
        return ChangeCode.NACTION_CANCEL
    if after.phase.is_final and not before.phase.is_final:
        return ChangeCode.NACTION_FINISH
    return ChangeCode.NACTION_SYNC_UPDATE
