"""Collects every fault of a user's object, so that one answer names them all. Pure.

Called by the kinds of this room; the reader functions take a field, check it and take note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from replicante.errors import Invalid
from replicante.limits import NAME_PATTERN
from replicante.model.codec import Path, Value, format_path

_NAME = re.compile(NAME_PATTERN)


class Violations:
    """Faults in the order in which they were found."""

    def __init__(self) -> None:
        self._found: list[dict[str, str]] = []

    def add(self, path: Path, message: str) -> None:
        self._found.append({"path": format_path(path), "message": message})

    def raise_if_any(self) -> None:
        """Invalid with the path of the first fault and all of them in `violations`."""
        if not self._found:
            return
        first = self._found[0]
        text = "; ".join(f"{fault['path'] or 'body'}: {fault['message']}" for fault in self._found)
        raise Invalid(text, path=first["path"], violations=self._found)

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
