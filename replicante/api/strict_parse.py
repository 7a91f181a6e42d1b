"""Turns body bytes into plain values, or says where the first fault is. Pure; called by bodies.

Stricter than the usual parsers, because what one of them forgives is what two of them read
differently: no duplicate keys, no NaN or infinity, integers of 64 bits, valid UTF-8 without lone
surrogates, text keys only, no nesting that needs a deep stack. JSON and msgpack give the same
values and the same faults.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Final

import msgpack

from replicante import errors
from replicante.api.negotiate import Media
from replicante.limits import INTEGER_MAX, INTEGER_MIN, VALUE_DEPTH_MAX
from replicante.wire.values import Json

BODY_DEPTH_MAX: Final = VALUE_DEPTH_MAX + 8
"""A value of full depth inside the structures of a request."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]', re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class _Fault:
    """Stands in the parsed tree for a part that is refused."""

    __slots__ = ("key", "message")

    def __init__(self, message: str, *, key: str | None = None) -> None:
        self.message = message
        self.key = key
        """Duplicate key inside the map that this stands for."""


def parse_body(body: bytes, media: Media) -> Json:
    """Raises Invalid with the path of the first fault, in document order."""
    return parse_msgpack(body) if media is Media.MSGPACK else parse_json(body)


def parse_json(body: bytes) -> Json:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise errors.Invalid(f"The body is not valid UTF-8 (byte {exc.start}).") from None
    found: list[_Fault] = []
    decoder = json.JSONDecoder(
        object_pairs_hook=_pairs_hook(found),
        parse_int=_int_hook(found),
        parse_float=_float_hook(found),
        parse_constant=_constant_hook(found),
    )
    try:
        value, end = decoder.raw_decode(text, _skip_space(text, 0))
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}"
        raise errors.Invalid(f"The body is not valid JSON: {exc.msg} ({where}).") from None
    except RecursionError:
        raise _too_deep(_deep_path(text)) from None
    if _skip_space(text, end) != len(text):
        raise errors.Invalid(f"The body goes on after the JSON value (character {end}).")
    if found or _SURROGATE.search(text):
        _raise_first_fault(value)
    return value


def parse_msgpack(body: bytes) -> Json:
    found: list[_Fault] = []
    try:
        value = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=False,
            object_pairs_hook=_pairs_hook(found),
            ext_hook=lambda code, _data: _noted(found, f"Extension type {code} is not accepted."),
        )
    except msgpack.exceptions.ExtraData:
        raise errors.Invalid("The body goes on after the msgpack value.") from None
    except (msgpack.exceptions.StackError, RecursionError):
        raise _too_deep("") from None
    except UnicodeDecodeError:
        raise errors.Invalid("A text in the body is not valid UTF-8.") from None
    except (ValueError, msgpack.exceptions.UnpackException) as exc:
        raise errors.Invalid(f"The body is not valid msgpack: {exc or 'malformed'}.") from None
    # Unlike in JSON, bytes, NaN and unsigned integers of 64 bits pass the parser.
    _raise_first_fault(value)
    return value


def _pairs_hook(found: list[_Fault]) -> Callable[[list[tuple[Json, Json]]], Json]:
    def to_map(pairs: list[tuple[Json, Json]]) -> Json:
        result = {}
        for key, value in pairs:
            if type(key) is not str:
                return _noted(found, f"Map keys must be text, not {type(key).__name__}.")
            if key in result:
                return _noted(found, "This key stands twice in its map.", key=key)
            result[key] = value
        return result

    return to_map


def _int_hook(found: list[_Fault]) -> Callable[[str], Json]:
    def to_int(digits: str) -> Json:
        if len(digits) > 20 or not INTEGER_MIN <= int(digits) <= INTEGER_MAX:
            return _noted(found, _INTEGER_FAULT)
        return int(digits)

    return to_int


def _float_hook(found: list[_Fault]) -> Callable[[str], Json]:
    def to_float(digits: str) -> Json:
        number = float(digits)
        return number if math.isfinite(number) else _noted(found, _FLOAT_FAULT)

    return to_float


def _constant_hook(found: list[_Fault]) -> Callable[[str], Json]:
    return lambda name: _noted(found, f"{name} is no JSON number.")


_INTEGER_FAULT = "Integers have 64 bits; send larger ones as text."
_FLOAT_FAULT = "Numbers must be finite."


def _noted(found: list[_Fault], message: str, *, key: str | None = None) -> _Fault:
    fault = _Fault(message, key=key)
    found.append(fault)
    return fault


def _raise_first_fault(root: Json) -> None:
    """Looks at the tree in document order. A stack of iterators, since a hostile body may be as
    deep as the parser allows."""
    _check_scalar(root, "")
    stack: list[tuple[str, Iterator[tuple[str | int, Json]]]] = [("", _children(root))]
    while stack:
        path, children = stack[-1]
        step = next(children, None)
        if step is None:
            stack.pop()
            continue
        name, child = step
        child_path = f"{path}[{name}]" if isinstance(name, int) else join_path(path, name)
        if isinstance(name, str):
            _check_scalar(name, child_path)
        _check_scalar(child, child_path)
        if isinstance(child, dict | list):
            if len(stack) > BODY_DEPTH_MAX:
                raise _too_deep(child_path)
            stack.append((child_path, _children(child)))


def _children(value: Json) -> Iterator[tuple[str | int, Json]]:
    if isinstance(value, dict):
        return iter(value.items())
    if isinstance(value, list):
        return iter(enumerate(value))
    return iter(())


def _check_scalar(value: Json, path: str) -> None:
    match value:
        case str():
            # A cheap proof for the usual text: ASCII holds no surrogates.
            if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
                raise errors.Invalid(
                    "Text must not hold half of a surrogate pair.", path=_printable(path)
                )
        case bool() | None | dict() | list():
            return
        case int():
            if not INTEGER_MIN <= value <= INTEGER_MAX:
                raise errors.Invalid(_INTEGER_FAULT, path=path)
        case float():
            if not math.isfinite(value):
                raise errors.Invalid(_FLOAT_FAULT, path=path)
        case _Fault():
            at = path if value.key is None else join_path(path, value.key)
            raise errors.Invalid(value.message, path=_printable(at))
        case _:
            kind = "Binary data" if isinstance(value, bytes) else f"A {type(value).__name__}"
            raise errors.Invalid(f"{kind} is no JSON value; send it as text.", path=path)


def join_path(path: str, name: str) -> str:
    """`spec` and `name` → `spec.name`; names that are no identifiers in brackets and quotes."""
    if not _IDENTIFIER.fullmatch(name):
        shown = name if len(name) <= 100 else name[:100] + "…"
        return f"{path}[{json.dumps(shown, ensure_ascii=False)}]"
    return f"{path}.{name}" if path else name


def _too_deep(path: str) -> errors.Invalid:
    return errors.Invalid(
        f"Values may be nested {VALUE_DEPTH_MAX} deep.",
        path=_printable(path),
        limit=VALUE_DEPTH_MAX,
    )


def _printable(path: str) -> str:
    """Paths go into answers and log lines: whatever has no encoding is escaped, the rest kept."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _deep_path(text: str) -> str:
    """Where the nesting passes BODY_DEPTH_MAX, for text that the parser gave up on."""
    path: list[str | int] = []
    last_text = ""
    for match in _TOKEN.finditer(text):
        token = match.group()
        match token:
            case "{":
                path.append("")
            case "[":
                path.append(0)
            case "}" | "]":
                path = path[:-1]
            case ",":
                if path and isinstance(path[-1], int):
                    path[-1] += 1
            case ":":
                if path:
                    path[-1] = last_text
            case _:
                last_text = token[1:-1][:100]
        if len(path) > BODY_DEPTH_MAX:
            break
    shown = ""
    for step in path[:-1]:
        shown = f"{shown}[{step}]" if isinstance(step, int) else join_path(shown, step)
    return shown


def _skip_space(text: str, start: int) -> int:
    """JSON's white space only."""
    end = start
    while end < len(text) and text[end] in " \t\n\r":
        end += 1
    return end
