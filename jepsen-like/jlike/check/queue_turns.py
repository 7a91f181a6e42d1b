"""Decides whether a queue gave what waited, and the oldest first. Pure.

Called by `jlike.check.queue`, for queues whose jobs are alike: no delays, priorities or groups.

A job waits for certain from the answer to whoever sent it until somebody asks for the claim that
was given it first. Which claim that was, its first attempt says. Without that it may have been with
a claim that nobody heard of, or that was so late with its answer that it left out what had run out:
of each such claim as many jobs as it asked for are taken off.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jlike.check.clocks import sure_ns
from jlike.check.deliveries import Delivery
from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """From the answer to an enqueue until a position in the history."""

    enqueue: Operation
    until: float
    is_certain: bool


def wrong(
    name: str,
    operations: Sequence[Operation],
    deliveries: Sequence[Delivery],
    *,
    visibility_ns: int,
    claim_max: int,
) -> Finding | None:
    """claim_max: jobs that each claim asks for."""
    claims = [it for it in operations if it.f == "claim" and it.is_ok]
    deaf = sorted(it.called for it in operations if _is_deaf(it, visibility_ns=visibility_ns))
    sent = {str(it.value): it for it in operations if it.f == "enqueue"}
    waits = sorted(_waits(operations, deliveries), key=lambda it: it.until)
    waiting = _Waiting()
    for claim in sorted(claims, key=lambda it: it.end, reverse=True):
        while waits and waits[-1].until > claim.end:
            waiting.add(waits.pop())
        taken = claim_max * bisect.bisect_left(deaf, claim.end)
        is_short = len(claim.result) < claim_max and claim.called not in deaf
        left = waiting.oldest(claim.called, besides=taken) if is_short else None
        if left is not None:
            return invalid(
                name,
                f"job {left.value} waited, and a claim at {claim.peer} was given"
                f" {len(claim.result)} of {claim_max} jobs",
                [left, claim],
            )
        for job in claim.result:
            younger = sent.get(str(job[2]))
            older = waiting.oldest(younger.called, besides=taken) if younger else None
            if younger is not None and older is not None:
                return invalid(
                    name,
                    f"job {younger.value} was given out while job {older.value} waited, which was"
                    " there before it was sent",
                    [older, younger, claim],
                )
    return None


def _is_deaf(operation: Operation, *, visibility_ns: int) -> bool:
    """It may have been given what no answer tells of."""
    if operation.f != "claim" or operation.kind is Kind.FAIL:
        return False
    late_ns = (operation.returned_ns or 0) - operation.called_ns
    return not operation.is_ok or late_ns >= sure_ns(visibility_ns)


def _waits(operations: Iterable[Operation], deliveries: Iterable[Delivery]) -> list[Wait]:
    until: dict[str, float] = {}
    first: Mapping[str, float] = {it.body: it.claim.called for it in deliveries if it.attempt == 1}
    for it in deliveries:
        until[it.body] = min(until.get(it.body, float("inf")), it.claim.called)
    enqueues = []
    for operation in operations:
        if operation.f == "ack" and operation.kind is not Kind.FAIL:
            body = str(operation.value[2])
            until[body] = min(until.get(body, float("inf")), operation.called)
        elif operation.f == "enqueue" and operation.is_ok:
            enqueues.append(operation)
    return [
        Wait(
            enqueue=it,
            until=until.get(str(it.value), float("inf")),
            is_certain=str(it.value) in first,
        )
        for it in enqueues
    ]


class _Waiting:
    """Jobs by when it was answered that they are there."""

    def __init__(self) -> None:
        self._certain: list[tuple[float, int]] = []
        self._others: list[tuple[float, int]] = []
        self._enqueues: dict[int, Operation] = {}

    def add(self, it: Wait) -> None:
        self._enqueues[it.enqueue.called] = it.enqueue
        place = (it.enqueue.end, it.enqueue.called)
        bisect.insort(self._certain if it.is_certain else self._others, place)

    def oldest(self, before: float, *, besides: int) -> Operation | None:
        """One that was there before this position; of those that others may have, as many may be
        missing."""
        found = self._certain[:1]
        if not found or found[0][0] >= before:
            count = bisect.bisect_left(self._others, (before,))
            found = self._others[:1] if count > besides else []
        return self._enqueues[found[0][1]] if found else None
