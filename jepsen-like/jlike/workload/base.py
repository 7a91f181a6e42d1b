"""What a workload is: the questions it thinks of, how they are asked, what judges the answers.

Called by `jlike.clients` (next, perform), `jlike.runner` (setup, final) and `jlike.judge` (check).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jlike.history import Kind, Operation, Value
from jlike.http import Answer, Http
from jlike.verdict import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an operation came to, as it stands in the history."""

    kind: Kind
    value: Value = None
    error: str = ""


class Workload(Protocol):
    name: str

    @property
    def kinds(self) -> Sequence[str]:
        """Of operations; each must succeed at least once."""

    def next(self, chance: random.Random) -> tuple[str, Value]:
        """(f, value) of the next question."""

    async def setup(self, http: Http, url: str) -> bool:
        """What must be there before the first question. False: it could not be made."""

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        """Asks one peer, once."""

    def final(self) -> Sequence[tuple[str, Value]]:
        """Asked of every peer in turn, when all is healed and quiet."""

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        """Pure."""


def outcome(answer: Answer, value: Value = None) -> Outcome:
    """Of a write. value: when it was carried out."""
    is_ok = answer.kind is Kind.OK
    return Outcome(kind=answer.kind, value=value if is_ok else None, error=answer.code)


def read_outcome(answer: Answer, value: Value = None) -> Outcome:
    """Of a read: without an answer nothing has happened, whatever the reason."""
    if answer.kind is Kind.OK:
        return Outcome(kind=Kind.OK, value=value)
    return Outcome(kind=Kind.FAIL, error=answer.code)
