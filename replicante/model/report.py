"""The report of one cycle: the original's notes together with the counts of its elder. Pure.

Made by `orchestrate` for every cycle, a failed one too; the latest of a cluster is kept.
"""

from __future__ import annotations

import enum

import msgspec

from replicante.model.codec import Value
from replicante.model.records import Record


class NoteCategory(enum.StrEnum):
    DECISION = "Decision"
    ERROR = "Error"


class Note(Record, frozen=True, kw_only=True):
    category: NoteCategory
    message: str
    data: dict[str, Value] = msgspec.field(default_factory=dict)
    """Well-known: node_id, action_id, step_id, details."""


class SchedulingChoice(enum.StrEnum):
    """Why actions were or were not let through."""

    DEFAULT_TO_ALL = "DEFAULT_TO_ALL"
    FOUND_NODE_PENDING = "FOUND_NODE_PENDING"
    FOUND_NODE_RUNNING = "FOUND_NODE_RUNNING"
    FOUND_ORCHESTRATOR_EXCLUSIVE_RUNNING = "FOUND_ORCHESTRATOR_EXCLUSIVE_RUNNING"
    MODE_FORBIDS = "MODE_FORBIDS"


class OrchestrateReport(Record, frozen=True, kw_only=True):
    ns_id: str
    cluster_id: str
    mode: str
    """`sync`, `observe` or `delete`, in the original's words."""
    start_wall_ms: int
    start_ms: int
    is_success: bool
    error: str | None = None
    notes: tuple[Note, ...] = ()
    choices: tuple[SchedulingChoice, ...] = ()
    nodes_synced_count: int = 0
    nodes_failed_count: int = 0
    nactions_sent_count: int = 0
    nactions_send_failed_count: int = 0
    nactions_lost_count: int = 0
    decision_id: str | None = None
