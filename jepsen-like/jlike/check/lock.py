"""Decides whether a lease ever had two holders, or a token that went backwards. Pure.

Called by `jlike.judge`. `acquire` [name, duration_ns] → token; `release` [name, token]; `renew`
[name, token, duration_ns]; `use` [name, token]: a write that only the holder may make, of a record
that is there while it holds; `guarded` [name, null] → [name, token of who wrote that, or null];
`store` [name, token]: a write to a resource outside, which refuses (`fenced`) what is lower than a
token that it has seen, and knows nothing else.
A lease may be granted again when its holder gave it back (or may have), or when its time is over,
counted from the moment the holder last asked for it. Until then whoever holds it is not refused
(`stale_token`); after it, nobody acts as its holder.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable

from jlike.check import lock_ends
from jlike.check.clocks import sure_ns
from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "lock"
KINDS = ("acquire", "renew", "release", "use", "guarded", "store")
FENCED = "fenced"


def check(operations: Iterable[Operation]) -> Finding:
    by_name: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.f in KINDS:
            by_name[str(operation.value[0])].append(operation)
    grants = 0
    spent = lock_ends.spent_of(by_name)
    for name, found in sorted(by_name.items()):
        acquired = [it for it in found if it.f == "acquire" and it.is_ok]
        grants += len(acquired)
        wrong = _order(name, acquired) or _overlap(name, acquired, found) or _late(name, found)
        wrong = wrong or _record(name, found) or _outside(name, found)
        wrong = wrong or lock_ends.refused(NAME, name, found)
        wrong = wrong or lock_ends.over(NAME, name, found, spent)
        if wrong:
            return wrong
    if not grants:
        return unknown(NAME, "no lease was ever granted")
    return valid(NAME, f"{grants} grants, each alone while it lasted", grants=grants)


def _order(name: str, acquired: list[Operation]) -> Finding | None:
    seen: dict[str, Operation] = {}
    for grant in acquired:
        other = seen.setdefault(grant.result, grant)
        if other is not grant:
            return invalid(NAME, f"{name}: two grants have one token", [other, grant])
    greatest: Operation | None = None
    by_return = sorted(acquired, key=lambda it: it.end)
    at = 0
    for grant in acquired:  # in the order of the calls
        while at < len(by_return) and by_return[at].before(grant):
            if greatest is None or by_return[at].result > greatest.result:
                greatest = by_return[at]
            at += 1
        if greatest is not None and grant.result <= greatest.result:
            return invalid(NAME, f"{name}: a later grant's token is not greater", [greatest, grant])
    return None


def _overlap(name: str, acquired: list[Operation], found: list[Operation]) -> Finding | None:
    by_token = sorted(acquired, key=lambda it: str(it.result))
    for one, other in itertools.pairwise(by_token):
        mine = [it for it in found if it.f != "acquire" and it.value[1] == one.result]
        given_back = [it for it in mine if it.f == "release" and it.kind is not Kind.FAIL]
        if any(it.called < other.end for it in given_back):
            continue
        asked = [one, *(it for it in mine if it.f == "renew" and it.is_ok and it.before(other))]
        for last in asked:
            duration = last.value[-1]
            gap = (other.returned_ns or 0) - last.called_ns
            if gap < sure_ns(duration):
                return invalid(
                    NAME,
                    f"{name} was granted again {gap / 1e6:.0f} ms after its holder was told"
                    f" that it has {duration / 1e6:.0f} ms",
                    [last, other],
                )
    return None


def _late(name: str, found: list[Operation]) -> Finding | None:
    """Nobody renews, uses or gives back a lease that was given back, or granted to another since;
    and nothing that such a holder wrote is shown."""
    given_back: dict[str, Operation] = {}
    for it in found:
        if it.f == "release" and it.is_ok:
            other = given_back.setdefault(it.value[1], it)
            if other is not it:
                return invalid(NAME, f"{name} was given back twice by one holder", [other, it])
    grants = [it for it in found if it.f == "acquire" and it.is_ok]
    for late in found:
        token = late.result[1] if late.f == "guarded" and late.is_ok else late.value[1]
        if late.f in ("acquire", "store") or not late.is_ok or token is None:
            continue
        release = given_back.get(token, late)
        if release is not late and release.before(late):
            return invalid(NAME, f"{name}: {late.f} of what was given back", [release, late])
        for grant in grants:
            if grant.result > token and grant.before(late):
                return invalid(
                    NAME, f"{name}: {late.f} with the token of a holder of the past", [grant, late]
                )
    return None


def _record(name: str, found: list[Operation]) -> Finding | None:
    """What is shown was written by whom it names; and what a holder wrote is there while it
    certainly holds."""
    uses = [it for it in found if it.f == "use" and it.kind is not Kind.FAIL]
    for read in (it for it in found if it.f == "guarded" and it.is_ok):
        shown = read.result[1]
        if shown is not None and not any(
            it.value[1] == shown and it.called < read.end for it in uses
        ):
            return invalid(NAME, f"{name}: {shown} is shown, and did not write", [read])
        for use in uses if shown is None else ():
            grant = lock_ends.holds(found, use.value[1], until=read)
            if use.before(read) and grant is not None:
                return invalid(
                    NAME,
                    f"{name}: what its holder wrote is gone while it holds",
                    [grant, use, read],
                )
    return None


def _outside(name: str, found: list[Operation]) -> Finding | None:
    """Tokens are enough: nobody writes after a holder of later, and whoever certainly holds is
    never refused."""
    stores = [it for it in found if it.f == "store"]
    greatest: Operation | None = None
    by_return = sorted((it for it in stores if it.is_ok), key=lambda it: it.end)
    at = 0
    for store in stores:  # in the order of the calls
        while at < len(by_return) and by_return[at].before(store):
            if greatest is None or by_return[at].value[1] > greatest.value[1]:
                greatest = by_return[at]
            at += 1
        if store.is_ok and greatest is not None and store.value[1] < greatest.value[1]:
            return invalid(
                NAME,
                f"{name}: a holder of the past wrote outside after a later one",
                [greatest, store],
            )
        grant = (
            lock_ends.holds(found, store.value[1], until=store) if store.error == FENCED else None
        )
        if grant is not None:
            return invalid(
                NAME, f"{name}: its holder was refused outside while it holds", [grant, store]
            )
    return None
