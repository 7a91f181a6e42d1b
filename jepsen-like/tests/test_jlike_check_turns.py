"""When claims of a queue end, and whose turn it is: good histories and bad ones, by hand."""

from __future__ import annotations

import pytest
from histories import FAIL, INFO, History

from jlike.check import queue
from jlike.verdict import Verdict

MS = 1_000_000
VISIBILITY_MS = 2_000
START_MS = 5_000
"""Longer than any claim of these histories lasts."""


def _said(history: History, *, claim_max: int = 2) -> str:
    """Why it is invalid; empty when it is not."""
    found = queue.check(history.operations, visibility_ns=VISIBILITY_MS * MS, claim_max=claim_max)
    return found.reason if found.verdict is Verdict.INVALID else ""


def _sent(*bodies: str) -> History:
    history = History()
    for body in bodies:
        history.did("enqueue", body)
    return history


def _job(number: int, token: int, body: str, *attempt: int) -> list:
    return [f"{number:019}", f"{token:019}", body, *attempt]


def _claim(history: History, *jobs: list, peer: str = "p1") -> None:
    history.did("claim", None, list(jobs), peer=peer)


# --- when a claim ends -------------------------------------------------------------------------


def _another_ran_out(history: History, *, nacked: bool = False) -> None:
    """y is claimed after x, and again when that claim is over."""
    _claim(history, _job(1, 10, "x"), peer="p2")
    _claim(history, _job(2, 11, "y"))
    if nacked:
        history.did("nack", _job(2, 11, "y"), kind=INFO)
    history.passes(START_MS)
    _claim(history, _job(2, 12, "y"))


@pytest.mark.parametrize(("f", "did"), [("ack", "acknowledged"), ("nack", "given back")])
def test_a_claim_is_over_when_a_later_one_is(f, did):
    history = _sent("x", "y")
    _another_ran_out(history)
    history.did(f, _job(1, 10, "x"))
    assert f"job x was {did} though its claim had run out" in _said(history, claim_max=0)


def test_what_was_given_back_did_not_run_out():
    history = _sent("x", "y")
    _another_ran_out(history, nacked=True)
    history.did("ack", _job(1, 10, "x"))
    assert not _said(history, claim_max=0)


def test_a_claim_that_was_prolonged_may_last():
    history = _sent("x", "y")
    _another_ran_out(history)
    history.did("extend", _job(1, 10, "x"), kind=INFO)
    history.did("ack", _job(1, 10, "x"))
    assert not _said(history, claim_max=0)


def test_time_alone_ends_no_claim():
    """The clock of a cluster stands still while nobody leads, however long that is."""
    history = _sent("x")
    _claim(history, _job(1, 10, "x"))
    history.passes(1_000 * START_MS)
    history.did("ack", _job(1, 10, "x"))
    assert not _said(history)


@pytest.mark.parametrize("f", ["ack", "nack"])
@pytest.mark.parametrize("error", ["stale_token", "not_found"])
def test_a_holder_is_not_told_that_it_holds_nothing(f, error):
    history = _sent("x")
    _claim(history, _job(1, 10, "x"))
    history.did(f, _job(1, 10, "x"), kind=FAIL, error=error)
    assert f"job x: its holder was told {error}" in _said(history)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: it.passes(START_MS),  # it is over
        lambda it: it.did("ack", _job(1, 10, "x"), kind=INFO),  # it may be done
        lambda it: it.did("nack", _job(1, 10, "x"), kind=INFO),  # or given back
    ],
)
def test_who_may_hold_nothing_may_be_told_so(spoil):
    history = _sent("x")
    _claim(history, _job(1, 10, "x"))
    spoil(history)
    history.did("ack", _job(1, 10, "x"), kind=FAIL, error="stale_token")
    assert not _said(history)


def test_what_is_there_later_was_not_done_unheard():
    history = _sent("x")
    _claim(history, _job(1, 10, "x"))
    history.did("ack", _job(1, 10, "x"), kind=INFO)
    history.did("ack", _job(1, 10, "x"), kind=FAIL, error="stale_token")
    history.did("drain", None, ["x"])
    assert "its holder was told" in _said(history)


def test_a_refusal_for_another_reason_says_nothing():
    history = _sent("x")
    _claim(history, _job(1, 10, "x"))
    history.did("ack", _job(1, 10, "x"), kind=FAIL, error="refused")
    assert not _said(history)


# --- ids ---------------------------------------------------------------------------------------


def test_two_jobs_have_two_ids():
    history = _sent("x", "y")
    _claim(history, _job(1, 10, "x"), _job(1, 11, "y"))
    assert _said(history) == "jobs x and y have one id"


def test_a_token_acknowledges_nothing_else():
    history = _sent("x", "y")
    _claim(history, _job(1, 10, "x"), _job(2, 11, "y"))
    history.did("ack", [_job(2, 10, "x")[0], *_job(2, 10, "x")[1:]])
    assert "job x was acknowledged with the token that job x was claimed by, under" in _said(
        history
    )


# --- whose turn it is --------------------------------------------------------------------------


def test_what_waits_is_given():
    history = _sent("x")
    _claim(history, peer="p3")
    assert _said(history) == "job x waited, and a claim at p3 was given 0 of 2 jobs"


def test_a_claim_is_given_all_that_it_asked_for():
    history = _sent("x", "y")
    _claim(history, _job(1, 10, "x"))
    _claim(history, _job(2, 11, "y"))
    assert "job y waited, and a claim at p1 was given 1 of 2 jobs" in _said(history)


def test_the_oldest_is_given_first():
    history = _sent("x", "y", "z")
    _claim(history, _job(2, 10, "y"), _job(3, 11, "z"))
    _claim(history, _job(1, 12, "x"))
    assert "job y was given out while job x waited" in _said(history)


def test_where_jobs_differ_nobody_can_say_whose_turn_it_is():
    history = _sent("x", "y", "z")
    _claim(history, _job(2, 10, "y"))
    _claim(history, _job(1, 12, "x"))
    assert not _said(history, claim_max=0)


def test_who_was_sent_at_the_same_time_may_be_first():
    history = History()
    one, other = history.call("enqueue", "x"), history.call("enqueue", "y")
    history.answer(one)
    history.answer(other)
    history.did("enqueue", "z")
    _claim(history, _job(2, 10, "y"), _job(3, 11, "z"), peer="p2")
    assert "job z was given out while job x waited" in _said(history)
    history = History()
    one, other = history.call("enqueue", "x"), history.call("enqueue", "y")
    history.answer(one)
    history.answer(other)
    _claim(history, _job(2, 10, "y"), _job(1, 11, "x"))
    assert not _said(history)


def test_a_claim_that_goes_on_may_have_what_is_missing():
    history = _sent("x")
    other = history.call("claim")
    _claim(history)
    history.answer(other, [_job(1, 10, "x")])
    assert not _said(history)


@pytest.mark.parametrize(("attempt", "may_be"), [((), True), ((2,), True), ((1,), False)])
def test_a_claim_that_nobody_heard_of_may_have_what_is_missing(attempt, may_be):
    history = _sent("x", "y")
    history.did("claim", None, kind=INFO)
    _claim(history)
    history.passes(START_MS)
    _claim(history, _job(1, 20, "x", *attempt), _job(2, 21, "y", *attempt))
    assert (not _said(history)) == may_be


def test_a_claim_that_nobody_heard_of_has_no_more_than_it_asked_for():
    history = _sent("x", "y", "z")
    history.did("claim", None, kind=INFO)
    _claim(history)
    assert "waited, and a claim" in _said(history)


def test_a_late_answer_leaves_out_what_has_run_out():
    history = _sent("x")
    late = history.call("claim")
    history.passes(START_MS)
    history.did("claim", None, kind=INFO)
    history.answer(late, [])
    assert not _said(history)
