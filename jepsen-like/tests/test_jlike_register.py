"""The linearizability checker: good and bad by hand, and against all orders there are."""

from __future__ import annotations

import itertools
import random

import pytest
from histories import FAIL, INFO, History

from jlike.check import register
from jlike.history import Operation
from jlike.verdict import Verdict


def test_a_write_between_two_reads_is_good():
    history = History()
    history.did("read", ["a", None], ["a", None])
    history.did("write", ["a", 1])
    history.did("read", ["a", None], ["a", 1])
    history.did("cas", ["a", [1, 2]])
    history.did("read", ["a", None], ["a", 2])
    assert register.check(history.operations).verdict is Verdict.VALID


def test_an_unanswered_write_may_be_seen_much_later():
    history = History()
    history.did("write", ["a", 1], kind=INFO)
    history.did("read", ["a", None], ["a", None])
    history.did("write", ["a", 2])
    history.did("read", ["a", None], ["a", 1])
    assert register.check(history.operations).verdict is Verdict.VALID


def test_two_concurrent_writes_may_be_seen_in_either_order():
    for seen in (1, 2):
        history = History()
        one, two = history.call("write", ["a", 1]), history.call("write", ["a", 2])
        history.answer(one)
        history.answer(two)
        history.did("read", ["a", None], ["a", seen])
        assert register.check(history.operations).verdict is Verdict.VALID


def _stale(history: History) -> None:
    history.did("write", ["a", 1])
    history.did("write", ["a", 2])
    history.did("read", ["a", None], ["a", 1], peer="p3")


def _back_and_forth(history: History) -> None:
    one = history.call("write", ["a", 1])
    history.did("read", ["a", None], ["a", 1])
    history.did("read", ["a", None], ["a", None])
    history.answer(one)


def _from_nowhere(history: History) -> None:
    history.did("read", ["a", None], ["a", 7])


def _refused_and_seen(history: History) -> None:
    history.did("write", ["a", 1], kind=FAIL)
    history.did("read", ["a", None], ["a", 1])


def _seen_before_it_was_asked(history: History) -> None:
    history.did("read", ["a", None], ["a", 1])
    history.did("write", ["a", 1])


def _two_cas_of_one_value(history: History) -> None:
    history.did("write", ["a", 1])
    one, two = history.call("cas", ["a", [1, 2]]), history.call("cas", ["a", [1, 3]])
    history.answer(one)
    history.answer(two)


def _cas_of_an_overwritten_value(history: History) -> None:
    history.did("write", ["a", 1])
    history.did("write", ["a", 2])
    history.did("cas", ["a", [1, 3]])


def _swap_refused(history: History) -> None:
    history.did("write", ["a", 1])
    history.did("cas", ["a", [1, 2]], kind=FAIL, error="differs", peer="p2")
    history.did("read", ["a", None], ["a", 1])


def _swap_refused_before_another_is_not(history: History) -> None:
    history.did("write", ["a", 1])
    history.did("write", ["a", 5], kind=INFO)
    history.did("read", ["a", None], ["a", 1])
    history.did("cas", ["a", [1, 2]], kind=FAIL, error="differs", peer="p2")
    history.did("cas", ["a", [1, 3]])


def _swap_refused_and_nothing_else_there(history: History) -> None:
    late = history.call("write", ["a", 3])
    history.did("write", ["a", 1])
    history.did("read", ["a", None], ["a", 3])
    history.did("cas", ["a", [3, 2]], kind=FAIL, error="differs")
    history.answer(late)


BAD = [
    (_swap_refused, "a cas of 1 was refused at p2 though 1 was there all the time"),
    (_swap_refused_before_another_is_not, "a cas of 1 was refused at p2"),
    (_swap_refused_and_nothing_else_there, "no order"),
    (_stale, "had returned"),
    (_back_and_forth, "no order"),
    (_from_nowhere, "nobody wrote"),
    (_refused_and_seen, "nobody wrote"),
    (_seen_before_it_was_asked, "before anybody"),
    (_two_cas_of_one_value, "no order"),
    (_cas_of_an_overwritten_value, "no order"),
]


@pytest.mark.parametrize(("make", "sentence"), BAD)
def test_a_bad_history_is_refused_with_a_reason(make, sentence):
    history = History()
    history.did("write", ["b", 1])  # another key, which is fine
    make(history)
    found = register.check(history.operations)
    assert found.verdict is Verdict.INVALID
    assert sentence in found.reason


def test_a_counterexample_holds_nothing_that_could_be_left_out():
    history = History()
    for value in range(40):
        history.did("write", ["a", value])
        history.did("read", ["a", None], ["a", value])
    history.did("read", ["a", None], ["a", 3], peer="p3")
    found = register.check(history.operations)
    assert found.verdict is Verdict.INVALID
    assert len(found.operations) == 3
    assert "p3 returned 3" in found.reason


def test_what_came_after_a_violation_is_no_part_of_it():
    history = History()
    history.did("write", ["a", 0])
    history.did("read", ["a", None], ["a", None], peer="p3")
    for value in range(20):
        history.did("cas", ["a", [value, value + 1]])
    found = register.check(history.operations)
    assert [it.f for it in found.operations] == ["write", "read"]
    assert "p3 returned nothing though write of 0" in found.reason


def test_a_chain_of_swaps_that_shows_nothing_is_left_out():
    history = History()
    for value in range(20):
        history.did("write" if not value else "cas", ["a", [value, value + 1] if value else 1])
    history.did("write", ["a", 100])
    history.did("read", ["a", None], ["a", 1], peer="p3")
    found = register.check(history.operations)
    assert len(found.operations) == 3, "who wrote it, who overwrote it, who read it later"


def test_a_counterexample_tells_what_was_answered_also_of_what_was_open_then():
    history = History()
    late = history.call("write", ["a", 7])
    history.did("write", ["a", 1])
    history.did("read", ["a", None], ["a", 7])
    history.did("read", ["a", None], ["a", None], peer="p3")
    history.answer(late)
    found = register.check(history.operations)
    assert found.operations
    assert all(it.is_ok for it in found.operations)


@pytest.mark.parametrize("error", ["", "not_leader"])
def test_a_swap_that_was_not_tried_says_nothing(error):
    history = History()
    history.did("write", ["a", 1])
    history.did("cas", ["a", [1, 2]], kind=FAIL, error=error)
    history.did("read", ["a", None], ["a", 1])
    assert register.check(history.operations).verdict is Verdict.VALID


@pytest.mark.parametrize("f", ["write", "cas"])
def test_what_nobody_saw_may_be_what_a_refused_swap_found(f):
    history = History()
    history.did("write", ["a", 1])
    history.did(f, ["a", 7 if f == "write" else [1, 7]], kind=INFO)
    history.did("cas", ["a", [1, 2]], kind=FAIL, error="differs")
    history.did("write", ["a", 3])
    history.did("cas", ["a", [1, 4]], kind=FAIL, error="differs")
    assert register.check(history.operations).verdict is Verdict.VALID
    history.did("cas", ["a", [3, 5]], kind=FAIL, error="differs")
    assert register.check(history.operations).verdict is Verdict.INVALID


def test_a_refused_swap_is_found_out_whatever_else_is_open():
    history = History()
    history.did("write", ["a", 1])
    for value in range(100, 140):
        history.did("write", ["a", value], kind=INFO)
    history.did("read", ["a", None], ["a", 1])
    history.did("cas", ["a", [1, 2]], kind=FAIL, error="differs")
    for value in range(140, 160):
        history.did("cas", ["a", [150, value]], kind=INFO)
    history.did("read", ["a", None], ["a", 1])
    found = register.check(history.operations, budget=0)
    assert found.verdict is Verdict.INVALID
    assert [it.f for it in found.operations] == ["write", "cas", "read"]


def test_a_spent_budget_is_unknown():
    history = History()
    calls = [history.call("cas", ["a", [None, value]]) for value in range(12)]
    calls += [history.call("write", ["a", value]) for value in range(100, 112)]
    for call in calls[12:]:
        history.answer(call)
    history.did("cas", ["a", [111, 7]])
    history.did("write", ["a", 111])  # a value written twice: nothing unanswered may be left out
    assert register.check(history.operations, budget=50).verdict is Verdict.UNKNOWN


def _brute_force(operations: list[Operation]) -> bool:
    """Some of what is unanswered, in some order that respects time, explains every answer."""
    happened = [it for it in operations if it.is_ok or it.error == "differs"]
    open_ones = [it for it in operations if not it.is_ok and it.kind is INFO and it.f != "read"]
    for size in range(len(open_ones) + 1):
        for extra in itertools.combinations(open_ones, size):
            if _some_order([*happened, *extra], None):
                return True
    return False


def _some_order(left: list[Operation], value: object) -> bool:
    if not left:
        return True
    for it in left:
        if any(other.before(it) for other in left if other is not it):
            continue
        rest = [other for other in left if other is not it]
        if it.f == "write":
            fits, after = True, it.value[1]
        elif it.f == "read":
            fits, after = it.result[1] == value, value
        elif it.kind is FAIL:
            fits, after = it.value[1][0] != value, value
        else:
            fits, after = it.value[1][0] == value, it.value[1][1]
        if fits and _some_order(rest, after):
            return True
    return False


def _random_history(chance: random.Random, *, with_cas: bool, are_unique: bool) -> History:
    """A register that mostly works: answers are right or a little wrong, some never come."""
    refused = chance.choice((0.5, 0.8, 0.95))  # of the swaps that must be; of the others, the rest
    history, open_calls = History(), []
    value: object = None
    seen: list[object] = [None]
    for number in range(chance.randrange(3, 8)):
        f = chance.choice(["read", "write", "cas"] if with_cas else ["read", "write"])
        new = number if are_unique else chance.randrange(3)
        argument = {"read": None, "write": new, "cas": [chance.choice(seen), new]}[f]
        open_calls.append((history.call(f, ["a", argument]), f, argument))
        if f != "read":
            seen.append(new)
        while open_calls and chance.random() < 0.6:
            call, f, argument = open_calls.pop(chance.randrange(len(open_calls)))
            if chance.random() < 0.15:
                history.answer(call, kind=INFO)
                value = argument if f == "write" and chance.random() < 0.5 else value
            elif f == "read":
                history.answer(call, ["a", value if chance.random() < 0.8 else chance.choice(seen)])
            elif f == "cas" and (argument[0] != value) == (chance.random() < refused):
                history.answer(call, kind=FAIL, error="differs")
            else:
                history.answer(call)
                value = argument if f == "write" else argument[1]
    return history


@pytest.mark.parametrize("with_cas", [False, True])
@pytest.mark.parametrize("are_unique", [False, True])
def test_the_checker_agrees_with_brute_force(with_cas, are_unique):
    good = bad = 0
    for seed in range(1_500):
        history = _random_history(
            random.Random(seed), with_cas=with_cas, are_unique=are_unique
        ).operations
        expected = _brute_force(history)
        found = register.check(history)
        assert (found.verdict is Verdict.VALID) == expected, f"seed {seed}: {found}"
        if found.verdict is Verdict.INVALID:
            assert not _brute_force(list(found.operations)), f"seed {seed}: not a counterexample"
        good, bad = good + expected, bad + (not expected)
    assert good > 50
    assert bad > 50


def test_zones_and_search_agree():
    for seed in range(500):
        history = _random_history(random.Random(seed), with_cas=False, are_unique=True).operations
        steps, are_unique = register.settled(history)
        assert are_unique
        if any(step.returned < step.called for step in steps):
            continue
        by_zones = register.by_zones(steps) is None
        assert by_zones == (register.by_search(steps, budget=100_000) is None), f"seed {seed}"
