"""The declared bounds of what automation may risk: loss, times, confirmations, windows. Pure.

Called by `cluster_declaration`; read by the safety rules of `orchestrate`. The defaults are
cautious: widening them is a decision of the people who own the data.
"""

from __future__ import annotations

import enum

from replicante.limits import (
    CONFIRMATIONS_MAX,
    GRACE_MS_MAX,
    INTEGER_MAX,
    MAINTENANCE_WINDOWS_MAX,
)
from replicante.model.civil_time import DAY_MS, MINUTE_MS, parse_minute_of_day, weekday
from replicante.model.codec import Path, Value
from replicante.model.records import Record
from replicante.model.violations import Violations
from replicante.wire.durations import format_duration_ms


class Weekday(enum.StrEnum):
    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


_WEEKDAYS = tuple(Weekday)


class MaintenanceWindow(Record, frozen=True, kw_only=True):
    """A time of the week, in UTC, in which planned work may disturb the cluster."""

    days: tuple[Weekday, ...]
    start_minute: int
    """Since midnight."""
    length_ms: int
    """May reach into the next days; at most a week."""

    def holds_at(self, wall_ms: int) -> bool:
        """Its start within, its end without."""
        for days_ago in range(self.length_ms // DAY_MS + 2):
            day_ms = (wall_ms // DAY_MS - days_ago) * DAY_MS
            start_ms = day_ms + self.start_minute * MINUTE_MS
            is_open = start_ms <= wall_ms < start_ms + self.length_ms
            if is_open and _WEEKDAYS[weekday(day_ms)] in self.days:
                return True
        return False

    def to_spec(self) -> dict[str, Value]:
        return {
            "days": [str(day) for day in self.days],
            "start": f"{self.start_minute // 60:02d}:{self.start_minute % 60:02d}",
            "duration": format_duration_ms(self.length_ms),
        }


class Policies(Record, frozen=True, kw_only=True):
    data_loss_offset_max: int | None = 0
    """How far, in the unit of the shard's offset, a replica that is promoted may be behind the
    greatest offset that was seen. 0: nothing known to be acknowledged may be lost. None: no
    bound is known, so every failover asks."""
    confirmations_min: int = 3
    """A failure without proof (silence) is believed after so many cycles in a row."""
    confirm_ms_min: int = 3_000
    """And not before it lasted this long: a fast trigger must not shorten it."""
    quiet_ms: int = 300_000
    """After roles changed: nothing disruptive, so that flapping costs one recovery, not many."""
    failures_max: int = 3
    """A step that failed so often in a row asks for approval."""
    is_protecting_writes: bool = False
    """The primary is to refuse writes that no replica hears of, where the store can: nothing
    acknowledged is lost then, and the death of all replicas stops writes."""
    is_unheard_loss_accepted: bool = False
    """A failover goes ahead also when the replica had lost the primary before we did, so that
    nobody knows what was written since. Else a person is asked."""


def read_policies(value: Value, path: Path, violations: Violations) -> Policies:
    fields = violations.mapping(
        value,
        path,
        fields=(
            "data_loss_offset",
            "confirmations",
            "confirm_for",
            "quiet_period",
            "failures_max",
            "protect_writes",
            "accept_unheard_loss",
        ),
    )
    default = Policies()
    offset_max = fields.get("data_loss_offset", default.data_loss_offset_max)
    if offset_max is not None:
        offset_max = violations.integer(
            offset_max, (*path, "data_loss_offset"), lowest=0, highest=INTEGER_MAX
        )
    return Policies(
        data_loss_offset_max=offset_max,
        confirmations_min=violations.integer(
            fields.get("confirmations", default.confirmations_min),
            (*path, "confirmations"),
            lowest=1,
            highest=CONFIRMATIONS_MAX,
        ),
        confirm_ms_min=read_length(
            fields.get("confirm_for"), (*path, "confirm_for"), default.confirm_ms_min, violations
        ),
        quiet_ms=read_length(
            fields.get("quiet_period"), (*path, "quiet_period"), default.quiet_ms, violations
        ),
        failures_max=violations.integer(
            fields.get("failures_max", default.failures_max),
            (*path, "failures_max"),
            lowest=1,
            highest=CONFIRMATIONS_MAX,
        ),
        is_protecting_writes=violations.boolean(
            fields.get("protect_writes", False), (*path, "protect_writes"), default=False
        ),
        is_unheard_loss_accepted=violations.boolean(
            fields.get("accept_unheard_loss", False),
            (*path, "accept_unheard_loss"),
            default=False,
        ),
    )


def read_length(value: Value, path: Path, default_ms: int, violations: Violations) -> int:
    """A duration of at most GRACE_MS_MAX; a bare number counts minutes, as the original's graces
    do; None is the default."""
    if value is None:
        return default_ms
    return violations.duration_ms(
        value, path, default_ms=default_ms, unit_ms=MINUTE_MS, highest_ms=GRACE_MS_MAX
    )


def policies_spec(policies: Policies) -> dict[str, Value]:
    return {
        "data_loss_offset": policies.data_loss_offset_max,
        "confirmations": policies.confirmations_min,
        "confirm_for": format_duration_ms(policies.confirm_ms_min),
        "quiet_period": format_duration_ms(policies.quiet_ms),
        "failures_max": policies.failures_max,
        "protect_writes": policies.is_protecting_writes,
        "accept_unheard_loss": policies.is_unheard_loss_accepted,
    }


def read_windows(value: Value, path: Path, violations: Violations) -> tuple[MaintenanceWindow, ...]:
    windows: list[MaintenanceWindow] = []
    for i, item in enumerate(violations.items(value, path, count_max=MAINTENANCE_WINDOWS_MAX)):
        windows.append(_read_window(item, (*path, i), violations))
    return tuple(windows)


def _read_window(value: Value, path: Path, violations: Violations) -> MaintenanceWindow:
    fields = violations.mapping(value, path, fields=("days", "start", "duration"))
    given = violations.items(
        fields.get("days", [str(day) for day in Weekday]), (*path, "days"), count_max=len(Weekday)
    )
    days = {
        violations.choice(day, (*path, "days", i), Weekday, default=Weekday.MONDAY)
        for i, day in enumerate(given)
    }
    start = fields.get("start")
    start_minute = parse_minute_of_day(start) if isinstance(start, str) else None
    if start_minute is None:
        violations.add((*path, "start"), "must be a time of the day in UTC as 02:30")
    length_ms = read_length(fields.get("duration"), (*path, "duration"), 0, violations)
    if not 0 < length_ms <= 7 * DAY_MS:
        violations.add((*path, "duration"), "must be above 0s and at most 7d")
    return MaintenanceWindow(
        days=tuple(day for day in Weekday if day in days),
        start_minute=start_minute or 0,
        length_ms=length_ms,
    )
