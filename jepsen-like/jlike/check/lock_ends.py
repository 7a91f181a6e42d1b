"""Decides whether a lease ended before its time, or not when it had to. Pure.

Called by `jlike.check.lock`, which describes the values.

How long a lease lasts at most cannot be counted by our clock: that of the cluster stands still
while nobody leads. Another lease counts it, of whichever name: one that was granted after this one
was asked for last, for as long or longer, and ran out (was granted again, and nobody gave it back).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jlike.check.clocks import sure_ns
from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid

STALE = "stale_token"
"""Says that a token holds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A lease that ran out, and the grant that shows it."""

    grant: Operation
    again: Operation


def spent_of(by_name: Mapping[str, Sequence[Operation]]) -> list[Spent]:
    """In the order of the grants that show it."""
    found = []
    for operations in by_name.values():
        given_back = {
            it.value[1] for it in operations if it.f == "release" and it.kind is not Kind.FAIL
        }
        grants = [it for it in operations if it.f == "acquire" and it.is_ok]
        for one, other in itertools.pairwise(sorted(grants, key=lambda it: str(it.result))):
            if one.result not in given_back:
                found.append(Spent(grant=one, again=other))
    return sorted(found, key=lambda it: it.again.end)


def over(checker: str, name: str, found: list[Operation], spent: list[Spent]) -> Finding | None:
    """Something that only a holder may do, or what it wrote, after its lease ran out."""
    asked_by: dict[str | None, list[Operation]] = defaultdict(list)
    for it in found:
        if it.f in ("acquire", "renew") and it.kind is not Kind.FAIL:
            asked_by[token_of(it)].append(it)
    for it in found:
        token = it.result[1] if it.f == "guarded" and it.is_ok else token_of(it)
        if it.f in ("acquire", "store") or not it.is_ok or token is None:
            continue
        asked = [other for other in asked_by[token] if other.called < it.end and other is not it]
        last = max((other.end for other in asked), default=float("inf"))
        longest = max((other.value[-1] for other in asked), default=0)
        for one in spent:
            if one.again.end >= it.called:
                break
            if last < one.grant.called and one.grant.value[-1] >= longest:
                return invalid(
                    checker,
                    f"{name}: {it.f} with the token of a lease that had run out: a later one, of"
                    f" {one.grant.value[0]}, had run out before",
                    [asked[-1], one.grant, one.again, it],
                )
    return None


def refused(checker: str, name: str, found: list[Operation]) -> Finding | None:
    """Whoever certainly holds is told that it does not."""
    for it in found:
        if it.f in ("use", "renew", "release") and it.kind is Kind.FAIL and it.error == STALE:
            grant = holds(found, it.value[1], until=it)
            if grant is not None:
                return invalid(
                    checker, f"{name}: {it.f} of its holder was refused while it holds", [grant, it]
                )
    return None


def holds(found: list[Operation], token: str, *, until: Operation) -> Operation | None:
    """The grant or renewal that certainly lasts until this was answered."""
    mine = [it for it in found if it.f != "guarded" and token_of(it) == token]
    given_back = [it for it in mine if it.f == "release" and it.called < until.end]
    if any(it.is_ok for it in given_back):
        return None
    if any(it.kind is Kind.INFO for it in given_back) and not _is_known_later(found, token, until):
        return None
    for it in mine:
        if it.f in ("acquire", "renew") and it.is_ok and it.before(until):
            gap = (until.returned_ns or 0) - it.called_ns
            if gap < sure_ns(it.value[-1]):
                return it
    return None


def _is_known_later(found: list[Operation], token: str, until: Operation) -> bool:
    """So a release that nobody heard of came later or never."""
    return any(
        it.is_ok and until.before(it)
        for it in found
        if (it.result[1] == token if it.f == "guarded" and it.is_ok else it.value[1] == token)
        if it.f not in ("acquire", "store")
    )


def token_of(operation: Operation) -> str | None:
    is_grant = operation.f == "acquire"
    found = operation.result if is_grant else operation.value[1]
    return None if found is None else str(found)
