"""What the control plane may do with a cluster: its own setting, and that of its namespace. Pure.

Called by `cluster_spec`, `namespace` and `orchestrate`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from replicante.model.civil_time import format_rfc3339, parse_rfc3339_ms
from replicante.model.codec import Path, Value
from replicante.model.violations import Violations


class Mode(enum.StrEnum):
    """Stored: a text is never reused."""

    OBSERVE = "observe"
    """See, explain, say what would have been done; start nothing."""
    ACTIVE = "active"
    PAUSED = "paused"
    """As observe; and actions that wait are not sent either, whoever asked for them."""


_STRICTNESS = {Mode.ACTIVE: 0, Mode.OBSERVE: 1, Mode.PAUSED: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeSetting:
    mode: Mode = Mode.OBSERVE
    actor: str | None = None
    """Who set it."""
    reason: str | None = None
    until_wall_ms: int | None = None
    """When it ends by itself; a mode that has ended is `observe`: automation that was switched on
    for a time stops, and a pause that was forgotten goes back to watching, never to acting."""

    def in_force(self, *, wall_now_ms: int) -> Mode:
        if self.until_wall_ms is not None and wall_now_ms >= self.until_wall_ms:
            return Mode.OBSERVE
        return self.mode

    def explained(self, *, wall_now_ms: int) -> str:
        """Why it is so, for people."""
        if self.in_force(wall_now_ms=wall_now_ms) is not self.mode:
            return f"{self.mode} ended by itself"
        reason = self.reason or ("set by declaration" if self.actor else "declared")
        return f"{self.actor}: {reason}" if self.actor else reason

    def to_spec(self) -> dict[str, Value]:
        until = self.until_wall_ms
        return {
            "mode": str(self.mode),
            "actor": self.actor,
            "reason": self.reason,
            "until": None if until is None else format_rfc3339(until),
        }


def stricter(first: Mode, second: Mode) -> Mode:
    return max(first, second, key=_STRICTNESS.__getitem__)


def read_mode(value: Value, path: Path, violations: Violations) -> ModeSetting:
    """The short form is the bare name of the mode."""
    if isinstance(value, str):
        return ModeSetting(mode=violations.choice(value, path, Mode, default=Mode.OBSERVE))
    fields = violations.mapping(value, path, fields=("mode", "actor", "reason", "until"))
    until, until_ms = fields.get("until"), None
    if until is not None:
        until_ms = parse_rfc3339_ms(until) if isinstance(until, str) else None
        if until_ms is None:
            violations.add((*path, "until"), "must be a time in UTC as 2026-12-01T06:00:00Z")
    return ModeSetting(
        mode=violations.choice(fields.get("mode"), (*path, "mode"), Mode, default=Mode.OBSERVE),
        actor=violations.text_or_none(fields.get("actor"), (*path, "actor")),
        reason=violations.text_or_none(fields.get("reason"), (*path, "reason")),
        until_wall_ms=until_ms,
    )
