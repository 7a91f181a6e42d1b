"""An action as the agent keeps it, its phases, and what one step of it may come to. Pure.

Called by every file of this room. Phases and fields are the original's.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from replicante.model.civil_time import format_rfc3339
from replicante.model.codec import Value


class Phase(enum.StrEnum):
    """Stored: a text is never reused."""

    NEW = "NEW"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self not in (Phase.NEW, Phase.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for. All times are of this machine's wall clock."""

    action_id: str
    kind: str
    args: Value = None
    metadata: dict[str, str] = field(default_factory=dict)
    created_wall_ms: int
    deadline_wall_ms: int | None = None
    """An action that did not begin by then does not begin. None: it may always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAction:
    order: Order
    phase: Phase
    scheduled_wall_ms: int
    finished_wall_ms: int | None = None
    error: Value = None
    payload: Value = None
    """What the last step left for the next one."""
    is_cancel_asked: bool = False

    def to_wire(self, history: list[dict[str, Value]]) -> dict[str, Value]:
        order = self.order
        return {
            "id": order.action_id,
            "kind": order.kind,
            "args": order.args,
            "metadata": dict(order.metadata),
            "created_time": format_rfc3339(order.created_wall_ms),
            "scheduled_time": format_rfc3339(self.scheduled_wall_ms),
            "deadline_time": _time(order.deadline_wall_ms),
            "finished_time": _time(self.finished_wall_ms),
            "state": {"phase": str(self.phase), "error": self.error, "payload": self.payload},
            "history": list(history),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What became of one call of a handler: made by `done`, `failed`, `again`."""

    phase: Phase
    payload: Value = None
    error: Value = None
    pause_ms: int = 0
    """Before the next step; something new for the agent may shorten it."""


def done(payload: Value = None) -> Step:
    """The wanted state is reached, by this step or before it."""
    return Step(phase=Phase.DONE, payload=payload)


def failed(message: str, payload: Value = None) -> Step:
    """The wanted state is not reached, and another step would not help."""
    return Step(phase=Phase.FAILED, error={"error_msg": message}, payload=payload)


def again(payload: Value = None, *, pause_ms: int = 200) -> Step:
    """Not there yet: the handler is called again with this payload, also by the next process."""
    return Step(phase=Phase.RUNNING, payload=payload, pause_ms=pause_ms)


class Refusal(Exception):
    """What the agent answers instead of an answer; raised within this room only."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _time(wall_ms: int | None) -> str | None:
    return None if wall_ms is None else format_rfc3339(wall_ms)
