"""Entries of golden histories: how one is written down, and how each history begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

WALL_MS = 1_700_000_000_000

Entry = dict[str, Any]


def entry(index: int, *commands: bytes, clock_ms: int = 1_000, **fields: Any) -> Entry:
    return {
        "index": index,
        "term": 1,
        "clock_ms": clock_ms,
        "wall_ms": WALL_MS + clock_ms,
        "kind": "COMMANDS",
        "detail": {},
        "commands": [command.hex() for command in commands],
        **fields,
    }


def birth() -> Iterator[Entry]:
    detail = {"cluster": "golden", "cluster_id": "00" * 16, "voters": [["p1", "i1"], ["p2", "i2"]]}
    yield entry(1, clock_ms=0, kind="GENESIS", detail=detail, term=0)
    yield entry(2, clock_ms=1, kind="TERM_STARTED", detail={"leader": "p1"})
