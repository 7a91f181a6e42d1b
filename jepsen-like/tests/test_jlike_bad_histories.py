"""What judges a workload whose own rules are few: good histories, and three bad ones of each."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from histories import FAIL, INFO, History

from jlike.check import sdk
from jlike.verdict import Finding, Verdict
from jlike.workload.catalogue import made

Make = Callable[[History], None]


def _judged(name: str, make: Make) -> list[Finding]:
    history = History()
    make(history)
    return list(made(name, scope="", begins="").check(history.operations))


# --- registers, while peers are restarted, or asked by the SDK ---------------------------------


def _registers(history: History) -> None:
    history.did("roll", "p1", "p1")
    history.did("append", ["sdk", "s1"], ["1"])
    history.did("write", ["k", 1])
    history.did("cas", ["k", [1, 2]], ["k", [1, 2]])
    history.did("cas", ["k", [1, 3]], kind=FAIL, error="differs")
    history.did("read", ["k", None], ["k", 2])


def _forgets(history: History) -> None:
    history.did("write", ["k", 4])
    history.did("roll", "p2", "p2")
    history.did("read", ["k", None], ["k", 2], peer="p2")


def _invents(history: History) -> None:
    history.did("read", ["k", None], ["k", 9])


def _refuses(history: History) -> None:
    history.did("cas", ["k", [2, 5]], kind=FAIL, error="differs")
    history.did("read", ["k", None], ["k", 2])


def _does_what_it_refused(history: History) -> None:
    history.did("write", ["k", 6], kind=FAIL)
    history.did("read", ["k", None], ["k", 6])


# --- the SDK itself ----------------------------------------------------------------------------


def _sends_twice(history: History) -> None:
    history.did("final", None, {"sdk": ["s1", "s1"]})


def _loses(history: History) -> None:
    history.did("final", None, {"sdk": []})


def _sends_what_it_refused(history: History) -> None:
    history.did("append", ["sdk", "s2"], kind=FAIL)
    history.did("final", None, {"sdk": ["s1", "s2"]})


def _ends(history: History) -> None:
    history.did("write", ["k", 7], kind=INFO, error=sdk.ENDED)


def _is_silent(history: History) -> None:
    history.did("read", ["k", None], kind=INFO, error=sdk.SILENT)


# --- copies of the state -----------------------------------------------------------------------


def _copies(history: History) -> None:
    history.did("add", [0, 1])
    history.did("lag", "p1", ["p1", 100, 150])
    history.did("read", [0, None], [0, [1]], peer="p1")


def _needs_no_copy(history: History) -> None:
    history.did("lag", "p2", ["p2", 100, 101])


def _comes_back_without(history: History) -> None:
    history.did("add", [0, 2])
    history.did("lag", "p2", ["p2", 200, 250])
    history.did("read", [0, None], [0, [1]], peer="p2")


def _comes_back_with_what_nobody_added(history: History) -> None:
    history.did("read", [0, None], [0, [1, 9]], peer="p1")


def _comes_back_with_what_was_refused(history: History) -> None:
    history.did("add", [0, 3], kind=FAIL)
    history.did("read", [0, None], [0, [1, 3]], peer="p1")


# --- members -----------------------------------------------------------------------------------


def _comes_and_goes(history: History) -> None:
    history.did("first", ["p1", "p2", "p3"], ["p1", "p2", "p3"])
    history.did("add", [0, 1])
    history.did("grow", "p4", "p4")
    history.did("read", [0, None], [0, [1]], peer="p4")
    for peer in ("p1", "p2", "p3", "p4"):
        history.did("voters", None, ["p1", "p2", "p3", "p4"], peer=peer)


def _knows_nothing(history: History) -> None:
    history.did("read", [0, None], [0, []], peer="p4")


def _is_told_apart(history: History) -> None:
    history.did("voters", None, ["p1", "p2", "p3"], peer="p2")


def _stays(history: History) -> None:
    history.did("shrink", "p4", ["p4", False])


def _answers_from_before(history: History) -> None:
    history.did("shrink", "p4", ["p4", True])


REGISTERS = (_forgets, _invents, _refuses, _does_what_it_refused)
GOOD: dict[str, Make] = {
    "rolling": _registers,
    "sdk": _registers,
    "snapshots": _copies,
    "members": _comes_and_goes,
}
BAD: dict[str, tuple[Make, ...]] = {
    "rolling": REGISTERS,
    "sdk": (
        *REGISTERS,
        *(_sends_twice, _loses, _sends_what_it_refused, _ends, _is_silent),
    ),
    "snapshots": (
        *(_needs_no_copy, _comes_back_without),
        *(_comes_back_with_what_nobody_added, _comes_back_with_what_was_refused),
    ),
    "members": (_knows_nothing, _is_told_apart, _stays, _answers_from_before),
}


def _good(name: str, history: History) -> None:
    GOOD[name](history)
    if name == "sdk":
        history.did("final", None, {"sdk": ["s1"]})


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_is_valid(name):
    found = _judged(name, lambda history: _good(name, history))
    assert {it.verdict for it in found} == {Verdict.VALID}, found


@pytest.mark.parametrize(
    ("name", "spoil"), [(name, it) for name, found in BAD.items() for it in found]
)
def test_a_bad_history_is_refused_with_a_sentence(name, spoil):
    def make(history: History) -> None:
        GOOD[name](history)
        spoil(history)

    guilty = [it for it in _judged(name, make) if it.verdict is Verdict.INVALID]
    assert guilty
    assert len(guilty[0].reason.split()) > 3
