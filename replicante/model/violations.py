"""Collects every fault of a user's object, so that one answer names them all. Pure.

Called by the kinds of this room; the reader functions take a field, check it and take note.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import TypeVar

from replicante.errors import Invalid
from replicante.limits import NAME_PATTERN
from replicante.model.codec import Path, Value, format_path
from replicante.wire.durations import format_duration_ms, parse_duration_ms

_Choice = TypeVar("_Choice", bound=enum.StrEnum)
_NAME = re.compile(NAME_PATTERN)


class Violations:
    """Faults in the order in which they were found."""

    def __init__(self) -> None:
        self._found: list[dict[str, str]] = []

    def add(self, path: Path, message: str) -> None:
        self._found.append({"path": format_path(path), "message": message})

    def raise_if_any(self, **details: Value) -> None:
        """Invalid with the path of the first fault and all of them in `violations`."""
        if not self._found:
            return
        first = self._found[0]
        text = "; ".join(f"{fault['path'] or 'body'}: {fault['message']}" for fault in self._found)
        raise Invalid(text, path=first["path"], violations=self._found, **details)

    def mapping(self, value: Value, path: Path, *, fields: tuple[str, ...]) -> Mapping[str, Value]:
        """`value` when it is a map, else an empty one; fields beyond `fields` are faults."""
        if not isinstance(value, dict):
            self.add(path, f"must be a map, not {describe(value)}")
            return {}
        for name in value:
            if name not in fields:
                known = ", ".join(fields)
                self.add((*path, str(name)), f"unknown field; known here: {known}")
        return value

    def name(self, value: Value, path: Path) -> str:
        """A name as in NAME_PATTERN; empty after a fault."""
        if not isinstance(value, str):
            self.add(path, f"must be a name, not {describe(value)}")
            return ""
        if not _NAME.fullmatch(value):
            self.add(
                path,
                "must be 1 to 128 of A-Z a-z 0-9 . _ - and begin and end with a letter or digit",
            )
            return ""
        return value

    def integer(self, value: Value, path: Path, *, lowest: int, highest: int) -> int:
        """A whole number within the bounds, both included; `lowest` after a fault."""
        if type(value) is not int:
            self.add(path, f"must be a whole number, not {describe(value)}")
            return lowest
        if not lowest <= value <= highest:
            self.add(path, f"must be {lowest} to {highest}")
            return lowest
        return value

    def boolean(self, value: Value, path: Path, *, default: bool) -> bool:
        """True or false; `default` after a fault."""
        if type(value) is bool:
            return value
        self.add(path, f"must be true or false, not {describe(value)}")
        return default

    def text(self, value: Value, path: Path) -> str:
        """Text that is not empty; empty after a fault."""
        if not isinstance(value, str):
            self.add(path, f"must be text, not {describe(value)}")
            return ""
        if not value:
            self.add(path, "must not be empty")
        return value

    def choice(
        self, value: Value, path: Path, choices: type[_Choice], *, default: _Choice
    ) -> _Choice:
        """A member of an enum by its text; `default` after a fault."""
        for member in choices:
            if value == str(member) and isinstance(value, str):
                return member
        self.add(path, f"must be one of {', '.join(str(member) for member in choices)}")
        return default

    def items(self, value: Value, path: Path, *, count_max: int) -> tuple[Value, ...]:
        """A list of at most `count_max` values; empty after a fault."""
        if not isinstance(value, list | tuple):
            self.add(path, f"must be a list, not {describe(value)}")
            return ()
        if len(value) > count_max:
            self.add(path, f"must be at most {count_max} items")
            return ()
        return tuple(value)

    def duration_ms(
        self, value: Value, path: Path, *, default_ms: int, unit_ms: int, highest_ms: int
    ) -> int:
        """A duration as `90s`, or a whole number of the unit that the original means here.

        Milliseconds; `default_ms` after a fault.
        """
        if type(value) is int:
            duration_ms = value * unit_ms
        elif isinstance(value, str) and (parsed := parse_duration_ms(value)) is not None:
            duration_ms = parsed
        else:
            self.add(path, f"must be a duration as 90s or 1h30m, not {describe(value)}")
            return default_ms
        if not 0 <= duration_ms <= highest_ms:
            self.add(path, f"must be 0s to {format_duration_ms(highest_ms)}")
            return default_ms
        return duration_ms

    def text_or_none(self, value: Value, path: Path) -> str | None:
        if value is None or isinstance(value, str):
            return value
        self.add(path, f"must be text or null, not {describe(value)}")
        return None


def describe(value: Value) -> str:
    """The kind of a value in the words of JSON."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "a map")
