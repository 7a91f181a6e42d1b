"""Decides whether peers can be restarted one by one without anybody's losing an answer. Pure.

Called by `jlike.judge`. `roll` peer: told to end, started again, ready again. A restart that had to
be ended by force, or after which the peer was not ready in time, did not work: then the run proves
nothing about restarts. How many questions got no answer is told as a figure.
"""

from __future__ import annotations

from collections.abc import Iterable

from jlike.history import Kind, Operation
from jlike.verdict import Finding, unknown, valid

NAME = "rolling"


def check(operations: Iterable[Operation]) -> Finding:
    found = list(operations)
    rolls = [it for it in found if it.f == "roll" and it.kind is not Kind.INFO]
    asked = [it for it in found if it.f != "roll"]
    unanswered = sum(it.kind is Kind.INFO for it in asked)
    failed = [it for it in rolls if it.kind is Kind.FAIL]
    if failed:
        return unknown(NAME, f"{failed[0].value} did not restart: {failed[0].error}")
    if not rolls:
        return unknown(NAME, "nobody was restarted")
    return valid(
        NAME,
        f"{len(rolls)} restarts, {unanswered} of {len(asked)} questions without an answer",
        restarts=len(rolls),
        unanswered=unanswered,
    )
