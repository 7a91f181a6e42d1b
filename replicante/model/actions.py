"""Actions on nodes and of the orchestrator: their records, phases, and which step follows which.
Pure.

Called by `orchestrate`, `state` (approve, reject, cancel) and `api`. Phases are the original's.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from replicante.model.codec import Value
from replicante.model.records import Record


class NActionPhase(enum.StrEnum):
    """Stored: a text is never reused."""

    PENDING_APPROVE = "PENDING_APPROVE"
    PENDING_SCHEDULE = "PENDING_SCHEDULE"
    """May be sent; when `sent_epoch` is set it may already be at the agent."""
    NEW = "NEW"
    """The agent has it."""
    RUNNING = "RUNNING"
    CANCELLED = "CANCELLED"
    DONE = "DONE"
    FAILED = "FAILED"
    LOST = "LOST"
    """The agent was asked for this very action and does not know it, though it had it, or may have
    had it before it lost what it keeps."""

    @property
    def is_final(self) -> bool:
        return self in NACTION_FINAL

    @property
    def is_pending(self) -> bool:
        return self in (NActionPhase.PENDING_APPROVE, NActionPhase.PENDING_SCHEDULE)

    def may_become(self, next_phase: NActionPhase, *, is_sent: bool) -> bool:
        """is_sent: it left for its agent; what did not cannot be lost there, and of what did
        nobody is asked any more."""
        is_unsent_loss = next_phase is NActionPhase.LOST and self.is_pending and not is_sent
        is_late_question = next_phase is NActionPhase.PENDING_APPROVE and is_sent
        return next_phase in _NACTION_NEXT[self] and not (is_unsent_loss or is_late_question)


NACTION_FINAL = frozenset(
    {NActionPhase.CANCELLED, NActionPhase.DONE, NActionPhase.FAILED, NActionPhase.LOST}
)
_ENDS_AT_AGENT = {NActionPhase.DONE, NActionPhase.FAILED, NActionPhase.CANCELLED}
_NACTION_NEXT: dict[NActionPhase, frozenset[NActionPhase]] = {
    NActionPhase.PENDING_APPROVE: frozenset(
        {NActionPhase.PENDING_SCHEDULE, NActionPhase.CANCELLED}
    ),
    # Between two cycles an agent may take an action, run it and end it. Before it leaves a rule may
    # ask a person about it.
    NActionPhase.PENDING_SCHEDULE: frozenset(
        {
            NActionPhase.PENDING_APPROVE,
            NActionPhase.NEW,
            NActionPhase.RUNNING,
            NActionPhase.LOST,
        }
        | _ENDS_AT_AGENT
    ),
    NActionPhase.NEW: frozenset({NActionPhase.RUNNING, NActionPhase.LOST} | _ENDS_AT_AGENT),
    NActionPhase.RUNNING: frozenset({NActionPhase.LOST} | _ENDS_AT_AGENT),
    **{phase: frozenset() for phase in NACTION_FINAL},
}


class OActionPhase(enum.StrEnum):
    """Stored: a text is never reused."""

    PENDING_APPROVE = "PENDING_APPROVE"
    PENDING_SCHEDULE = "PENDING_SCHEDULE"
    RUNNING = "RUNNING"
    CANCELLED = "CANCELLED"
    DONE = "DONE"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        return self in OACTION_FINAL

    def may_become(self, next_phase: OActionPhase) -> bool:
        return next_phase in _OACTION_NEXT[self]


OACTION_FINAL = frozenset({OActionPhase.CANCELLED, OActionPhase.DONE, OActionPhase.FAILED})
_OACTION_NEXT: dict[OActionPhase, frozenset[OActionPhase]] = {
    OActionPhase.PENDING_APPROVE: frozenset(
        {OActionPhase.PENDING_SCHEDULE, OActionPhase.CANCELLED}
    ),
    OActionPhase.PENDING_SCHEDULE: frozenset(
        OACTION_FINAL | {OActionPhase.PENDING_APPROVE, OActionPhase.RUNNING}
    ),
    OActionPhase.RUNNING: OACTION_FINAL,
    **{phase: frozenset() for phase in OACTION_FINAL},
}


class Requester(enum.StrEnum):
    """Who asked for the action."""

    AGENT_API = "AGENT_API"
    CORE_API = "CORE_API"
    CORE_DECLARATIVE = "CORE_DECLARATIVE"
    CORE_PLAYBOOK = "CORE_PLAYBOOK"


class NAction(Record, frozen=True, kw_only=True):
    ns_id: str
    cluster_id: str
    node_id: str
    action_id: str
    """A UUID in text."""
    kind: str
    args: Value = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    """Sent along to the agent: trace ids, tags of people."""
    requester: Requester = Requester.CORE_API
    cause: str | None = None
    """The decision or orchestrator action that it serves."""
    created_ms: int
    """Cluster clock: what is done first."""
    created_wall_ms: int
    """For people and for the agent's `created_time`."""
    scheduled_wall_ms: int | None = None
    """When the agent took it, by the agent's clock."""
    finished_ms: int | None = None
    finished_wall_ms: int | None = None
    phase: NActionPhase
    error: Value = None
    payload: Value = None
    attempts_count: int = 0
    """Submissions that failed in a row."""
    sent_epoch: int | None = None
    """The epoch of the first submission, written before it left: from then on the agent may have
    the action whatever was heard of it."""
    deadline_ms: int | None = None
    """Cluster clock after which it is not sent any more, and does not begin."""
    sent_to: str | None = None
    """The incarnation of the agent that it is for, written with `sent_epoch`: another one does not
    take it. None: that agent tells none."""
    asked: dict[str, dict[str, Value]] = msgspec.field(default_factory=dict)
    """Rule that asks a person about it → what it asks for, in figures and names. If it waits no
    more, one approved these."""

    approved_ms: int | None = None
    """Cluster clock: when a person approved it last; None: nobody did."""
    approved_wall_ms: int | None = None
    """The same, for people."""

    later: ClassVar[tuple[str, ...]] = ("sent_to", "asked", "approved_ms", "approved_wall_ms")

    @property
    def may_be_at_agent(self) -> bool:
        return not self.phase.is_final and (
            not self.phase.is_pending or self.sent_epoch is not None
        )


class OAction(Record, frozen=True, kw_only=True):
    ns_id: str
    cluster_id: str
    action_id: str
    kind: str
    args: Value = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    requester: Requester = Requester.CORE_API
    cause: str | None = None
    created_ms: int
    created_wall_ms: int
    scheduled_ms: int | None = None
    """Cluster clock of the first invocation."""
    finished_ms: int | None = None
    finished_wall_ms: int | None = None
    phase: OActionPhase
    payload: Value = None
    error: Value = None
    timeout_ms: int | None = None
    """None: the kind's."""
    asked: dict[str, dict[str, Value]] = msgspec.field(default_factory=dict)
    """As of a node action."""
    approved_ms: int | None = None
    """As of a node action."""
    approved_wall_ms: int | None = None
    """As of a node action."""

    later: ClassVar[tuple[str, ...]] = ("asked", "approved_ms", "approved_wall_ms")


class ActionOrigin(enum.StrEnum):
    AGENT = "AGENT"
    CORE = "CORE"


class ActionHistoryEntry(Record, frozen=True, kw_only=True):
    """One transition of an action, kept as long as the action."""

    ns_id: str
    cluster_id: str
    node_id: str | None
    """None for an orchestrator action."""
    action_id: str
    origin: ActionOrigin
    at_ms: int
    wall_ms: int
    phase: str
    payload: Value = None
    error: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IllegalTransition:
    """Why an action stays as it is. A value: users cause it."""

    before: str
    after: str


def move_naction(
    action: NAction, phase: NActionPhase, *, now_ms: int, wall_ms: int
) -> NAction | IllegalTransition:
    """The action in its next phase; the time of its end is set when the phase is final."""
    if not action.phase.may_become(phase, is_sent=action.sent_epoch is not None):
        return IllegalTransition(before=str(action.phase), after=str(phase))
    if not phase.is_final:
        return msgspec.structs.replace(action, phase=phase)
    return msgspec.structs.replace(
        action, phase=phase, finished_ms=now_ms, finished_wall_ms=wall_ms
    )


def move_oaction(
    action: OAction, phase: OActionPhase, *, now_ms: int, wall_ms: int
) -> OAction | IllegalTransition:
    """As `move_naction`."""
    if not action.phase.may_become(phase):
        return IllegalTransition(before=str(action.phase), after=str(phase))
    if not phase.is_final:
        return msgspec.structs.replace(action, phase=phase)
    return msgspec.structs.replace(
        action, phase=phase, finished_ms=now_ms, finished_wall_ms=wall_ms
    )
