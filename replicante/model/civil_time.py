"""Civil time in whole milliseconds: RFC 3339 in UTC, weekdays, minutes of a day. Pure.

Called by the declarations (end of a mode, maintenance windows) and by `orchestrate`. Arithmetic on
integers alone: the libraries of two Python versions accept different texts.
"""

from __future__ import annotations

import re

DAY_MS = 86_400_000
MINUTE_MS = 60_000

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|\+00:00)"
)
_MINUTE = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_rfc3339_ms(text: str) -> int | None:
    """Milliseconds since 1970 of a time in UTC; None when it is none, or not in UTC.

    Digits below a millisecond are cut. Leap seconds are refused.
    """
    match = _TIME.fullmatch(text) if text.isascii() else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    if not 1 <= month <= 12 or not 1 <= day <= _days_of_month(year, month):
        return None
    if hour > 23 or minute > 59 or second > 59 or year < 1970:
        return None
    milli = int((match[7] or "").ljust(3, "0")[:3])
    days = _days_since_epoch(year, month, day)
    return days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000 + milli


def format_rfc3339(wall_ms: int) -> str:
    """As `2026-12-01T06:00:00Z`; with milliseconds where there are any."""
    days, rest_ms = divmod(wall_ms, DAY_MS)
    year, month, day = _date(days)
    seconds, milli = divmod(rest_ms, 1_000)
    text = f"{year:04d}-{month:02d}-{day:02d}T"
    text += f"{seconds // 3_600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{milli:03d}Z" if milli else f"{text}Z"


def parse_minute_of_day(text: str) -> int | None:
    """Minutes since midnight of `HH:MM`; None when it is none."""
    match = _MINUTE.fullmatch(text) if text.isascii() else None
    return None if match is None else int(match[1]) * 60 + int(match[2])


def weekday(wall_ms: int) -> int:
    """0 is Monday. The first day of 1970 was a Thursday."""
    return (wall_ms // DAY_MS + 3) % 7


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_of_month(year: int, month: int) -> int:
    return 29 if month == 2 and _is_leap(year) else _MONTH_DAYS[month - 1]


def _days_since_epoch(year: int, month: int, day: int) -> int:
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - 719_162
    for earlier in range(1, month):
        days += _days_of_month(year, earlier)
    return days + day - 1


def _date(days: int) -> tuple[int, int, int]:
    year = 1970 + days // 366
    while _days_since_epoch(year + 1, 1, 1) <= days:
        year += 1
    month = 1
    while month < 12 and _days_since_epoch(year, month + 1, 1) <= days:
        month += 1
    return year, month, days - _days_since_epoch(year, month, 1) + 1
