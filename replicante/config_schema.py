"""The list of all settings, read off the sections of config.py, and how a value is read. Pure.

Called by `config_load` and by the command line. Rule: a setting is declared once, as a field of a
section; its name in a file, its environment variable and its flag all follow from that field.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from replicante import limits
from replicante.config import PeerConfig

ENVIRONMENT_PREFIX = "REPLICANTE_"
TEXT_BYTES_MAX = 64 * limits.KIB

Value = str | int | Path | tuple[str, ...] | enum.Enum | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting. `name` is as `raft.heartbeat_ms`."""

    section: str
    key: str
    type_name: str
    """For people: `text`, `number`, `bytes`, `path`, `list of text`, or the choices."""
    default: Value
    read: Callable[[object], Value]
    """From a value of a TOML file. Raises ValueError with the rule as its message."""
    read_text: Callable[[str], Value]
    """From an environment variable or a flag. Raises ValueError with the rule as its message."""

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def environment_name(self) -> str:
        return f"{ENVIRONMENT_PREFIX}{self.section}__{self.key}".upper()

    @property
    def flag(self) -> str:
        return f"--{self.section}-{self.key}".replace("_", "-")


def settings() -> tuple[Setting, ...]:
    """Every setting, in the order of config.py."""
    section_types = typing.get_type_hints(PeerConfig)
    found = []
    for section in dataclasses.fields(PeerConfig):
        section_type = section_types[section.name]
        defaults = section_type()
        hints = typing.get_type_hints(section_type)
        for item in dataclasses.fields(section_type):
            kind = _kind(item.name, hints[item.name])
            found.append(
                Setting(
                    section=section.name,
                    key=item.name,
                    type_name=kind.name,
                    default=getattr(defaults, item.name),
                    read=kind.read,
                    read_text=kind.read_text,
                )
            )
    return tuple(found)


def build(values: Mapping[str, Value]) -> PeerConfig:
    """The config with these values by setting name, defaults for the others."""
    section_types = typing.get_type_hints(PeerConfig)
    sections = {
        section.name: section_types[section.name](
            **{
                item.name: values[f"{section.name}.{item.name}"]
                for item in dataclasses.fields(section_types[section.name])
                if f"{section.name}.{item.name}" in values
            }
        )
        for section in dataclasses.fields(PeerConfig)
    }
    return PeerConfig(**sections)


def plain(value: Value) -> str | int | list[str] | None:
    """The value as JSON, YAML and TOML can say it."""
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    name: str
    read: Callable[[object], Value]
    read_text: Callable[[str], Value]


def _kind(key: str, hint: object) -> _Kind:
    if hint is int and key.endswith("_bytes"):
        return _Kind(name="bytes", read=_bytes, read_text=parse_bytes)
    if hint is int:
        return _Kind(name="number", read=_number, read_text=_number_text)
    if hint is str:
        return _Kind(name="text", read=_text, read_text=_text)
    if hint == tuple[str, ...]:
        return _Kind(name="list of text", read=_texts, read_text=_texts_text)
    if hint == Path | None:
        return _Kind(name="path", read=_path, read_text=_path)
    assert isinstance(hint, type) and issubclass(hint, enum.Enum), f"no reader for {key}: {hint}"
    choices = {str(member.value): member for member in hint}

    def choice(value: object) -> Value:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return choices[value]

    return _Kind(name=" or ".join(choices), read=choice, read_text=choice)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    if len(value) > TEXT_BYTES_MAX or "\0" in value:
        raise ValueError("must be a text of sensible length without NUL characters")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be a whole number")
    if not limits.INTEGER_MIN <= value <= limits.INTEGER_MAX:
        raise ValueError("must be a whole number of at most 64 bits")
    return value


def _number_text(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
        raise ValueError("must be a whole number")
    return int(text)


_UNITS_BYTES = {"": 1, "KiB": limits.KIB, "MiB": limits.MIB, "GiB": limits.GIB}


def _bytes(value: object) -> int:
    return parse_bytes(value) if isinstance(value, str) else _number(value)


def parse_bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,18}) ?(KiB|MiB|GiB|)", text, re.ASCII)
    if match is None:
        raise ValueError('must be a number of bytes, or as "512MiB" (KiB, MiB or GiB)')
    return int(match[1]) * _UNITS_BYTES[match[2]]


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("must be a list of texts")
    return tuple(_text(item) for item in value)


def _texts_text(text: str) -> tuple[str, ...]:
    """Separated by commas; an empty text is an empty list."""
    return tuple(item.strip() for item in text.split(",")) if text.strip() else ()


def _path(value: object) -> Path | None:
    text = _text(value)
    return Path(text) if text else None
