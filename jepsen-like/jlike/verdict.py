"""Verdicts and how they add up: false outweighs unknown, unknown outweighs true. Pure.

Made by checkers, merged by `jlike.judge`. Rule: unknown is never green.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jlike.history import Operation, Value


class Verdict(enum.StrEnum):
    VALID = "valid"
    UNKNOWN = "unknown"
    INVALID = "invalid"

    @property
    def exit_code(self) -> int:
        return {Verdict.VALID: 0, Verdict.INVALID: 1, Verdict.UNKNOWN: 2}[self]


_WEIGHT = {Verdict.VALID: 0, Verdict.UNKNOWN: 1, Verdict.INVALID: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One checker's word. reason: a sentence for people. operations: the smallest set that shows
    it. figures: what was counted."""

    checker: str
    verdict: Verdict
    reason: str
    operations: Sequence[Operation] = ()
    figures: Mapping[str, Value] = field(default_factory=dict)


def worst(findings: Iterable[Finding]) -> Verdict:
    """No finding at all proves nothing."""
    verdicts = [finding.verdict for finding in findings]
    return max(verdicts, key=_WEIGHT.__getitem__, default=Verdict.UNKNOWN)


def worse(one: Finding, other: Finding) -> Finding:
    """The first when neither is worse: it came first."""
    return max(one, other, key=lambda it: _WEIGHT[it.verdict])


def valid(checker: str, reason: str, **figures: Value) -> Finding:
    return Finding(checker=checker, verdict=Verdict.VALID, reason=reason, figures=figures)


def unknown(checker: str, reason: str, **figures: Value) -> Finding:
    return Finding(checker=checker, verdict=Verdict.UNKNOWN, reason=reason, figures=figures)


def invalid(checker: str, reason: str, operations: Sequence[Operation] = ()) -> Finding:
    return Finding(
        checker=checker, verdict=Verdict.INVALID, reason=reason, operations=tuple(operations)
    )
