"""Durations as people write them: `250ms`, `30s`, `1m`, `1h30m`, `7d`. Pure."""

from __future__ import annotations

import re

_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_PATTERN = re.compile(
    r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m(?!s))?(?:([0-9]{1,9})s)?"
    r"(?:([0-9]{1,12})ms)?"
)


def parse_duration_ms(text: str) -> int | None:
    """Milliseconds, or None when the text is no duration.

    text: one to five pairs of whole number and unit, units d, h, m, s, ms in this order, each at
    most once, no spaces, no sign. `0s` is a duration, `0`, `1.5s` and the empty text are not.
    """
    match = _PATTERN.fullmatch(text) if text and text.isascii() else None
    if match is None:
        return None
    counts = zip(match.groups(), _UNITS_MS.values(), strict=True)
    return sum(int(count) * unit_ms for count, unit_ms in counts if count is not None)


def format_duration_ms(duration_ms: int) -> str:
    """The shortest text that parses to the same; whole numbers of one unit where that is exact."""
    assert duration_ms >= 0
    if duration_ms == 0:
        return "0s"
    parts: list[str] = []
    rest_ms = duration_ms
    for unit, unit_ms in _UNITS_MS.items():
        count, rest_ms = divmod(rest_ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
