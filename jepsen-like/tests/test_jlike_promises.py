"""Checkers of repeated requests, of reads by level, of restarts, copies and members."""

from __future__ import annotations

import pytest
from histories import FAIL, INFO, History

from jlike.check import levels, members, requests, rolling, snapshots
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
    history.did("roll", "p1", kind=INFO)
    assert rolling.check(history.operations).verdict is Verdict.UNKNOWN, "none came to its end"
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


# --- members -----------------------------------------------------------------------------------


def _members() -> History:
    history = History()
    history.did("first", ["p1", "p2", "p3"], ["p1", "p2", "p3"])
    history.did("grow", "p4", "p4")
    history.did("grow", "p5", kind=INFO)
    history.did("shrink", "p1", ["p1", False])
    history.did("shrink", "p4", ["p4", False])
    history.did("grow", "p4", "p4")
    return history


@pytest.mark.parametrize(
    ("views", "verdict"),
    [
        ((["p2", "p3", "p4"],) * 3, Verdict.VALID),
        ((["p2", "p3", "p4", "p5"],) * 3, Verdict.VALID),
        ((["p2", "p3", "p4"],) * 2, Verdict.UNKNOWN),  # p4 was not asked
        ((["p4"],) * 3, Verdict.INVALID),  # nobody removed the others
        ((["p2", "p3", "p4", "p6"],) * 3, Verdict.INVALID),  # nobody took it in
        ((["p2", "p3", "p4"], ["p2", "p3", "p4", "p5"]), Verdict.INVALID),
        ((["p2", "p3"],), Verdict.INVALID),  # taken in last
        ((["p1", "p2", "p3", "p4"],), Verdict.INVALID),  # removed last
        ((), Verdict.UNKNOWN),
    ],
)
def test_members_are_who_was_taken_in_last(views, verdict):
    history = _members()
    for number, voters in enumerate(views):
        history.did("voters", None, voters, peer=f"p{number + 2}")
    assert members.check(history.operations).verdict is verdict


def test_without_the_first_voters_nothing_is_proved():
    history = History()
    history.did("grow", "p4", "p4")
    for peer in ("p1", "p4"):
        history.did("voters", None, ["p1", "p4"], peer=peer)
    found = members.check(history.operations)
    assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "nobody told who voted at first")


def test_who_was_removed_answers_nothing_old():
    history = _members()
    history.did("shrink", "p2", ["p2", True])
    history.did("voters", None, ["p3", "p4"])
    assert members.check(history.operations).verdict is Verdict.INVALID
