"""Events come from writes, in the order of time: a good history and bad ones, by hand."""

from __future__ import annotations

import pytest
from histories import INFO, History

from jlike.check import events
from jlike.verdict import Verdict

START = f"{0:019}"


def _log(*keys: str) -> list[list[object]]:
    return [[f"{at:019}", at, f"c{at}", key] for at, key in enumerate(keys, start=1)]


def _write(history: History, *keys: str) -> None:
    for key in keys:
        history.did("write", [key, 1])


def _end(history: History, *keys: str) -> None:
    for peer in ("p1", "p2"):
        history.did("poll", [START, True], _log(*keys), peer=peer)


def _good_events(history):
    late = history.call("write", ["events/c", 1])
    _write(history, "events/a", "events/b")
    history.did("poll", [START, False, 1], _log("events/a"))
    history.did("poll", [START, False], [])  # that peer has nothing yet, and does not deny it
    history.answer(late)
    history.did("write", ["events/d", 1], kind=INFO)
    _end(history, "events/a", "events/c", "k1", "events/b", "events/d")


def _against_time(history):
    _write(history, "events/a", "events/b")
    _end(history, "events/b", "events/a")


def _told_before_it_was_asked(history):
    history.did("poll", [START, False], _log("events/a"))
    _write(history, "events/a")
    _end(history, "events/a")


def _told_of_what_nobody_wrote(history):
    _write(history, "events/a")
    _end(history, "events/a", "events/b")


def _not_told_by_a_linearizable_poll(history):
    _write(history, "events/a", "events/b")
    history.did("poll", [START, False, 2], _log("events/a"), peer="p3")
    _end(history, "events/a", "events/b")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_good_events, ""),
        (_against_time, "and its event comes after"),
        (_told_before_it_was_asked, "before it was asked"),
        (_told_of_what_nobody_wrote, "nobody asked for"),
        (_not_told_by_a_linearizable_poll, "a linearizable poll at p3 afterwards does not tell"),
    ],
)
def test_events_come_from_writes_in_the_order_of_time(make, sentence):
    history = History()
    make(history)
    found = events.check(history.operations)
    assert found.verdict is (Verdict.INVALID if sentence else Verdict.VALID), found
    assert sentence in found.reason
