"""Checks of single fields that every kind of command shares. Pure; called by `envelope` and the
admission files of the kinds.

Each raises Invalid or BodyTooLarge with the path of the fault and the limit.
"""

from __future__ import annotations

from replicante.errors import BodyTooLarge, Invalid
from replicante.limits import INTEGER_MAX, NAME_BYTES_MAX
from replicante.model.codec import is_canonical
from replicante.state.tables import OBJECT_KEY_BYTES_MAX
from replicante.storage.keys import encoded_key_bytes
from replicante.wire.durations import format_duration_ms


def check_positive(number: int, path: str, *, what: str) -> None:
    if not 1 <= number <= INTEGER_MAX:
        raise Invalid(f"{what} is 1 to 2^63 − 1", path=path)


def check_canonical(encoded: bytes, path: str) -> None:
    if not is_canonical(encoded):
        raise Invalid("not the canonical bytes of a value", path=path)


def check_size(encoded: bytes, path: str, *, bytes_max: int) -> None:
    if len(encoded) > bytes_max:
        raise BodyTooLarge(
            f"{path} is {len(encoded)} bytes; the limit is {bytes_max}", path=path, limit=bytes_max
        )


def check_text(text: str, path: str, *, bytes_max: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Invalid("not valid UTF-8: a lone surrogate", path=path) from None
    if size > bytes_max:
        raise Invalid(
            f"{path} is {size} bytes; the limit is {bytes_max}", path=path, limit=bytes_max
        )


def check_name(name: str, path: str) -> None:
    if not name:
        raise Invalid("a name is not empty", path=path)
    check_text(name, path, bytes_max=NAME_BYTES_MAX)


def check_count(number: int, path: str) -> None:
    if not 0 <= number <= INTEGER_MAX:
        raise Invalid("must be 0 to 2^63 − 1", path=path)


def check_time(time_ms: int, path: str, *, low_ms: int, high_ms: int, what: str) -> None:
    if not low_ms <= time_ms <= high_ms:
        low, high = format_duration_ms(low_ms), format_duration_ms(high_ms)
        found = format_duration_ms(time_ms) if time_ms >= 0 else f"{time_ms}ms"
        raise Invalid(f"{what} is {low} to {high}, not {found}", path=path, limit=high_ms)


def check_scope(scope: tuple[str, ...], path: str, *, count: int) -> None:
    if len(scope) != count:
        raise Invalid(f"a scope of {count} names is needed, not {len(scope)}", path=path)
    for i, name in enumerate(scope):
        if not name:
            raise Invalid("a name is not empty", path=f"{path}[{i}]")
        check_text(name, f"{path}[{i}]", bytes_max=NAME_BYTES_MAX)
    size = encoded_key_bytes(*scope)
    if size > OBJECT_KEY_BYTES_MAX:
        raise Invalid(
            f"the names are {size} bytes as a row key; the limit is {OBJECT_KEY_BYTES_MAX}",
            path=path,
            limit=OBJECT_KEY_BYTES_MAX,
        )
