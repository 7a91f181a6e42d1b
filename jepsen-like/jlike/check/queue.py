"""Decides whether a work queue lost, invented or repeated work. Pure; linear in the history.

Called by `jlike.judge`. Values:
  enqueue  the body, unique                               (an unanswered one may be there)
  claim    null → [[id, token, body, attempt], …]         visibility: nanoseconds, from the caller
                                                          (histories of before tell no attempt)
  ack      [id, token, body]
  nack     [id, token, body]: given back, so that it may be claimed again at once
  drain    null → [body, …]: what is still there at the end, whoever holds it
  left     the same, after everybody worked until nobody was given anything any more
Lost: an enqueue was acknowledged, and its body neither acknowledged as done (or maybe so) nor still
there. Invented: a body that nobody asked for. Done twice: a claim that was asked after an
acknowledgement was answered shows the same body. Stale: an ack is accepted though a newer claim had
been answered before it was asked. Early: a second claim before the first one's time was over.
Stuck: still there when nobody is given anything any more. Over: an ack is accepted though its claim
had run out. Refused: a token is said to hold nothing while it certainly does. Out of turn: a claim
is given less than it asked for, or a younger job, while another one certainly waits.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable

from jlike.check import queue_claims, queue_turns
from jlike.check.clocks import sure_ns
from jlike.check.deliveries import Delivery, deliveries_of
from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "queue"


def check(operations: Iterable[Operation], *, visibility_ns: int, claim_max: int = 0) -> Finding:
    """claim_max: jobs that each claim asks for, where all are alike. 0: they differ in delay,
    priority or group, so nothing is said about whose turn it is."""
    found = list(operations)
    enqueues = {str(it.value): it for it in found if it.f == "enqueue"}
    acks = [it for it in found if it.f == "ack"]
    nacks = [it for it in found if it.f == "nack"]
    drains = [it for it in found if it.f in ("drain", "left") and it.is_ok]
    deliveries = deliveries_of(found)
    wrong = (
        _invented(enqueues, deliveries, drains)
        or _done_twice(acks, deliveries, drains)
        or _stale([*acks, *nacks], deliveries)
        or _early(deliveries, nacks, visibility_ns=visibility_ns)
        or queue_claims.over(NAME, found, deliveries)
        or queue_claims.refused(NAME, found, deliveries, visibility_ns=visibility_ns)
        or _two_drains_differ(drains)
        or _lost(enqueues, acks, drains)
        or _stuck(drains)
    )
    if not wrong and claim_max:
        wrong = queue_turns.wrong(
            NAME, found, deliveries, visibility_ns=visibility_ns, claim_max=claim_max
        )
    if wrong:
        return wrong
    done = sum(it.is_ok for it in acks)
    if not drains or not done:
        return unknown(NAME, "the queue was never drained, or nothing was done")
    left = len(drains[-1].result)
    sent = sum(it.is_ok for it in enqueues.values())
    return valid(
        NAME,
        f"{sent} jobs sent, {done} done, {left} left at the end; none lost or done twice",
        done=done,
        left=left,
    )


def _invented(
    enqueues: dict[str, Operation], deliveries: list[Delivery], drains: list[Operation]
) -> Finding | None:
    seen = [(it.claim, it.body) for it in deliveries]
    seen += [(it, str(body)) for it in drains for body in it.result]
    for operation, body in seen:
        asked = enqueues.get(body)
        if asked is None or asked.kind is Kind.FAIL:
            why = "nobody sent" if asked is None else "was refused"
            return invalid(NAME, f"job {body} was given out, which {why}", [operation])
    for drain in drains:
        for body, count in Counter(map(str, drain.result)).items():
            if count > 1:
                return invalid(NAME, f"job {body} is there {count} times at the end", [drain])
    ids: dict[str, Delivery] = {}
    bodies: dict[str, Delivery] = {}
    for delivery in deliveries:
        first = bodies.setdefault(delivery.id, delivery)
        if first.body != delivery.body:
            return invalid(
                NAME,
                f"jobs {first.body} and {delivery.body} have one id",
                [first.claim, delivery.claim],
            )
        first = ids.setdefault(delivery.body, delivery)
        if first.id != delivery.id:
            return invalid(
                NAME, f"job {delivery.body} is there twice", [first.claim, delivery.claim]
            )
    return None


def _done_twice(
    acks: list[Operation], deliveries: list[Delivery], drains: list[Operation]
) -> Finding | None:
    done: dict[str, Operation] = {}
    for ack in acks:
        if ack.is_ok:
            other = done.setdefault(str(ack.value[2]), ack)
            if other is not ack:
                return invalid(NAME, f"job {ack.value[2]} was acknowledged twice", [other, ack])
    shown = [(it.claim, it.body) for it in deliveries]
    shown += [(it, str(body)) for it in drains for body in it.result]
    for operation, body in shown:
        finished = done.get(body)
        if finished is not None and finished.before(operation):
            return invalid(
                NAME, f"job {body} was given out after it was done", [finished, operation]
            )
    return None


def _stale(acks: list[Operation], deliveries: list[Delivery]) -> Finding | None:
    by_body: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        by_body[delivery.body].append(delivery)
    for body, found in by_body.items():
        tokens = {it.token for it in found}
        if len(tokens) < len(found):
            return invalid(
                NAME, f"job {body}: one token for two claims", [it.claim for it in found]
            )
        for one in found:
            for other in found:
                if one.claim.before(other.claim) and other.token <= one.token:
                    return invalid(
                        NAME,
                        f"job {body}: a later claim's token is lower",
                        [one.claim, other.claim],
                    )
    given = {it.token: it for it in deliveries}
    for ack in acks:
        mine = given.get(str(ack.value[1])) if ack.is_ok else None
        if mine is not None and [mine.id, mine.body] != [ack.value[0], str(ack.value[2])]:
            did = "acknowledged" if ack.f == "ack" else "given back"
            return invalid(
                NAME,
                f"job {ack.value[2]} was {did} with the token that job {mine.body} was claimed by,"
                f" under the id {ack.value[0]}",
                [mine.claim, ack],
            )
        for delivery in by_body[str(ack.value[2])] if ack.is_ok else ():
            if delivery.claim.before(ack) and delivery.token > ack.value[1]:
                did = "acknowledged" if ack.f == "ack" else "given back"
                return invalid(
                    NAME,
                    f"job {delivery.body} was {did} with the token of a claim that was over",
                    [delivery.claim, ack],
                )
    return None


def _early(
    deliveries: list[Delivery], nacks: list[Operation], *, visibility_ns: int
) -> Finding | None:
    least = sure_ns(visibility_ns)
    given_back = {str(it.value[1]): it for it in nacks if it.kind is not Kind.FAIL}
    last: dict[str, Delivery] = {}
    for delivery in sorted(deliveries, key=lambda it: it.token):
        before = last.get(delivery.body)
        last[delivery.body] = delivery
        if before is None:
            continue
        nack = given_back.get(before.token)
        if nack is not None and nack.called < delivery.claim.end:
            continue
        gap = (delivery.claim.returned_ns or 0) - before.claim.called_ns
        if gap < least:
            return invalid(
                NAME,
                f"job {delivery.body} was claimed again after {gap / 1e6:.0f} ms"
                f" of {visibility_ns / 1e6:.0f} ms",
                [before.claim, delivery.claim],
            )
    return None


def _two_drains_differ(drains: list[Operation]) -> Finding | None:
    for one, other in itertools.pairwise(drains):
        if sorted(map(str, one.result)) != sorted(map(str, other.result)):
            return invalid(
                NAME, f"{one.peer} and {other.peer} hold different jobs at the end", [one, other]
            )
    return None


def _lost(
    enqueues: dict[str, Operation], acks: list[Operation], drains: list[Operation]
) -> Finding | None:
    if not drains:
        return None
    maybe_done = {str(it.value[2]) for it in acks if it.kind is not Kind.FAIL}
    left = {str(body) for body in drains[-1].result}
    for body, enqueue in enqueues.items():
        if enqueue.is_ok and enqueue.before(drains[-1]) and body not in maybe_done | left:
            return invalid(NAME, f"job {body} was acknowledged and is lost", [enqueue, drains[-1]])
    return None


def _stuck(drains: list[Operation]) -> Finding | None:
    for drain in drains:
        if drain.f == "left" and drain.result:
            return invalid(NAME, f"job {drain.result[0]} is there and nobody is given it", [drain])
    return None
