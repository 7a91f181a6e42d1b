"""Cuts what a cycle or a discovery found into writes that are let in. Pure; called by `workers`.

What was observed comes first, what was decided last and in one write. So after a crash between two
of them the records tell more of what was seen than was decided on, which the next cycle makes up
for; never of a decision without what it saw (ADR 0049). Changes of one record stay together: they
all name the revision that the cycle began with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from replicante.limits import RECORD_CHANGES_MAX, RECORD_PART_BYTES_MAX
from replicante.model.change import RecordKind
from replicante.state.record_commands import RecordChange

_OBSERVED: Final = (RecordKind.NODE, RecordKind.STORE_EXTRAS, RecordKind.SHARD)
_FRAME_BYTES: Final = 64
"""What packing adds to a change, generously."""


def cycle_parts(changes: Iterable[RecordChange]) -> tuple[tuple[RecordChange, ...], ...]:
    """In the order in which they are to be written; one part for all but very large clusters. The
    last one may still be too large to be let in: it is never cut."""
    made = tuple(changes)
    size_bytes = sum(map(change_bytes, made))
    if len(made) <= RECORD_CHANGES_MAX and size_bytes <= RECORD_PART_BYTES_MAX:
        return (made,)
    observed = [it for it in made if it.kind in _OBSERVED]
    decided = tuple(it for it in made if it.kind not in _OBSERVED)
    return (*slices(observed), decided)


def slices(
    changes: Iterable[RecordChange], *, records_max: int = RECORD_CHANGES_MAX
) -> Iterator[tuple[RecordChange, ...]]:
    """Each fits; a record that is changed twice is in one of them."""
    together: dict[tuple[RecordKind, tuple[str, ...]], list[RecordChange]] = {}
    for change in changes:
        together.setdefault((change.kind, change.names), []).append(change)
    part: list[RecordChange] = []
    size_bytes = 0
    for group in together.values():
        more_bytes = sum(map(change_bytes, group))
        is_full = len(part) + len(group) > records_max
        if part and (is_full or size_bytes + more_bytes > RECORD_PART_BYTES_MAX):
            yield tuple(part)
            part, size_bytes = [], 0
        part += group
        size_bytes += more_bytes
    if part:
        yield tuple(part)


def change_bytes(change: RecordChange) -> int:
    """At least what it takes in a packed command."""
    names = sum(len(name.encode()) for name in change.names)
    cause = len((change.cause or "").encode())
    return _FRAME_BYTES + names + cause + len(change.after or b"")
