"""What a transaction may ask of a record before it happens, and whether it is so. Pure.

Built by `api`, carried by `commands.KvTxn`, decided by `apply_txn`.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec


class CompareKind(enum.IntEnum):
    """Stored in logs: never reused, never renumbered."""

    ABSENT = 1
    PRESENT = 2
    REVISION_EQUALS = 3
    REVISION_LESS = 4
    REVISION_GREATER = 5
    VALUE_EQUALS = 6


_BY_REVISION = (
    CompareKind.REVISION_EQUALS,
    CompareKind.REVISION_LESS,
    CompareKind.REVISION_GREATER,
)


class Compare(msgspec.Struct, frozen=True):
    """One condition on one key. A key without a record meets ABSENT and nothing else."""

    key: bytes
    kind: CompareKind
    operand: int | bytes | None = None
    """A revision, canonical bytes of a value, or nothing, as the kind asks."""


def takes_revision(kind: CompareKind) -> bool:
    return kind in _BY_REVISION


def holds(compare: Compare, *, revision: int | None, value: bytes) -> bool:
    """revision: of the record, None when there is none. value: its canonical bytes."""
    kind, operand = compare.kind, compare.operand
    if revision is None:
        return kind is CompareKind.ABSENT
    match kind:
        case CompareKind.ABSENT:
            return False
        case CompareKind.PRESENT:
            return True
        case CompareKind.VALUE_EQUALS:
            return value == operand
    assert isinstance(operand, int), "read so by the decoder"
    if kind is CompareKind.REVISION_EQUALS:
        return revision == operand
    return revision < operand if kind is CompareKind.REVISION_LESS else revision > operand


def pack_compare(compare: Compare) -> list[Any]:
    if compare.operand is None:
        return [int(compare.kind), compare.key]
    return [int(compare.kind), compare.key, compare.operand]


def unpack_compare(packed: list[Any]) -> Compare:
    """Raises TypeError or ValueError for what `pack_compare` never makes; the key is checked by
    the caller."""
    kind = CompareKind(packed[0])
    if kind in (CompareKind.ABSENT, CompareKind.PRESENT):
        _, key = packed
        return Compare(key, kind)
    _, key, operand = packed
    if type(operand) is not (int if takes_revision(kind) else bytes):
        raise TypeError("a comparison with an operand of another kind")
    if type(operand) is int and operand <= 0:
        raise ValueError("a revision is positive")
    return Compare(key, kind, operand)
