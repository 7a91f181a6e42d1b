"""Decides whether each read was as new as the consistency that it named promises. Pure.

Called by `jlike.judge`. Values, where a revision is text that grows with each write of a record:
  write                [key, value] → [key, value, revision]
  linearizable, stale  [key, null]  → [key, value, revision]; null and "" when there is no record
  bounded              [key, milliseconds] → the same
  since                [key, index] → the same: a stale read that waits for a state it was told of
A linearizable read is not older than any write that was answered, or any revision that was shown,
before it was asked. A bounded read is not older than what was so at the allowed time before it was
asked, counted with 5 % for the rates of clocks. A read since an index is not older than the state
of that index. Whatever is read was written, once, and was not refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from jlike.check.clocks import RATE_ERROR
from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "levels"
READS = ("linearizable", "bounded", "stale", "since")
ORDINAL_BITS = 16
"""Of a revision: its upper bits are the index of the state that it came with."""


def check(operations: Iterable[Operation]) -> Finding:
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.value[0]].append(operation)
    counts: dict[str, int] = defaultdict(int)
    for key, found in sorted(by_key.items()):
        wrong = _meanings(key, found) or _ages(key, found)
        if wrong:
            return wrong
        for it in found:
            counts[it.f] += it.is_ok
    if not all(counts[it] for it in ("write", *READS)):
        return unknown(NAME, "not every kind of read, or no write, was answered")
    told = ", ".join(f"{counts[it]} {it}" for it in READS)
    return valid(NAME, f"reads as new as promised: {told}", **counts)


def _meanings(key: str, found: list[Operation]) -> Finding | None:
    """One revision, one value, and somebody asked to write it."""
    writes = {it.value[1]: it for it in found if it.f == "write"}
    meaning: dict[str, tuple[object, Operation]] = {}
    for it in found:
        if not it.is_ok or not it.result[2]:
            continue
        _, value, revision = it.result
        write = writes.get(value)
        if write is None or write.kind is Kind.FAIL or it.before(write):
            why = "nobody wrote" if write is None else "was refused or not yet asked for"
            return invalid(NAME, f"{key}: a read at {it.peer} shows {value}, which {why}", [it])
        known, first = meaning.setdefault(revision, (value, it))
        if known != value:
            return invalid(NAME, f"{key}: revision {revision} has two values", [first, it])
    return None


def _ages(key: str, found: list[Operation]) -> Finding | None:
    """Reads in the order of the latest moment at which something newer must be in them."""
    told = sorted((it for it in found if it.is_ok and it.result[2]), key=lambda it: it.end)
    reads = sorted((it for it in found if it.f in READS and it.is_ok), key=_due_ns)
    newest: Operation | None = None
    at = 0
    for read in reads:
        while at < len(told) and (told[at].returned_ns or 0) < _due_ns(read):
            if newest is None or told[at].result[2] > newest.result[2]:
                newest = told[at]
            at += 1
        if newest is None or read.f not in ("linearizable", "bounded"):
            continue
        if (read.result[2] or "") < newest.result[2]:
            age_ms = (read.called_ns - (newest.returned_ns or 0)) / 1e6
            return invalid(
                NAME,
                f"{key}: a {read.f} read at {read.peer} is older than what was told"
                f" {age_ms:.0f} ms before it was asked",
                [newest, read],
            )
    for read in reads:
        if read.f == "since" and read.value[1]:
            wrong = _since(key, read, told)
            if wrong:
                return wrong
    return None


def _due_ns(read: Operation) -> float:
    if read.f != "bounded":
        return read.called_ns
    allowed_ns: float = read.value[1] * 1e6 * (1 + RATE_ERROR)
    return read.called_ns - allowed_ns


def _since(key: str, read: Operation, told: list[Operation]) -> Finding | None:
    """Not older than any revision that came with that index or before it."""
    for it in told:
        is_within = int(it.result[2]) >> ORDINAL_BITS <= read.value[1]
        if is_within and it.result[2] > (read.result[2] or ""):
            return invalid(
                NAME,
                f"{key}: a read at {read.peer} since index {read.value[1]} is older than"
                f" revision {it.result[2]}",
                [it, read],
            )
    return None
