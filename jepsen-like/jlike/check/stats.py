"""Decides whether a history can prove anything: each kind of operation succeeded. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from jlike.history import Kind, Operation
from jlike.verdict import Finding, unknown, valid

NAME = "stats"


def check(operations: Iterable[Operation], *, expected: Iterable[str]) -> Finding:
    counts: Counter[tuple[str, Kind]] = Counter((it.f, it.kind) for it in operations)
    figures = {f"{f} {kind}": count for (f, kind), count in sorted(counts.items())}
    never = sorted(f for f in expected if not counts[f, Kind.OK])
    if never:
        return unknown(NAME, f"never succeeded: {', '.join(never)}", **figures)
    total = sum(counts.values())
    return valid(NAME, f"{total} operations, every kind succeeded", **figures)
