"""Reads query parameters strictly: unknown, repeated or malformed ones are errors. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import TypeVar

from replicante import errors
from replicante.ids import STAMP_MAX, Stamp, parse_stamp
from replicante.limits import NAME_BYTES_MAX, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX
from replicante.wire.durations import format_duration_ms, parse_duration_ms
from replicante.wire.paths import unquote_once

E = TypeVar("E", bound=enum.Enum)

Query = Mapping[str, str]


def parse_query(raw: str, *, known: frozenset[str]) -> dict[str, str]:
    """raw: after the `?`, as received. Raises Invalid with `path` = `?name`."""
    if not raw:
        return {}
    query: dict[str, str] = {}
    for pair in raw.split("&"):
        if not pair:
            continue
        raw_name, _, raw_value = pair.partition("=")
        name, value = _decode(raw_name), _decode(raw_value)
        if name not in known:
            raise errors.Invalid(
                f"There is no query parameter {name!r} here.",
                path=f"?{name}",
                hints=(f"known: {', '.join(sorted(known))}",) if known else (),
            )
        if name in query:
            raise errors.Invalid(f"Query parameter {name!r} is given twice.", path=f"?{name}")
        query[name] = value
    return query


def duration_ms(query: Query, name: str, *, default_ms: int, max_ms: int) -> int:
    """Longer than the maximum counts as the maximum: waiting less than asked is harmless."""
    text = query.get(name)
    if text is None:
        return default_ms
    value_ms = parse_duration_ms(text)
    if value_ms is None:
        raise errors.Invalid(
            f"{text[:50]!r} is no duration; write it as 30s, 250ms or 1m.", path=f"?{name}"
        )
    return min(value_ms, max_ms)


def strict_duration_ms(query: Query, name: str, *, default_ms: int, max_ms: int) -> int:
    """As duration_ms, but more than the maximum is an error: the caller would wait longer."""
    value_ms = duration_ms(query, name, default_ms=default_ms, max_ms=1 << 62)
    if not 1 <= value_ms <= max_ms:
        raise errors.Invalid(
            f"The duration must be from 1ms to {format_duration_ms(max_ms)}.",
            path=f"?{name}",
            limit=max_ms,
        )
    return value_ms


def whole_number(query: Query, name: str, *, default: int, minimum: int, maximum: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    message = f"{text[:50]!r} is no whole number from {minimum} to {maximum}."
    if not (text.isascii() and text.isdigit()):
        raise errors.Invalid(message, path=f"?{name}")
    if len(text) > 19 or not minimum <= int(text) <= maximum:
        raise errors.Invalid(message, path=f"?{name}", limit=maximum)
    return int(text)


def page_limit(query: Query, name: str) -> int:
    return whole_number(query, name, default=PAGE_ITEMS_DEFAULT, minimum=1, maximum=PAGE_ITEMS_MAX)


def name_prefix(query: Query, name: str) -> str:
    """Beginning of names, empty for all. Raises Invalid for what is longer than any name."""
    text = query.get(name, "")
    if len(text.encode()) > NAME_BYTES_MAX:
        raise errors.Invalid(
            f"A name has at most {NAME_BYTES_MAX} bytes.", path=f"?{name}", limit=NAME_BYTES_MAX
        )
    return text


def index(query: Query, name: str) -> int:
    return whole_number(query, name, default=0, minimum=0, maximum=STAMP_MAX)


def stamp(text: str, *, path: str) -> Stamp:
    value = parse_stamp(text)
    if value is None:
        raise errors.Invalid(f"{text[:50]!r} is no id: it has up to 19 digits.", path=path)
    return value


def choice(query: Query, name: str, kind: type[E], *, default: E) -> E:
    text = query.get(name)
    if text is None:
        return default
    for member in kind:
        if member.value == text:
            return member
    raise _no_choice(name, text, (str(member.value) for member in kind))


def flag(query: Query, name: str) -> bool:
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise _no_choice(name, text, ("true", "false"))
    return text == "true"


def _no_choice(name: str, text: str, choices: Iterable[str]) -> errors.Invalid:
    return errors.Invalid(f"{text[:50]!r} is not one of {', '.join(choices)}.", path=f"?{name}")


def _decode(raw: str) -> str:
    data = unquote_once(raw.replace("+", "%20"))
    try:
        return (data if data is not None else b"\xff").decode("utf-8")
    except UnicodeDecodeError:
        raise errors.Invalid("The query is not valid percent-encoded UTF-8.", path="?") from None
