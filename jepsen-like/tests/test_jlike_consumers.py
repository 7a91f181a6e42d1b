"""The checker of named consumers: bad ones by hand, then random ones against all orders."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from histories import FAIL, INFO, History
from oracles import agree, has_order

from jlike.check import consumers
from jlike.history import Kind, Operation
from jlike.verdict import Verdict

START = f"{0:019}"


def at(number: int) -> str:
    return f"{number:019}"


def rows(first: int, last: int) -> list[list]:
    return [[at(number), number] for number in range(first, last + 1)]


def fetch(history: History, position: int, last: int, *, name="c", result=None) -> None:
    found = rows(position + 1, last) if result is None else result
    history.did("fetch", name, [name, at(position), "r", found])


def commit(history: History, position: int, last: int, *, kind: Kind = Kind.OK, name="c") -> None:
    history.did("commit", [name, at(position), "r", at(last)], kind=kind)


def end(history: History, place: int, *, other: int | None = None) -> None:
    history.did("place", "c", ["c", at(place)])
    history.did("place", "c", ["c", at(place if other is None else other)], peer="p2")
    history.did("log", None, rows(1, 20))


def _good() -> History:
    history = History()
    fetch(history, 0, 4)
    commit(history, 0, 4)
    commit(history, 0, 3, kind=FAIL)
    fetch(history, 4, 9)
    commit(history, 4, 9, kind=INFO)
    fetch(history, 9, 12)
    commit(history, 9, 12)
    return history


def _verdict(history: History, place: int = 12, other: int | None = None):
    end(history, place, other=other)
    return consumers.check(history.operations, start=START)


def test_each_event_once_is_good():
    found = _verdict(_good())
    assert found.verdict is Verdict.VALID, found.reason


def _gap(history):
    fetch(history, 12, 16, result=[*rows(13, 13), *rows(15, 16)])


def _late_start(history):
    fetch(history, 12, 16, result=rows(14, 16))


def _from_one_place_twice(history):
    commit(history, 4, 8)


def _over_a_place(history):
    commit(history, 3, 12)


def _jump(history):
    commit(history, 15, 18)


def _forgotten(history):
    fetch(history, 4, 9)


def _never_put(history):
    fetch(history, 13, 15)


def _two_numbers(history):
    fetch(history, 12, 13, result=[[at(13), 13], [at(14), 15]])


BAD = [
    *(_gap, _late_start, _from_one_place_twice, _over_a_place),
    *(_jump, _forgotten, _never_put, _two_numbers),
]


@pytest.mark.parametrize("spoil", BAD)
def test_events_lost_or_handled_twice_are_found(spoil):
    history = _good()
    spoil(history)
    assert _verdict(history).verdict is Verdict.INVALID


def test_peers_that_show_two_places_are_found():
    assert _verdict(_good(), place=12, other=9).verdict is Verdict.INVALID


def test_nothing_moved_proves_nothing():
    assert consumers.check([], start=START).verdict is Verdict.UNKNOWN


# --- against all orders ------------------------------------------------------------------------


def _tells(order: Sequence[Operation]) -> bool:
    """Every move leaves the place where the consumer was, and every read shows it."""
    place = START
    for it in order:
        if it.f == "commit":
            if it.value[1] != place:
                return False
            place = it.value[3]
        elif it.result[1] != place:
            return False
    return True


def _random_history(chance: random.Random) -> History:
    history, place = History(), 0
    pending: list[tuple[int, str, tuple]] = []
    left = 5
    is_spoiled = chance.random() < 0.6
    while left or pending:
        if left and (not pending or chance.random() < 0.6):
            left -= 1
            spoilt = is_spoiled and chance.random() < 0.4
            seen = chance.randrange(0, 5) if spoilt else place
            if chance.random() < 0.6:
                last = seen + chance.randrange(1, 3)
                process = history.call("commit", ["c", at(seen), "r", at(last)])
                kind = chance.choice((Kind.OK, Kind.OK, INFO))
                if kind is Kind.OK or chance.random() < 0.5:
                    place = last if not spoilt or chance.random() < 0.5 else place
                pending.append((process, "commit", (None, kind)))
            else:
                process = history.call("place", "c")
                pending.append((process, "place", (["c", at(seen)], Kind.OK)))
            continue
        process, _, (result, kind) = pending.pop(chance.randrange(len(pending)))
        history.answer(process, result, kind=kind)
    return history


def test_the_checker_agrees_with_a_search_of_all_orders():
    agree(
        _random_history,
        lambda found: consumers.check(found, start=START),
        lambda found: has_order(found, _tells),
        seeds=1_500,
    )
