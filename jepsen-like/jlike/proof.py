"""Decides what a run proves besides what its clients saw: green is more than no violation. Pure.

Called by `jlike.runner`. Every kind of operation must have succeeded under load, every fault that
was asked for must have taken effect, somebody else must have led, and no process may have ended
that nobody ended. Rule: what was not seen is unknown, never valid.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

from jlike.verdict import Finding, invalid, unknown, valid

FAULTS, PROCESSES, LOAD = "faults", "processes", "load"
PLACE_IS_TAKEN = ("is taken by another process", "another process listens on")
"""Ports of peers on loopback may be given to a client of anybody while their peer is away: such an
end is nobody's fault here."""

NO_ROOM, DISK_FULL = "There is no room to start", "diskfull"
"""A peer that a workload starts while a fault has filled its disk refuses so, as it should; it is
started again when there is room. One that runs stands still and does not end."""


def changes_of_leader(leaders: Mapping[int, str], *, since: int) -> int:
    """How often another peer came to lead than the one before, from that term on. leaders: term →
    who led it. A leader that follows itself in a later term is no change."""
    reigns = [leaders[term] for term in sorted(leaders) if term >= since]
    return sum(one != other for one, other in itertools.pairwise(reigns))


def of_faults(
    kinds: Sequence[str],
    *,
    effects: Mapping[str, int],
    breaches: Sequence[str],
    changes: int,
    terms: int,
) -> Finding:
    """kinds: that were asked for. effects: kind → how often it took effect. breaches: what peers
    did after one and must not. changes: of the leader, under load. terms: that were seen."""
    if breaches:
        return invalid(FAULTS, "; ".join(breaches))
    without = [kind for kind in kinds if not effects.get(kind)]
    if without:
        return unknown(FAULTS, f"took no effect: {', '.join(without)}")
    if kinds and not changes:
        return unknown(FAULTS, "the leader never changed")
    figures = {kind: effects[kind] for kind in kinds}
    said = f"{sum(figures.values())} faults, {terms} terms seen, {changes} changes of the leader"
    return valid(FAULTS, said, **figures, terms=terms)


def of_processes(unasked_ends: Sequence[str], *, kinds: Collection[str] = ()) -> Finding:
    """unasked_ends: of peers, in words, that nobody of the suite caused. kinds: of faults."""
    unexplained = [it for it in unasked_ends if NO_ROOM not in it or DISK_FULL not in kinds]
    defects = [it for it in unexplained if not any(sign in it for sign in PLACE_IS_TAKEN)]
    if defects:
        return invalid(PROCESSES, f"nobody had ended it: {'; '.join(defects)}")
    if unexplained:
        return unknown(PROCESSES, "; ".join(unexplained))
    return valid(PROCESSES, "no peer ended but by what was done to it")


def of_load(undone: Sequence[tuple[str, str]]) -> Finding:
    """undone: (workload, f) that never succeeded while the load went on; what is asked again
    afterwards proves nothing about faults."""
    if undone:
        names = ", ".join(f"{f} of {workload}" for workload, f in undone)
        return unknown(LOAD, f"never succeeded under load: {names}")
    return valid(LOAD, "every kind of operation succeeded under load")
