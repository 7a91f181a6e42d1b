"""Turns arguments of the SDK into calls, and refuses values that no body carries unchanged. Pure.

The JSON encoder would quietly turn NaN into null, bytes into base64 and numbers used as keys into
texts: what is read back must be what was written, so such values are refused here, by path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from replicante import limits
from replicante.client.call import Call
from replicante.client.options import Read, Write
from replicante.errors import Invalid
from replicante.wire import headers as names
from replicante.wire.values import Json


def read_call(path: str, read: Read, *, query: Sequence[tuple[str, str]] = ()) -> Call:
    """A read of replicated state, at the consistency that the caller chose."""
    found = [*query, (names.Q_CONSISTENCY, read.consistency.value)]
    if read.max_stale_ms is not None:
        if read.consistency is not names.Consistency.BOUNDED:
            raise Invalid("max_stale_ms goes with bounded reads only.", path="max_stale_ms")
        found.append((names.Q_MAX_STALE_MS, str(read.max_stale_ms)))
    return Call(
        method="GET",
        path=path,
        query=tuple(found),
        timeout_ms=read.timeout_ms,
        endpoint=read.endpoint,
    )


def write_call(
    method: str,
    path: str,
    body: bytes | None,
    *,
    headers: Mapping[str, str],
    write: Write,
    query: Sequence[tuple[str, str]] = (),
) -> Call:
    """A write. Without a key of the caller's, `Calls.write_as` mints one."""
    key = write.idempotency_key
    if key is not None and not re.fullmatch(names.IDEMPOTENCY_KEY_PATTERN, key):
        raise Invalid(
            "An Idempotency-Key is 1 to 128 visible ASCII characters without spaces.",
            path="idempotency_key",
            limit=limits.IDEMPOTENCY_KEY_BYTES_MAX,
        )
    found = dict(headers)
    if key is not None and write.first_attempt_ms is not None:
        found[names.FIRST_ATTEMPT_MS] = str(write.first_attempt_ms)
    return Call(
        method=method,
        path=path,
        query=tuple(query),
        body=body,
        headers=found,
        timeout_ms=write.timeout_ms,
        is_write=True,
        idempotency_key=key,
    )


def precondition(*, expect_revision: str | None, must_not_exist: bool) -> dict[str, str]:
    """The headers of a conditional write. Raises `Invalid` for two conditions at once."""
    if expect_revision is not None and must_not_exist:
        raise Invalid("A thing cannot have a revision and not exist.", path="must_not_exist")
    if expect_revision is not None:
        if not (expect_revision.isascii() and expect_revision.isdigit()):
            raise Invalid(f"{expect_revision!r} is no revision.", path="expect_revision")
        return {names.IF_MATCH: names.quote_revision(expect_revision)}
    return {names.IF_NONE_MATCH: "*"} if must_not_exist else {}


def path_text(build: Callable[..., str], *parts: str) -> str:
    """A path of `wire.paths`. Raises `Invalid` for a text that has no encoding."""
    try:
        return build(*parts)
    except UnicodeEncodeError as exc:
        raise Invalid("A text holds half of a surrogate pair.", path="key") from exc


def encode_value(value: Json, *, path: str = "value") -> bytes:
    """JSON. Raises `Invalid` with the path of the first thing that JSON cannot carry: values are
    None, bools, integers of 64 bits, finite floats, texts, and lists and dicts with text keys of
    these, at most VALUE_DEPTH_MAX deep."""
    check_value(value, path=path)
    return encode_body(value, path=path)


def check_value(value: Json, *, path: str) -> None:
    """The check of `encode_value` alone."""
    if not _is_plain(value, 0):
        _refuse(value, path, 0)


def check_operations(operations: Iterable[object], *, of: tuple[type, ...]) -> None:
    """of: what may stand there. Raises `Invalid` with the path of what is none of these, or of a
    value in one that JSON cannot carry."""
    try:
        found = tuple(operations)
    except TypeError as exc:
        kind = type(operations).__name__
        raise Invalid(f"{kind} is no list of operations.", path="operations") from exc
    for number, operation in enumerate(found):
        where = f"operations[{number}]"
        if not isinstance(operation, of):
            raise Invalid(f"{type(operation).__name__} is no operation here.", path=where)
        for name in _VALUES:
            if hasattr(operation, name):
                check_value(getattr(operation, name), path=f"{where}.{name}")


_VALUES = ("value", "object", "body", "owner")
"""What operations call the values of callers."""


def encode_body(body: object, *, path: str) -> bytes:
    """JSON of what was checked. Raises `Invalid` for a text that has no encoding."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError as exc:
        raise Invalid("A text holds half of a surrogate pair.", path=path) from exc


def _is_plain(value: Json, depth: int) -> bool:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(limits.INTEGER_MIN <= value <= limits.INTEGER_MAX)
    if kind is float:
        return math.isfinite(value)
    if depth >= limits.VALUE_DEPTH_MAX:
        return False
    if kind is dict:
        return all(type(key) is str and _is_plain(item, depth + 1) for key, item in value.items())
    if kind is list or kind is tuple:
        return all(_is_plain(item, depth + 1) for item in value)
    return False


def _refuse(value: Json, path: str, depth: int) -> None:
    """Walks again, now with the path, which most values never need."""
    kind = type(value)
    if kind is dict and depth < limits.VALUE_DEPTH_MAX:
        for key, item in value.items():
            if type(key) is not str:
                raise Invalid(f"The key {key!r} is not a text.", path=path)
            _refuse(item, f"{path}.{key}", depth + 1)
    elif (kind is list or kind is tuple) and depth < limits.VALUE_DEPTH_MAX:
        for number, item in enumerate(value):
            _refuse(item, f"{path}[{number}]", depth + 1)
    elif not _is_plain(value, depth):
        raise Invalid(_reason(value), path=path)


def _reason(value: Json) -> str:
    match value:
        case int():
            return "An integer has at most 64 bits."
        case float():
            return "A number must be finite."
        case dict() | list() | tuple():
            return f"A value is nested at most {limits.VALUE_DEPTH_MAX} deep."
        case _:
            return f"A value cannot hold a {type(value).__name__}."
