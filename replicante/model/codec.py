"""Decides which values users may store and the one sequence of bytes that stands for each. Pure.

Called by `state.envelope` (admission), `state.queries` callers (reading back) and `api` (bodies).

A value is what JSON can say: None, bool, int, float, str, list, dict with text keys. Its bytes are
msgpack in one canonical form, so that equal bytes mean equal values on every peer and under every
Python version:

- integers are signed 64-bit numbers in their shortest msgpack form;
- floats are finite, always 8 bytes, and -0.0 becomes 0.0: two numbers that compare equal as floats
  have equal bytes. An integer and a float never share bytes: 1 stays 1, and 1.0 stays 1.0;
- text is valid UTF-8 without lone surrogates, and is not normalised: what came in goes out;
- maps are sorted by the UTF-8 bytes of their keys and have no duplicates;
- nesting goes to VALUE_DEPTH_MAX; a scalar has depth 0, each list or map around it adds 1;
- msgpack's bin and ext types do not occur, neither do Python types beyond those above.

Every violation is `Invalid` with the path of the first fault, as `spec.a[0].b`. Nothing here raises
RecursionError: depth is checked before going down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgpack

from replicante.errors import Invalid
from replicante.limits import INTEGER_MAX, INTEGER_MIN, VALUE_DEPTH_MAX

Value: TypeAlias = Any
"""None, bool, int, float, str, list of values, or dict from str to values."""

Path: TypeAlias = tuple[str | int, ...]


_PATH_KEY_CHARS_MAX = 64


def encode_value(value: Value, *, path: Path = ()) -> bytes:
    """The canonical bytes of `value`.

    path: where the value stands in the request, the beginning of the path of a fault.
    Raises Invalid.
    """
    packed: bytes = msgpack.packb(_canonical(value, path, 0))
    return packed


def decode_value(encoded: bytes, *, path: Path = ()) -> Value:
    """The value of bytes from outside, which need not be canonical but must be one valid value.

    Duplicate map keys, bin, ext, broken UTF-8 and trailing bytes are refused.  Raises Invalid.
    """
    try:
        value = msgpack.unpackb(encoded, strict_map_key=False, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError, msgpack.UnpackException) as exc:
        raise Invalid(f"not a msgpack value: {_reason(exc)}", path=format_path(path)) from exc
    return _canonical(value, path, 0)


def load_value(encoded: bytes) -> Value:
    """The value of canonical bytes that this room made: no checks, for rows and events."""
    return msgpack.unpackb(encoded)


def join_map(fields: Mapping[str, bytes]) -> bytes:
    """The canonical bytes of a map whose values are canonical bytes already.

    fields: sorted by their (ASCII) names. For maps that this room builds around users' values:
    the map may be one level deeper than a user could ask for.
    """
    assert list(fields) == sorted(fields), "canonical maps are sorted"
    parts: list[bytes] = [msgpack.Packer().pack_map_header(len(fields))]
    for name, encoded in fields.items():
        parts.append(msgpack.packb(name))
        parts.append(encoded)
    return b"".join(parts)


def is_canonical(encoded: bytes) -> bool:
    """True when the bytes are exactly what `encode_value` gives for some value; never raises."""
    try:
        return encode_value(decode_value(encoded)) == encoded
    except Invalid:
        return False


def format_path(path: Path) -> str:
    """`("spec", "a", 0, "b")` → `spec.a[0].b`. Keys that would be ambiguous are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.isidentifier() and step.isascii():
            text += f".{step}" if text else step
        else:
            text += f"[{_quoted(step)}]"
    return text


class _Pairs(list[tuple[Any, Any]]):
    """A msgpack map before its keys were looked at: duplicates are still there to be seen."""


def _canonical(value: Any, path: Path, depth: int) -> Value:
    """`value` with sorted maps and without -0.0; Invalid at its first fault."""
    kind = type(value)
    if kind is str:
        return _checked_text(value, path)
    if kind is int:
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise _fault("an integer must fit into 64 bits (−2^63 to 2^63 − 1)", path)
        return value
    if value is None or kind is bool:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise _fault("a number must be finite", path)
        return value if value else 0.0
    if kind is list or kind is tuple:
        _check_depth(path, depth)
        return [_canonical(item, (*path, i), depth + 1) for i, item in enumerate(value)]
    if kind is dict:
        _check_depth(path, depth)
        return _canonical_map(list(value.items()), path, depth)
    if kind is _Pairs:
        _check_depth(path, depth)
        return _canonical_map(value, path, depth)
    raise _fault(f"a value of type {_type_name(kind)} cannot be stored", path)


def _canonical_map(pairs: list[tuple[Any, Any]], path: Path, depth: int) -> dict[str, Value]:
    keyed: list[tuple[bytes, str, Any]] = []
    for key, item in pairs:
        if type(key) is not str:
            raise _fault(f"a map key must be text, not {_type_name(type(key))}", path)
        try:
            keyed.append((key.encode(), key, item))
        except UnicodeEncodeError:
            raise _fault("a map key holds a lone surrogate: not valid UTF-8", path) from None
    keyed.sort(key=_first)
    result: dict[str, Value] = {}
    for _, key, item in keyed:
        if key in result:
            raise _fault("a map names this key twice", (*path, key))
        result[key] = _canonical(item, (*path, key), depth + 1)
    return result


def _first(entry: tuple[bytes, str, Any]) -> bytes:
    return entry[0]


def _checked_text(text: str, path: Path) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _fault("text holds a lone surrogate: not valid UTF-8", path) from None
    return text


def _check_depth(path: Path, depth: int) -> None:
    if depth >= VALUE_DEPTH_MAX:
        raise Invalid(
            f"nested deeper than {VALUE_DEPTH_MAX} levels",
            path=format_path(path),
            limit=VALUE_DEPTH_MAX,
        )


def _fault(message: str, path: Path) -> Invalid:
    return Invalid(message, path=format_path(path))


def _type_name(kind: type) -> str:
    names: dict[type, str] = {bytes: "binary", bytearray: "binary", msgpack.ExtType: "extension"}
    return names.get(kind, kind.__name__)


def _reason(exc: Exception) -> str:
    text = str(exc)
    return f"{type(exc).__name__}: {text[:120]}" if text else type(exc).__name__


def _quoted(key: str) -> str:
    shown = key if len(key) <= _PATH_KEY_CHARS_MAX else key[:_PATH_KEY_CHARS_MAX] + "…"
    escaped = shown.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.encode("utf-8", "backslashreplace").decode() + '"'
