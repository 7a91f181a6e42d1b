"""Row keys whose byte order is the order of the tuples they stand for. Pure; called by state.

A key is one table byte followed by its parts. All keys of one table have the same shape (number
and types of parts), which the table's owner knows; so a key carries no type marks. ADR 0003.

    int          8 bytes, big endian, 0 ≤ n < 2^64
    bytes        as they are when last; before another part 0x00 becomes 00 01 and 00 00 ends it
    str          its UTF-8, then as bytes

Rule: a table byte is never 0xff, and a key is never longer than ROW_KEY_BYTES_MAX: admission
asks `encoded_key_bytes` and refuses the user; `encode_key` only asserts.
"""

from __future__ import annotations

from typing import TypeVar, overload

from replicante.limits import ROW_KEY_BYTES_MAX

Part = bytes | str | int

A = TypeVar("A", bound=bytes | str | int)
B = TypeVar("B", bound=bytes | str | int)
C = TypeVar("C", bound=bytes | str | int)
D = TypeVar("D", bound=bytes | str | int)

INTEGER_BYTES = 8
END = b"\x00\x00"
"""Ends a part that another one follows: less than an escaped zero, so a prefix sorts first."""
ESCAPED_ZERO = b"\x00\x01"
ABOVE_ALL_KEYS = b"\xff" * (ROW_KEY_BYTES_MAX + 1)
"""Greater than every key; the end of a scan to the last row."""


def encode_key(table: bytes, *parts: Part) -> bytes:
    """The row key of `parts` in `table` (one byte, not 0xff).

    The last part is not escaped, so a single bytes part costs no more than `table + part`,
    which hot paths may write themselves.
    """
    assert len(table) == 1, f"a table is one byte: {table!r}"
    if not parts:
        return table
    last = _plain(parts[-1])
    encoded = table + last if len(parts) == 1 else _closed(table, parts[:-1]) + last
    assert len(encoded) <= ROW_KEY_BYTES_MAX, f"row key of {len(encoded)} bytes: {encoded[:64]!r}…"
    return encoded


def encode_prefix(table: bytes, *parts: Part) -> bytes:
    """What the keys of all rows begin with whose first parts are exactly `parts`; for
    `prefix_range`.

    For rows whose last part *begins* with some bytes, use `encode_key` with these bytes last.
    """
    assert len(table) == 1, f"a table is one byte: {table!r}"
    return _closed(table, parts)


def encoded_key_bytes(*parts: Part) -> int:
    """Size of the key with these parts, table byte included; never raises, whatever the size."""
    size = 1
    for position, part in enumerate(parts, start=1):
        if isinstance(part, int):
            size += INTEGER_BYTES
            continue
        plain = _plain(part)
        size += len(plain)
        if position < len(parts):
            size += plain.count(0) + len(END)
    return size


@overload
def decode_key(encoded: bytes, first: type[A], /) -> tuple[A]: ...
@overload
def decode_key(encoded: bytes, first: type[A], second: type[B], /) -> tuple[A, B]: ...
@overload
def decode_key(
    encoded: bytes, first: type[A], second: type[B], third: type[C], /
) -> tuple[A, B, C]: ...
@overload
def decode_key(
    encoded: bytes, first: type[A], second: type[B], third: type[C], fourth: type[D], /
) -> tuple[A, B, C, D]: ...
@overload
def decode_key(encoded: bytes, /, *kinds: type[Part]) -> tuple[Part, ...]: ...


def decode_key(encoded: bytes, /, *kinds: type[object]) -> tuple[Part, ...]:
    """The parts of a key; `kinds` is the shape of its table, each of bytes, str, int.

    Raises ValueError when the key does not have this shape: a broken row, never a user mistake.
    """
    parts: list[Part] = []
    place = 1
    for position, kind in enumerate(kinds, start=1):
        is_last = position == len(kinds)
        if kind is int:
            plain = encoded[place : place + INTEGER_BYTES]
            if len(plain) != INTEGER_BYTES:
                raise ValueError(f"a number is cut short in row key {encoded!r}")
            place += INTEGER_BYTES
            parts.append(int.from_bytes(plain, "big"))
            continue
        if is_last:
            plain, place = encoded[place:], len(encoded)
        else:
            plain, place = _opened(encoded, place)
        parts.append(plain.decode() if kind is str else plain)
    if place != len(encoded):
        raise ValueError(f"row key {encoded!r} is longer than its table's shape")
    return tuple(parts)


def prefix_range(prefix: bytes) -> tuple[bytes, bytes]:
    """(start, end) of `scan` over exactly the keys that begin with `prefix`."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        return prefix, ABOVE_ALL_KEYS
    return prefix, stripped[:-1] + bytes((stripped[-1] + 1,))


def _plain(part: Part) -> bytes:
    if isinstance(part, bytes):
        return part
    if isinstance(part, str):
        return part.encode()
    return part.to_bytes(INTEGER_BYTES, "big")


def _closed(encoded: bytes, parts: tuple[Part, ...]) -> bytes:
    """`encoded` followed by `parts`, each ended so that another part may follow."""
    for part in parts:
        if isinstance(part, int):
            encoded += part.to_bytes(INTEGER_BYTES, "big")
        else:
            encoded += _plain(part).replace(b"\x00", ESCAPED_ZERO) + END
    return encoded


def _opened(encoded: bytes, place: int) -> tuple[bytes, int]:
    """The escaped part that starts at `place`, and where the next one starts."""
    start = place
    while True:
        zero = encoded.find(b"\x00", place)
        mark = encoded[zero + 1 : zero + 2]
        if zero < 0 or mark not in (b"\x00", b"\x01"):
            raise ValueError(f"a part has no end in row key {encoded!r}")
        if mark == b"\x00":
            return encoded[start:zero].replace(ESCAPED_ZERO, b"\x00"), zero + 2
        place = zero + 2
