"""Answers about what the control plane knows of a cluster. Fields as the records in `model`."""

from __future__ import annotations

from replicante.wire.values import Answer, Json


class DiscoveryAnswer(Answer, frozen=True, kw_only=True):
    """held: an answer of the platform that is not believed yet, null when there is none."""

    ns_id: str
    cluster_id: str
    nodes: tuple[dict[str, Json], ...]
    platform: str | None = None
    held: dict[str, Json] | None = None


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
