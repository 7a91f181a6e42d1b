"""Decides whether members came and went as they were told to. Pure.

Called by `jlike.judge`, beside the rules of sets. Values:
  first   [peer, …]: who voted when the run began
  grow    peer → peer: taken in, ready, voting
  shrink  peer → [peer, whether it answered a linearizable read without what was written before]
  voters  null → [peer, …] as one member sees it, when all is quiet
One change comes after the other, so at the end each peer votes whose last change was to be taken
in, or that was there at first and never removed, and nobody else; of a change whose outcome is open
nothing is said. All members name the same voters, and each of them is asked.
"""

from __future__ import annotations

from collections.abc import Iterable

from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "members"


def check(operations: Iterable[Operation]) -> Finding:
    last: dict[str, Operation] = {}
    first: Operation | None = None
    voters: list[Operation] = []
    changes = 0
    for it in operations:
        if it.f in ("grow", "shrink") and it.kind is not Kind.FAIL:
            last[it.value] = it
            changes += it.is_ok
            if it.f == "shrink" and it.is_ok and it.result[1]:
                return invalid(
                    NAME,
                    f"{it.value} was removed and answered a linearizable read from before",
                    [it],
                )
        elif it.f == "voters" and it.is_ok:
            voters.append(it)
        elif it.f == "first":
            first = it
    for view in voters:
        if view.result != voters[0].result:
            return invalid(
                NAME,
                f"{voters[0].peer} and {view.peer} name different voters at the end",
                [voters[0], view],
            )
        wrong = _changed(view, last) or _untouched(view, last, first)
        if wrong:
            return wrong
    if not voters or not changes:
        return unknown(NAME, "nobody came or went, or nobody named the voters")
    if first is None:
        return unknown(NAME, "nobody told who voted at first")
    certain = {it for it in voters[0].result if it not in last or last[it].is_ok}
    if missing := sorted(certain - {it.peer for it in voters}):
        return unknown(NAME, f"{missing[0]} votes and never named the voters")
    return valid(NAME, f"{changes} changes; voters at the end: {', '.join(voters[0].result)}")


def _changed(view: Operation, last: dict[str, Operation]) -> Finding | None:
    for peer_id, change in last.items():
        votes = peer_id in view.result
        if change.is_ok and votes != (change.f == "grow"):
            done = "taken in" if change.f == "grow" else "removed"
            word = "votes" if votes else "does not vote"
            return invalid(
                NAME, f"{peer_id} was {done} last, and {word} at {view.peer}", [change, view]
            )
    return None


def _untouched(
    view: Operation, last: dict[str, Operation], first: Operation | None
) -> Finding | None:
    if first is None:
        return None
    for peer_id in sorted({*first.value, *view.result} - set(last)):
        if peer_id not in view.result:
            reason = f"nobody removed {peer_id}, and it does not vote at {view.peer}"
            return invalid(NAME, reason, [first, view])
        if peer_id not in first.value:
            reason = f"nobody took {peer_id} in, and it votes at {view.peer}"
            return invalid(NAME, reason, [first, view])
    return None
