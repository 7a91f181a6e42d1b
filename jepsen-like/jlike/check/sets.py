"""Decides whether a set that only grows ever lost, invented or hid an element. Pure.

Called by `jlike.judge`. `add` has the element as value; `read` (linearizable) answers the list. An
element is known once its add was answered or a read showed it: every read asked later must have it.
"""

from __future__ import annotations

from collections.abc import Iterable

from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "set-full"


def check(operations: Iterable[Operation]) -> Finding:
    found = list(operations)
    adds = {it.value: it for it in found if it.f == "add"}
    reads = sorted(
        (it for it in found if it.f == "read" and it.is_ok), key=lambda it: it.returned or 0
    )
    for read in reads:
        for element in read.result:
            add = adds.get(element)
            if add is None or add.kind is Kind.FAIL or read.before(add):
                why = "nobody added" if add is None else "was refused or not yet asked for"
                return invalid(NAME, f"a read at {read.peer} shows {element}, which {why}", [read])
    first_known = {it.value: it for it in adds.values() if it.is_ok}
    for read in reads:
        for element in read.result:
            witness = first_known.get(element)
            if witness is None or (read.returned or 0) < (witness.returned or 0):
                first_known[element] = read
    for read in reads:
        shown = set(read.result)
        for element, witness in first_known.items():
            if element not in shown and witness.before(read):
                how = "acknowledged" if witness.f == "add" else f"seen at {witness.peer}"
                return invalid(
                    NAME,
                    f"element {element} was {how}, and a later read at {read.peer} lacks it",
                    [adds[element], witness, read],
                )
    if not reads or not any(it.is_ok for it in adds.values()):
        return unknown(NAME, "nothing was added, or nothing was read")
    return valid(
        NAME,
        f"{len(first_known)} elements stayed in all {len(reads)} reads after they were known",
        known=len(first_known),
        lost_track_of=len(adds) - len(first_known),
    )
