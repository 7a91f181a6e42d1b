"""The rules of repetition, as a table: nothing is sent twice that could happen twice."""

from __future__ import annotations

import pytest

from replicante import errors, limits
from replicante.client.retry import Failure, FailureKind, Verdict, judge, pause_ms

NOT_SENT = Failure(kind=FailureKind.NOT_SENT, error=errors.Unreachable())
NO_ANSWER = Failure(kind=FailureKind.NO_ANSWER, error=errors.OutcomeUnknown())
BAD_ANSWER = Failure(kind=FailureKind.BAD_ANSWER, error=errors.BadAnswer())


def problem(error: errors.ReplicanteError) -> Failure:
    return Failure(kind=FailureKind.PROBLEM, error=error)


TABLE = [
    # failure, a read or a write with a key, a write without a key
    (NOT_SENT, Verdict.REPEAT, Verdict.REPEAT),
    (NO_ANSWER, Verdict.REPEAT, Verdict.RAISE),
    (BAD_ANSWER, Verdict.REPEAT, Verdict.RAISE),
    (problem(errors.OutcomeUnknown()), Verdict.REPEAT, Verdict.RAISE),
    (problem(errors.ReplicanteError()), Verdict.REPEAT_ONCE_EACH, Verdict.RAISE),
    (problem(errors.FatalError()), Verdict.REPEAT_ONCE_EACH, Verdict.RAISE),
    (problem(errors.NoLeader()), Verdict.REPEAT, Verdict.REPEAT),
    (problem(errors.QueueFull()), Verdict.REPEAT, Verdict.REPEAT),
    (problem(errors.SessionEnded()), Verdict.REPEAT, Verdict.REPEAT),
    (problem(errors.PeerStopping()), Verdict.REPEAT, Verdict.REPEAT),
    (problem(errors.StaleRead()), Verdict.REPEAT, Verdict.REPEAT),
    (problem(errors.ReadTimeout()), Verdict.REPEAT, Verdict.REPEAT),
    (problem(errors.DiskFull()), Verdict.REPEAT, Verdict.REPEAT),
    (problem(errors.StorageFull()), Verdict.RAISE, Verdict.RAISE),
    (problem(errors.Invalid()), Verdict.RAISE, Verdict.RAISE),
    (problem(errors.NotFound()), Verdict.RAISE, Verdict.RAISE),
    (problem(errors.Conflict()), Verdict.RAISE, Verdict.RAISE),
    (problem(errors.RevisionMismatch()), Verdict.RAISE, Verdict.RAISE),
    (problem(errors.OutcomeExpired()), Verdict.RAISE, Verdict.RAISE),
    (problem(errors.HistoryGone()), Verdict.RAISE, Verdict.RAISE),
    (problem(errors.Forbidden()), Verdict.RAISE, Verdict.RAISE),
]


@pytest.mark.parametrize(("failure", "repeatable", "once"), TABLE)
def test_the_table_of_repetition(failure, repeatable, once):
    assert judge(failure, is_repeatable=True) is repeatable
    assert judge(failure, is_repeatable=False) is once


def test_a_write_without_a_key_is_repeated_only_after_what_certainly_did_nothing():
    for failure, _, once in TABLE:
        assert failure.is_definite or once is Verdict.RAISE


def test_pauses_double_up_to_a_bound_and_never_come_together():
    shortest = [pause_ms(n, retry_after_ms=0, fraction=0.0) for n in range(1, 50)]
    longest = [pause_ms(n, retry_after_ms=0, fraction=0.999) for n in range(1, 50)]
    assert shortest[:3] == [10, 20, 40]
    assert max(longest) < limits.CLIENT_PAUSE_MS_MAX
    assert all(low < high for low, high in zip(shortest, longest, strict=True))


def test_a_peer_that_asks_for_time_gets_it_within_the_bound():
    assert pause_ms(1, retry_after_ms=300, fraction=0.0) == 300
    assert pause_ms(1, retry_after_ms=60_000, fraction=0.0) == limits.CLIENT_PAUSE_MS_MAX
