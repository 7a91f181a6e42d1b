"""Decides whether a failed attempt is repeated. Pure; called by `calls` and `follow`.

Rule: nothing is ever sent twice that could happen twice. A read may be repeated; a write may when
the attempt certainly did nothing, or when it carries a key under which it happens only once.
docs/adr/0010-sdk-retries.md has the table and the reasons.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from replicante import errors, limits


class FailureKind(enum.Enum):
    NOT_SENT = "not_sent"
    """No connection: the peer never saw the request."""
    NO_ANSWER = "no_answer"
    """Sent, at least in part, and not answered: it may have happened."""
    PROBLEM = "problem"
    """A peer said no, and whether that is definite."""
    BAD_ANSWER = "bad_answer"
    """Something answered that is no peer: a proxy, another program. It may have happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why one attempt gave no result. `error` is what the caller sees if it ends here."""

    kind: FailureKind
    error: errors.ReplicanteError
    retry_after_ms: int = 0

    @property
    def is_definite(self) -> bool:
        """Whether the attempt certainly did nothing."""
        if self.kind is FailureKind.NOT_SENT:
            return True
        return self.kind is FailureKind.PROBLEM and self.error.definite


class Verdict(enum.Enum):
    RAISE = "raise"
    """It is the caller's answer."""
    REPEAT = "repeat"
    """Ask the next endpoint, and all again after a pause, until the deadline."""
    REPEAT_ONCE_EACH = "repeat_once_each"
    """Ask the next endpoint, none of them twice: it is probably our bug."""


def judge(failure: Failure, *, is_repeatable: bool) -> Verdict:
    """is_repeatable: a read, or a write that carries an Idempotency-Key."""
    if failure.is_definite:
        if failure.kind is FailureKind.NOT_SENT or failure.error.retry:
            return Verdict.REPEAT
        return Verdict.RAISE
    if not is_repeatable:
        return Verdict.RAISE
    if failure.kind is FailureKind.PROBLEM and failure.error.code != errors.OutcomeUnknown.code:
        return Verdict.REPEAT_ONCE_EACH
    return Verdict.REPEAT


def pause_ms(round_number: int, *, retry_after_ms: int, fraction: float) -> int:
    """How long to wait when every endpoint was tried.

    round_number: from 1. retry_after_ms: what the last peer asked for, 0 for nothing. fraction:
    0 ≤ fraction < 1, so that many clients do not come back together.
    """
    longest_ms = min(
        limits.CLIENT_PAUSE_MS_MAX, limits.CLIENT_PAUSE_MS_MIN << min(round_number - 1, 10)
    )
    asked_ms = min(retry_after_ms, limits.CLIENT_PAUSE_MS_MAX)
    return max(asked_ms, longest_ms // 2 + int(fraction * (longest_ms - longest_ms // 2)))
