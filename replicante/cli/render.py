"""Turns values into text for terminals and programs. Pure; called by every command.

Rule: nothing that a user stored can command the terminal: control characters are shown, not sent.
"""

from __future__ import annotations

import enum
import json
import unicodedata
from collections.abc import Sequence

import msgspec
import yaml

from replicante.wire.values import Json

GAP = "   "
CELL_WIDTH_MAX = 100


class Output(enum.Enum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def plain(value: object) -> Json:
    """Wire structs as dicts, lists and scalars."""
    return msgspec.to_builtins(value)


def json_text(value: object) -> str:
    """For people and programs: indented, readable characters as they are."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False)
    return "\n".join(map(shown, text.split("\n")))


def json_line(value: object) -> str:
    """One line: for streams, and for values in a table."""
    return shown(json.dumps(plain(value), ensure_ascii=False, separators=(",", ":")))


def yaml_text(value: object) -> str:
    text = yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True)
    return str(text).rstrip("\n").removesuffix("\n...")


def document(value: object, output: Output) -> str:
    """A whole value, for the outputs that are not a table."""
    return yaml_text(value) if output is Output.YAML else json_text(value)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell; no trailing blanks. None is shown as `-`. The first
    column names things, so it is never cut: half a name cannot be typed."""
    lines = [list(header), *([_whole(row[0]), *map(_cell, row[1:])] for row in rows)]
    widths = [max(width(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        GAP.join(
            cell + " " * (size - width(cell)) for cell, size in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def pairs(rows: Sequence[tuple[str, object]]) -> str:
    """Names and values below each other, whole."""
    size = max(width(name) for name, _ in rows)
    return "\n".join(
        f"{name}{' ' * (size - width(name))}{GAP}{_whole(value)}" for name, value in rows
    )


def shown(text: str) -> str:
    """The text with control characters, and those that turn the direction of writing, written as
    JSON escapes; what was JSON stays JSON."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def cut(text: str, *, width_max: int) -> str:
    """At most so many columns, with `…` for what is left out."""
    if width(text) <= width_max:
        return text
    kept, used = [], 0
    for character in text:
        used += _columns(character)
        if used > width_max - 1:
            break
        kept.append(character)
    return "".join(kept) + "…"


def width(text: str) -> int:
    """Columns in a terminal."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _cell(value: object) -> str:
    return cut(_whole(value), width_max=CELL_WIDTH_MAX)


def _whole(value: object) -> str:
    if value is None:
        return "-"
    return shown(value if isinstance(value, str) else json_line(value))
