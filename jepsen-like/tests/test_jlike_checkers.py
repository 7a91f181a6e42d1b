"""Each checker by hand: one good history, and the ways in which it can be bad."""

from __future__ import annotations

import random

import pytest
from histories import FAIL, INFO, History

from jlike.check import (
    append,
    bank,
    consumers,
    events,
    levels,
    lock,
    queue,
    requests,
    rolling,
    sets,
    snapshots,
    stats,
)
from jlike.history import BrokenHistory, Kind, Op, pair, parse
from jlike.verdict import Verdict, invalid, unknown, valid, worst

MS = 1_000_000


# --- set ---------------------------------------------------------------------------------------


def _good_set() -> History:
    history = History()
    history.did("add", 1)
    history.did("add", 2, kind=INFO)
    history.did("read", None, [1])
    history.did("add", 3)
    history.did("read", None, [1, 2, 3])
    return history


def _set_loses(history):
    history.did("read", None, [2, 3])


def _set_flickers(history):  # an unacknowledged one was seen, and is gone
    history.did("read", None, [1, 3])


def _set_invents(history):
    history.did("read", None, [1, 2, 3, 9])


def _set_keeps_what_it_refused(history):
    history.did("add", 4, kind=FAIL)
    history.did("read", None, [1, 2, 3, 4])


@pytest.mark.parametrize(
    "spoil", [None, _set_loses, _set_flickers, _set_invents, _set_keeps_what_it_refused]
)
def test_set(spoil):
    history = _good_set()
    if spoil:
        spoil(history)
    expected = Verdict.INVALID if spoil else Verdict.VALID
    assert sets.check(history.operations).verdict is expected


def test_the_set_checker_agrees_with_a_model():
    """Against a set that loses elements at random: what the readers could notice, is noticed."""
    caught = 0
    for seed in range(400):
        chance, history, held, known = random.Random(seed), History(), set(), set()
        is_noticed = False
        for element in range(12):
            history.did("add", element)
            held.add(element)
            known.add(element)
            if chance.random() < 0.05:
                held.discard(chance.choice(sorted(held)))
            if chance.random() < 0.4:
                history.did("read", None, sorted(held))
                is_noticed |= not known <= held
        history.did("read", None, sorted(held))
        is_noticed |= not known <= held
        found = sets.check(history.operations).verdict
        assert (found is Verdict.INVALID) == is_noticed, f"seed {seed}"
        caught += is_noticed
    assert 50 < caught < 400


# --- bank --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("balances", "verdict"),
    [
        ({"a": 4, "b": 6}, Verdict.VALID),
        ({"a": 4, "b": 7}, Verdict.INVALID),
        ({"a": -1, "b": 11}, Verdict.INVALID),
        ({"a": 10}, Verdict.INVALID),
        ({"a": 4, "b": 6, "c": 0}, Verdict.INVALID),
    ],
)
def test_bank(balances, verdict):
    history = History()
    history.did("transfer", ["a", "b", 1])
    history.did("read", None, balances)
    assert bank.check(history.operations, setup={"a": 5, "b": 5}).verdict is verdict


@pytest.mark.parametrize(
    ("kind", "balances", "verdict"),
    [
        (Kind.OK, {"a": 4, "b": 6}, Verdict.VALID),
        (Kind.OK, {"a": 5, "b": 5}, Verdict.INVALID),  # it had no effect
        (Kind.OK, {"a": 3, "b": 7}, Verdict.INVALID),  # it had it twice
        (INFO, {"a": 4, "b": 6}, Verdict.VALID),
        (INFO, {"a": 5, "b": 5}, Verdict.VALID),
        (INFO, {"a": 6, "b": 4}, Verdict.INVALID),  # the wrong way round
        (FAIL, {"a": 5, "b": 5}, Verdict.VALID),
        (FAIL, {"a": 4, "b": 6}, Verdict.INVALID),  # it was refused
    ],
)
def test_a_transfer_has_the_effect_that_was_told(kind, balances, verdict):
    history = History()
    history.did("transfer", ["a", "b", 2])
    history.did("transfer", ["b", "a", 2])
    early = history.call("read")
    history.did("transfer", ["a", "b", 1], kind=kind)
    history.answer(early, {"a": 5, "b": 5})
    history.did("read", None, balances)
    found = bank.check(history.operations, setup={"a": 5, "b": 5})
    assert found.verdict is verdict
    assert "in account a, and transfers leave" in found.reason or verdict is Verdict.VALID


# --- queue -------------------------------------------------------------------------------------


def _good_queue() -> History:
    history = History()
    for body in ("x", "y", "z"):
        history.did("enqueue", body)
    history.did("enqueue", "maybe", kind=INFO)
    history.did("claim", None, [["1", "10", "x"], ["2", "11", "y"]])
    history.did("ack", ["1", "10", "x"])
    history.passes(1_000)
    history.did("claim", None, [["2", "20", "y"]])
    history.did("ack", ["2", "11", "y"], kind=FAIL)
    history.did("ack", ["2", "20", "y"], kind=INFO)
    return history


def _lost(history):
    history.did("drain", None, [])


def _invented(history):
    history.did("claim", None, [["8", "80", "nobody"]])


def _done_twice(history):
    history.did("claim", None, [["1", "30", "x"]])


def _stale_ack(history):
    history.did("ack", ["2", "11", "y"])


def _claimed_early(history):
    history.did("claim", None, [["3", "40", "z"]])
    history.did("claim", None, [["3", "41", "z"]])


def _twice_there(history):
    history.did("claim", None, [["7", "50", "x"]])


def _lower_token(history):
    history.passes(2_000)
    history.did("claim", None, [["2", "19", "y"]])


def _drained_twice(history):
    history.did("drain", None, ["z", "z"])


def _nobody_is_given_it(history):
    history.did("left", None, ["z"])


def _drains_differ(history):
    history.did("drain", None, ["z", "y"], peer="p2")


QUEUE_BAD = [
    _lost,
    _invented,
    _done_twice,
    _stale_ack,
    _claimed_early,
    _twice_there,
    _lower_token,
    _drains_differ,
    _drained_twice,
    _nobody_is_given_it,
]


@pytest.mark.parametrize("spoil", [None, *QUEUE_BAD])
def test_queue(spoil):
    history = _good_queue()
    if spoil:
        spoil(history)
    history.did("drain", None, ["z"] if spoil is not _lost else [])
    found = queue.check(history.operations, visibility_ns=500 * MS)
    assert found.verdict is (Verdict.INVALID if spoil else Verdict.VALID), found


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [(Kind.OK, Verdict.VALID), (INFO, Verdict.VALID), (FAIL, Verdict.INVALID)],
)
def test_what_was_given_back_may_be_claimed_at_once(kind, verdict):
    history = _good_queue()
    history.did("claim", None, [["3", "40", "z"]])
    history.did("nack", ["3", "40", "z"], kind=kind)
    history.did("claim", None, [["3", "41", "z"]])
    history.did("drain", None, ["z"])
    assert queue.check(history.operations, visibility_ns=500 * MS).verdict is verdict


def test_a_token_of_a_claim_that_is_over_gives_nothing_back():
    history = _good_queue()
    history.did("nack", ["2", "11", "y"])
    found = queue.check(history.operations, visibility_ns=500 * MS)
    assert found.reason == "job y was given back with the token of a claim that was over"


def test_a_queue_that_was_worked_off_is_valid():
    history = _good_queue()
    history.passes(1_000)
    history.did("claim", None, [["3", "50", "z"]])
    history.did("ack", ["3", "50", "z"])
    history.did("left", None, [])
    found = queue.check(history.operations, visibility_ns=500 * MS)
    assert (found.verdict, found.figures["left"]) == (Verdict.VALID, 0)


# --- events ------------------------------------------------------------------------------------

LOG = [[f"{number:019}", number, f"c{number}", f"k{number}"] for number in range(1, 7)]
START = f"{0:019}"
TWICE = [*LOG, [f"{7:019}", 7, "c7", "k6"]]


def _events(tail=LOG, other=LOG, page=None, after=START) -> Verdict:
    history = History()
    for number in range(1, 7):
        history.did("write", [f"k{number}", number])
    history.did("poll", [after, False], LOG[:3] if page is None else page)
    history.did("poll", [START, True], tail, peer="p1")
    history.did("poll", [START, True], other, peer="p2")
    return events.check(history.operations).verdict


def test_events_good():
    assert _events() is Verdict.VALID
    assert _events(page=LOG[2:4], after=LOG[1][0]) is Verdict.VALID


@pytest.mark.parametrize(
    "spoiled",
    [
        {"tail": LOG[:5], "other": LOG[:5]},  # an acknowledged one is missing
        {"tail": LOG, "other": LOG[:5]},  # peers differ
        {"page": [LOG[0], LOG[2]]},  # a gap
        {"page": [LOG[1], LOG[0]]},  # out of order
        {"page": [[LOG[0][0], 1, "other", "k1"]]},  # one number, two events
        {"page": LOG[3:4], "after": LOG[1][0]},  # resumed too late
        {"page": [[f"{99:019}", 99, "c", "gone"]]},  # seen, then lost
        {"tail": TWICE, "other": TWICE},  # one write has two events
    ],
)
def test_events_bad(spoiled):
    assert _events(**spoiled) is Verdict.INVALID


# --- what holds for all ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "finding",
    [
        sets.check([]),
        bank.check([], setup={}),
        queue.check([], visibility_ns=1),
        lock.check([]),
        events.check([]),
        requests.check([]),
        append.check([]),
        consumers.check([], start=""),
        levels.check([]),
        rolling.check([]),
        snapshots.check([]),
        stats.check([], expected=["read"]),
    ],
)
def test_a_history_of_nothing_proves_nothing(finding):
    assert finding.verdict is Verdict.UNKNOWN


def test_unknown_is_never_green_and_false_outweighs_it():
    good, open_, bad = valid("a", ""), unknown("b", ""), invalid("c", "")
    assert worst([]) is Verdict.UNKNOWN
    assert worst([good, good]) is Verdict.VALID
    assert worst([good, open_]) is Verdict.UNKNOWN
    assert worst([open_, bad, good]) is Verdict.INVALID
    assert [it.exit_code for it in (Verdict.VALID, Verdict.INVALID, Verdict.UNKNOWN)] == [0, 1, 2]


def test_a_line_says_what_jepsen_would_and_reads_back():
    op = Op(process=3, type=Kind.INVOKE, f="cas", value=["a", [1, 2]], time=5, peer="p1")
    assert op.line() == (
        '{"process":3,"type":"invoke","f":"cas","value":["a",[1,2]],"time":5,"peer":"p1"}'
    )
    assert list(parse([op.line()])) == [op]


def test_a_retired_process_that_asks_again_is_the_harness_s_fault():
    history = History()
    history.did("read", None, kind=INFO)
    with pytest.raises(BrokenHistory):
        pair([*history.ops, history.ops[0]])
