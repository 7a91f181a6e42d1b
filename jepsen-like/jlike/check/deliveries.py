"""What claims of a work queue gave to whom. Pure; for `jlike.check.queue` and what it calls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jlike.history import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One job in the answer to one claim. attempt: 1 says that nobody was given it before; 0: the
    history does not tell."""

    claim: Operation
    id: str
    token: str
    body: str
    attempt: int


def deliveries_of(operations: Iterable[Operation]) -> list[Delivery]:
    return [
        Delivery(
            claim=it,
            id=str(job[0]),
            token=str(job[1]),
            body=str(job[2]),
            attempt=job[3] if len(job) > 3 else 0,
        )
        for it in operations
        if it.f == "claim" and it.is_ok
        for job in it.result
    ]
