"""The checker of appends: each anomaly by hand, then random histories against all orders."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from histories import FAIL, INFO, History
from oracles import agree, has_order

from jlike.check import append, graph
from jlike.history import Kind, Operation
from jlike.verdict import Verdict


def r(key, *elements):
    return ["r", key, list(elements)]


def a(key, element):
    return ["append", key, element]


def _asked(parts):
    return [[f, key, None if f == "r" else value] for f, key, value in parts]


def txn(history: History, *parts, kind: Kind = Kind.OK, peer: str = "p1") -> None:
    history.did("txn", _asked(parts), list(parts), kind=kind, peer=peer)


def together(history: History, *txns) -> None:
    """All are under way at once."""
    calls = [history.call("txn", _asked(parts)) for parts in txns]
    for call, parts in zip(calls, txns, strict=True):
        history.answer(call, list(parts))


def final(history: History, **lists) -> None:
    for key, elements in lists.items():
        history.did("final", key, [r(key, *elements)])


def _verdict(history: History):
    return append.check(history.operations)


def _good() -> History:
    history = History()
    txn(history, a("x", 1), r("x", 1))
    txn(history, r("x", 1), a("y", 2), a("y", 3))
    txn(history, a("x", 4), kind=INFO)
    txn(history, a("y", 5), kind=FAIL)
    together(history, [r("x", 1, 4), r("y", 2, 3)], [a("x", 6)])
    return history


def test_a_good_history_has_an_order():
    history = _good()
    final(history, x=[1, 4, 6], y=[2, 3])
    found = _verdict(history)
    assert found.verdict is Verdict.VALID, found.reason


def _two_orders(history):
    txn(history, r("x", 4, 1))


def _refused_is_there(history):
    txn(history, r("y", 2, 3, 5))


def _half_of_a_transaction(history):
    together(history, [r("y", 2)])


def _an_element_twice(history):
    txn(history, r("x", 1, 4, 6, 6))


def _nobody_appended(history):
    txn(history, r("x", 1, 4, 6, 99))


def _does_not_see_itself(history):
    txn(history, a("z", 7), r("z"))


def _reads_in_two_ways(history):
    txn(history, r("z"), r("z", 8))


def _stale_read(history):
    txn(history, r("y"))


def _lost_append(history):
    txn(history, a("x", 9))


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (_two_orders, "two orders"),
        (_refused_is_there, "G1a"),
        (_half_of_a_transaction, "G1b"),
        (_an_element_twice, "twice"),
        (_nobody_appended, "nobody appended"),
        (_does_not_see_itself, "does not see itself"),
        (_reads_in_two_ways, "does not see itself"),
        (_stale_read, "in real time"),
        (_lost_append, "is lost"),
    ],
)
def test_what_no_order_explains_is_named(spoil, word):
    history = _good()
    spoil(history)
    final(history, x=[1, 4, 6], y=[2, 3])
    found = _verdict(history)
    assert found.verdict is Verdict.INVALID
    assert word in found.reason


@pytest.mark.parametrize(
    ("txns", "lists", "name"),
    [
        (  # interleaved appends
            [[a("x", 1), a("y", 1_1)], [a("x", 2), a("y", 2_2)]],
            {"x": [1, 2], "y": [22, 11]},
            "G0",
        ),
        (  # each sees the other
            [[a("x", 1), r("y", 2)], [a("y", 2), r("x", 1)]],
            {"x": [1], "y": [2]},
            "G1c",
        ),
        (  # read skew: sees one half of what happened before, and not the other
            [[a("x", 1), a("y", 2)], [r("x", 1), r("y")]],
            {"x": [1], "y": [2]},
            "G-single",
        ),
        (  # lost update: both read the same list before they append
            [[r("x"), a("x", 1)], [r("x"), a("x", 2)]],
            {"x": [1, 2]},
            "G-single",
        ),
        (  # write skew
            [[r("x"), a("y", 1)], [r("y"), a("x", 2)]],
            {"x": [2], "y": [1]},
            "G2",
        ),
    ],
)
def test_each_cycle_has_its_name_and_a_sentence(txns, lists, name):
    history = History()
    together(history, *txns)
    final(history, **lists)
    found = _verdict(history)
    assert found.verdict is Verdict.INVALID
    assert found.reason.startswith(f"{name}:"), found.reason
    assert "txn of process 1" in found.reason
    assert len(found.operations) == 2


def test_the_smallest_cycle_is_told():
    history = History()
    together(
        history,
        [r("x"), a("y", 1)],
        [r("y"), a("z", 2)],
        [r("z"), a("x", 3)],  # a ring of three
        [r("u"), a("v", 4)],
        [r("v"), a("u", 5)],  # and one of two
    )
    final(history, x=[3], y=[1], z=[2], u=[5], v=[4])
    assert {it.process for it in _verdict(history).operations} == {4, 5}


def test_without_appends_or_last_reads_nothing_is_proved():
    history = History()
    assert _verdict(history).verdict is Verdict.UNKNOWN
    txn(history, a("x", 1))
    assert _verdict(history).verdict is Verdict.UNKNOWN


# --- against all orders ------------------------------------------------------------------------


def _explains(order: Sequence[Operation]) -> bool:
    lists: dict[str, list[int]] = {}
    for operation in order:
        parts = operation.result if operation.is_ok else operation.value
        for f, key, value in parts:
            if f == "append":
                lists.setdefault(key, []).append(value)
            elif operation.is_ok and lists.get(key, []) != value:
                return False
    return True


def _random_history(chance: random.Random) -> History:
    """Up to four transactions on two lists, carried out at a moment between call and answer; then,
    often, one answer or the end of a list is not as it was."""
    history = History()
    lists: dict[str, list[int]] = {"x": [], "y": []}
    numbers = itertools.count(1)
    pending: list[tuple[int, list]] = []
    left = chance.randrange(2, 5)
    is_spoiled = chance.random() < 0.6
    while left or pending:
        if left and (not pending or chance.random() < 0.6):
            left -= 1
            parts = []
            for _ in range(chance.randrange(1, 3)):
                key = chance.choice("xy")
                parts.append(a(key, next(numbers)) if chance.random() < 0.6 else ["r", key, None])
            call = history.call("txn", _asked(parts))
            done = _carry_out(lists, parts)
            if is_spoiled and chance.random() < 0.4:
                _spoil(chance, done, lists)
            pending.append((call, done))
            continue
        call, done = pending.pop(chance.randrange(len(pending)))
        history.answer(call, done, kind=chance.choice((Kind.OK, Kind.OK, Kind.OK, INFO)))
    final(history, **lists)
    return history


def _carry_out(lists, parts):
    done = []
    for f, key, value in parts:
        if f == "append":
            lists[key].append(value)
        done.append([f, key, list(lists[key]) if f == "r" else value])
    return done


def _spoil(chance, done, lists):
    reads = [part for part in done if part[0] == "r" and part[2]]
    key = chance.choice("xy")
    if reads and chance.random() < 0.7:
        chance.choice(reads)[2].pop(chance.choice((0, -1)))
    elif len(lists[key]) > 1 and chance.random() < 0.5:
        lists[key][-2:] = lists[key][:-3:-1]
    elif lists[key]:
        lists[key].pop()


def test_the_checker_agrees_with_a_search_of_all_orders():
    agree(_random_history, append.check, lambda found: has_order(found, _explains), seeds=1_500)


# --- the graph ---------------------------------------------------------------------------------


def test_components_and_cycles_agree_with_reachability():
    for seed in range(300):
        chance = random.Random(seed)
        count = chance.randrange(2, 8)
        edges = {
            one: {
                other: {chance.choice("ab")}
                for other in range(count)
                if other != one and chance.random() < 0.25
            }
            for one in range(count)
        }
        for kinds in ("a", "ab"):
            reach = _reach(edges, kinds)
            expected = {
                frozenset(
                    other for other in range(count) if other in reach[it] and it in reach[other]
                )
                for it in range(count)
                if it in reach[it]
            }
            found = list(graph.components(edges, kinds=kinds))
            assert {frozenset(it) for it in found} == expected, seed
            for nodes in found:
                cycle = graph.shortest_cycle(edges, nodes, kinds=kinds)
                pairs = zip(cycle, [*cycle[1:], cycle[0]], strict=True)
                assert all(edges[one][other] & set(kinds) for one, other in pairs)
                assert set(cycle) <= nodes


def _reach(edges, kinds):
    reach = {
        one: {other for other, why in others.items() if why & set(kinds)}
        for one, others in edges.items()
    }
    for _ in edges:
        for found in reach.values():
            found |= set().union(*(reach[it] for it in found))
    return reach
