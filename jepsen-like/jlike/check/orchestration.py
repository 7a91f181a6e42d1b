"""Decides whether what agents were told fits what people ordered, under epochs that grow. Pure.

Called by `jlike.judge`. Values; the middle four are told by agents, at the instant of doing it:
  order   [node, action] asked of the control plane
  look    [node, epoch, peer]  the first question under an epoch that the agent answered
  obey    [node, epoch, peer, action, kind, args]  an order that it took, or took before
  refuse  [node, epoch, peer, path]  a call under an epoch that is over
  carry   [node, action]  it did it
  phase   [node, action] → phase  as the control plane tells during the load
  phases  null → [[action, phase], …]  the same of all, when all is quiet
An agent never does anything under an older epoch after a newer one. An epoch is one peer's: two
that use the same one could both be obeyed. An action reaches the node that it was ordered for,
always with the same words, and is carried out once; what nobody ordered, or what was refused, never
is. An order that was taken ends: done when its agent did it, and only then. An end is an end:
nothing else is told of an action afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable

from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "orchestration"
DONE = "DONE"
ENDS = frozenset({DONE, "FAILED", "LOST", "CANCELLED"})
NO_EPOCH = -1


def check(operations: Iterable[Operation]) -> Finding:
    found = list(operations)
    told = [it for it in found if it.f in ("look", "obey", "refuse", "carry")]
    orders = {it.value[1]: it for it in found if it.f == "order"}
    phases = [it for it in found if it.f == "phases" and it.is_ok]
    seen = [it for it in found if it.f == "phase" and it.is_ok]
    wrong = _epochs(told) or _orders(told, orders) or _second_thoughts(seen, phases)
    if wrong:
        return wrong
    carried = {it.value[1]: it for it in told if it.f == "carry"}
    for view in phases:
        wrong = _ends(view, orders, carried)
        if wrong:
            return wrong
    if not carried or not phases:
        return unknown(NAME, "nothing was carried out, or nobody told what came of it")
    epochs = {it.value[1] for it in told if it.f in ("look", "obey")}
    late = sum(it.f == "refuse" for it in told)
    return valid(
        NAME,
        f"{len(carried)} actions carried out once under {len(epochs)} epochs; {late} late calls"
        " were refused",
        carried=len(carried),
        epochs=len(epochs),
        refused=late,
    )


def _epochs(told: list[Operation]) -> Finding | None:
    greatest: dict[str, Operation] = {}
    owners: dict[int, Operation] = {}
    for it in told:
        if it.f == "carry":
            continue
        node, epoch, peer = it.value[:3]
        if epoch == NO_EPOCH:
            return invalid(NAME, f"{node} was called by {peer or 'a peer'} without an epoch", [it])
        owner = owners.setdefault(epoch, it)
        if peer and owner.value[2] and owner.value[2] != peer:
            return invalid(
                NAME, f"{owner.value[2]} and {peer} both used the epoch {epoch}", [owner, it]
            )
        if it.f == "refuse":
            continue
        before = greatest.setdefault(node, it)
        if epoch < before.value[1]:
            return invalid(
                NAME,
                f"{node} obeyed {peer or 'a peer'} under epoch {epoch} after {before.value[1]}",
                [before, it],
            )
        greatest[node] = it
    return None


def _orders(told: list[Operation], orders: dict[str, Operation]) -> Finding | None:
    words: dict[str, Operation] = {}
    carried: dict[str, Operation] = {}
    for it in told:
        if it.f == "obey":
            node, action = it.value[0], it.value[3]
            first = words.setdefault(action, it)
            if [node, *it.value[3:]] != [first.value[0], *first.value[3:]]:
                return invalid(NAME, f"action {action} was sent in two ways", [first, it])
        elif it.f == "carry":
            node, action = it.value
            other = carried.setdefault(action, it)
            if other is not it:
                return invalid(NAME, f"action {action} was carried out twice", [other, it])
        else:
            continue
        order = orders.get(action)
        if order is None or order.kind is Kind.FAIL or order.value[0] != node:
            why = "for another node" if order is not None else "by nobody"
            why = "and refused" if order is not None and order.kind is Kind.FAIL else why
            return invalid(NAME, f"{node} was sent action {action}, ordered {why}", [it])
    return None


def _second_thoughts(seen: list[Operation], phases: list[Operation]) -> Finding | None:
    """Reads are linearizable: one that was asked after another was answered is the later one."""
    ended: dict[str, Operation] = {}
    for it in sorted((it for it in seen if it.result in ENDS), key=lambda it: it.end):
        ended.setdefault(it.value[1], it)
    tellings = [(it.value[1], it.result, it) for it in seen]
    tellings += [(action, phase, view) for view in phases for action, phase in view.result]
    for action, phase, it in tellings:
        first = ended.get(action)
        if first is not None and first.before(it) and phase != first.result:
            return invalid(
                NAME, f"action {action} had ended as {first.result} and is {phase}", [first, it]
            )
    return None


def _ends(
    view: Operation, orders: dict[str, Operation], carried: dict[str, Operation]
) -> Finding | None:
    phases = dict(view.result)
    for action, order in orders.items():
        phase = phases.get(action)
        if order.is_ok and phase is None:
            return invalid(NAME, f"the order of {action} was taken and is lost", [order, view])
        if order.kind is Kind.FAIL and phase is not None:
            return invalid(NAME, f"the order of {action} was refused and is there", [order, view])
        if phase is None:
            continue
        if phase not in ENDS:
            return invalid(NAME, f"action {action} is {phase} when all is quiet", [order, view])
        deed = carried.get(action)
        if (phase == DONE) != (deed is not None):
            did = "did it" if deed is not None else "never did it"
            return invalid(
                NAME, f"action {action} ended as {phase}, and its agent {did}", [order, view]
            )
    return None
