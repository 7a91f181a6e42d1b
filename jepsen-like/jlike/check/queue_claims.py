"""Decides whether claims of a queue ended when they had to, and not before. Pure.

Called by `jlike.check.queue`, which describes the values.

How long a claim lasts at least is counted by our clock: the cluster's is not faster, but for what
`jlike.check.clocks` takes off. How long it lasts at most is not: the clock of a cluster stands
still while nobody leads, so no time of ours proves that a claim is over. Another claim does. One
that was asked for later, for as long, and ran out (its job was given to somebody else, and nobody
gave it back) took all of its time from the cluster's clock; so then this one is over, too.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence

from jlike.check.clocks import sure_ns
from jlike.check.deliveries import Delivery
from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid

REFUSALS = ("stale_token", "not_found")
"""What says that a token holds nothing."""


def over(
    name: str, operations: Sequence[Operation], deliveries: Sequence[Delivery]
) -> Finding | None:
    """An acknowledgement, or a job given back, with the token of a claim that had run out."""
    prolonged = {_token(it) for it in operations if it.f == "extend" and it.kind is not Kind.FAIL}
    given = {it.token: it for it in deliveries}
    ran_out = sorted(_ran_out(operations, deliveries), key=lambda pair: pair[1].claim.end)
    ends = [after.claim.end for _, after in ran_out]
    latest = list(itertools.accumulate(ran_out, _asked_later))
    for it in operations:
        mine = given.get(_token(it)) if it.f in ("ack", "nack") and it.is_ok else None
        at = bisect.bisect_left(ends, it.called)
        if mine is None or not at or mine.token in prolonged:
            continue
        other, again = latest[at - 1]
        if mine.claim.before(other.claim):
            did = "acknowledged" if it.f == "ack" else "given back"
            return invalid(
                name,
                f"job {mine.body} was {did} though its claim had run out: a later one, of job"
                f" {other.body}, had run out before",
                [mine.claim, other.claim, again.claim, it],
            )
    return None


def _ran_out(
    operations: Iterable[Operation], deliveries: Iterable[Delivery]
) -> list[tuple[Delivery, Delivery]]:
    """(claim that ran out, claim that shows it), of one job each."""
    given_back = {_token(it) for it in operations if it.f == "nack" and it.kind is not Kind.FAIL}
    by_body: dict[str, list[Delivery]] = defaultdict(list)
    for it in sorted(deliveries, key=lambda it: it.token):
        by_body[it.body].append(it)
    return [
        (one, other)
        for found in by_body.values()
        for one, other in itertools.pairwise(found)
        if one.token not in given_back
    ]


def _asked_later(
    one: tuple[Delivery, Delivery], other: tuple[Delivery, Delivery]
) -> tuple[Delivery, Delivery]:
    return max(one, other, key=lambda pair: pair[0].claim.called)


def refused(
    name: str,
    operations: Sequence[Operation],
    deliveries: Sequence[Delivery],
    *,
    visibility_ns: int,
) -> Finding | None:
    """A token that was said to hold nothing while it certainly did."""
    given = {it.token: it for it in deliveries}
    uses: dict[str, list[Operation]] = defaultdict(list)
    shown_at: dict[str, int] = {}
    for it in operations:
        if it.f in ("ack", "nack") and it.kind is not Kind.FAIL:
            uses[_token(it)].append(it)
        if it.f in ("drain", "left") and it.is_ok:
            shown_at |= {str(body): it.called for body in it.result}
    for it in operations:
        if it.f not in ("ack", "nack") or it.kind is not Kind.FAIL or it.error not in REFUSALS:
            continue
        mine = given.get(_token(it))
        if mine is None or mine.id != it.value[0] or not mine.claim.before(it):
            continue
        held_ns = (it.returned_ns or 0) - mine.claim.called_ns
        is_there = shown_at.get(mine.body, -1) > it.end
        if held_ns < sure_ns(visibility_ns) and not any(
            _may_have_ended(use, before=it, is_there=is_there) for use in uses[mine.token]
        ):
            return invalid(
                name,
                f"job {mine.body}: its holder was told {it.error} {held_ns / 1e6:.0f} ms after it"
                f" had asked for {visibility_ns / 1e6:.0f} ms",
                [mine.claim, it],
            )
    return None


def _may_have_ended(use: Operation, *, before: Operation, is_there: bool) -> bool:
    """is_there: the job was seen afterwards, so an acknowledgement that nobody heard of came later
    or never."""
    if use.called > before.end:
        return False
    return use.is_ok or use.f == "nack" or not is_there


def _token(operation: Operation) -> str:
    return str(operation.value[1]) if isinstance(operation.value, list) else ""
