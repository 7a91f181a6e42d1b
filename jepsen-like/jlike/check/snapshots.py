"""Decides whether peers came back by a copy of the state, and no other way was left. Pure.

Called by `jlike.judge`, beside the rules of sets and the digests of convergence. `lag` peer →
[peer, index up to which its log can reach, first index that any other peer keeps]. The entries
between are nowhere: it has them by a copy or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from jlike.history import Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "snapshots"


def check(operations: Iterable[Operation]) -> Finding:
    lags = [it for it in operations if it.f == "lag" and it.is_ok]
    for it in lags:
        _, had, kept = it.result
        if kept <= had + 1:
            return invalid(
                NAME, f"{it.value} is said to need a copy at {had}, and {kept} was kept", [it]
            )
    if not lags:
        return unknown(NAME, "no peer came back by a copy of the state")
    peers = {it.value for it in lags}
    return valid(
        NAME, f"{len(lags)} times a peer came back by a copy of the state", peers=len(peers)
    )
