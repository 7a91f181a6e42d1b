"""Checkers of repeated requests, of reads by level, of restarts and of copies of the state."""

from __future__ import annotations

import pytest
from histories import FAIL, INFO, History

from jlike.check import levels, requests, rolling, snapshots
from jlike.verdict import Verdict

# --- requests ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "asked", "final", "verdict"),
    [
        (["r1"], ["r1"], ["e"], Verdict.VALID),
        (["r1"], ["r1"], ["e", "e"], Verdict.INVALID),
        (["r2"], ["r1"], ["e"], Verdict.INVALID),
        (["r1"], ["r2"], ["e"], Verdict.INVALID),
        (["r1"], None, ["e"], Verdict.INVALID),
        (["r1"], ["r1"], [], Verdict.INVALID),
        (["r1"], ["r1"], ["e", "refused"], Verdict.INVALID),
        (["r1"], ["r1"], ["e", "strange"], Verdict.INVALID),
    ],
)
def test_requests(second, asked, final, verdict):
    history = History()
    history.did("ask", ["q", "e"], None)
    history.did("append", ["q", "refused"], kind=FAIL)
    history.did("append", ["q", "e"], ["r1"])
    history.did("repeat", ["q", "e"], second, peer="p2")
    history.did("ask", ["q", "e"], asked)
    history.did("final", None, {"q": final})
    assert requests.check(history.operations).verdict is verdict


# --- levels ------------------------------------------------------------------------------------

OLD, NEW = f"{5 << 16:019}", f"{9 << 16:019}"


@pytest.mark.parametrize(
    ("f", "argument", "passes_ms", "answer", "verdict"),
    [
        ("stale", None, 5_000, [1, OLD], Verdict.VALID),
        ("linearizable", None, 0, [1, OLD], Verdict.INVALID),
        ("bounded", 1_000, 500, [1, OLD], Verdict.VALID),
        ("bounded", 1_000, 2_000, [1, OLD], Verdict.INVALID),
        ("since", 8, 0, [1, OLD], Verdict.VALID),
        ("since", 9, 0, [1, OLD], Verdict.INVALID),
        ("stale", None, 0, [3, f"{12 << 16:019}"], Verdict.INVALID),  # nobody wrote it
        ("stale", None, 0, [1, NEW], Verdict.INVALID),  # a revision with two values
    ],
)
def test_levels(f, argument, passes_ms, answer, verdict):
    history = History()
    history.did("write", ["k", 1], ["k", 1, OLD])
    history.did("write", ["k", 2], ["k", 2, NEW])
    for kind in levels.READS:
        history.did(kind, ["k", 9 if kind == "since" else 100], ["k", 2, NEW])
    history.passes(passes_ms)
    history.did(f, ["k", argument], ["k", *answer], peer="p2")
    assert levels.check(history.operations).verdict is verdict


# --- restarts and copies of the state ----------------------------------------------------------


def test_restarts_that_did_not_work_prove_nothing():
    history = History()
    for peer in ("p1", "p2"):
        history.did("roll", peer, peer)
    assert rolling.check(history.operations).verdict is Verdict.UNKNOWN, "too few"
    history.did("roll", "p3", "p3")
    history.did("write", ["a", 1], kind=INFO)
    found = rolling.check(history.operations)
    assert (found.verdict, found.figures["unanswered"]) == (Verdict.VALID, 1)
    history.did("roll", "p1", kind=FAIL)
    assert rolling.check(history.operations).verdict is Verdict.UNKNOWN


def test_a_copy_of_the_state_is_proved_by_entries_that_nobody_has():
    history = History()
    history.did("lag", "p1", kind=INFO)
    assert snapshots.check(history.operations).verdict is Verdict.UNKNOWN
    history.did("lag", "p1", ["p1", 100, 150])
    assert snapshots.check(history.operations).verdict is Verdict.VALID
    history.did("lag", "p2", ["p2", 100, 101])
    assert snapshots.check(history.operations).verdict is Verdict.INVALID
