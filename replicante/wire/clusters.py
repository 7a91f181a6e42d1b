"""Answers about what the control plane knows of a cluster. Fields as the records in `model`."""

from __future__ import annotations

import msgspec

from replicante.wire.shapes import NodeIds, RecordReason
from replicante.wire.values import Answer, Json, Request


class DiscoveryAnswer(Answer, frozen=True, kw_only=True):
    """held: an answer of the platform that is not believed yet, null when there is none."""

    ns_id: str
    cluster_id: str
    nodes: tuple[dict[str, Json], ...]
    platform: str | None = None
    held: dict[str, Json] | None = None


class ApproveDiscovery(Request, frozen=True, kw_only=True):
    """gone: ids of all nodes that the held answer leaves out; others than these are a conflict.
    reason: for the event."""

    gone: NodeIds
    reason: RecordReason = ""


class DiscoveryApproved(Answer, frozen=True, kw_only=True):
    revision: str


class ReportAnswer(Answer, frozen=True, kw_only=True):
    """mode: `sync`, `observe` or `delete`."""

    ns_id: str
    cluster_id: str
    mode: str
    start_wall_ms: int
    start_ms: int
    is_success: bool
    error: str | None = None
    notes: tuple[dict[str, Json], ...] = ()
    choices: tuple[str, ...] = ()
    nodes_synced_count: int = 0
    nodes_failed_count: int = 0
    nactions_sent_count: int = 0
    nactions_send_failed_count: int = 0
    nactions_lost_count: int = 0
    decision_id: str | None = None


class ViewAnswer(Answer, frozen=True, kw_only=True):
    """As one cycle reads it. discovery: null while the platform said nothing. shards: by node, then
    by id. nactions_by_node, oactions_unfinished: in the order of their creation."""

    spec: dict[str, Json]
    discovery: dict[str, Json] | None
    nodes: dict[str, Json]
    store_extras: dict[str, Json]
    shards: dict[str, dict[str, Json]]
    nactions_by_node: dict[str, list[Json]]
    oactions_unfinished: list[Json]


class WorkRequested(Answer, frozen=True, kw_only=True):
    """is_new: False when the work was asked for already and has not begun."""

    task_id: str
    is_new: bool


class PlatformRunAnswer(Answer, frozen=True, kw_only=True):
    """refused: cluster to why its part of the answer was not taken."""

    start_ms: int
    start_wall_ms: int
    is_success: bool
    error: str | None = None
    refused: dict[str, str] = msgspec.field(default_factory=dict)
