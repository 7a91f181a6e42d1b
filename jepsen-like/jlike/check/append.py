"""Decides whether transactions over lists that only grow fit one order in time. Pure.

Called by `jlike.judge`. `txn` [[r, key, null] or [append, key, element], …] → the same with what
each r saw; `final` key → [[r, key, list]]. Elements are unique, so a list tells who appended to it,
in which order, and so which version each read saw (Kingsbury and Alvaro, "Elle", 2020). From that
follow edges: ww to whoever appended next, wr to whoever read it, rw from whoever read the version
before it, rt to whatever was asked after it was answered. A cycle is an order that nobody can give:

  G0   ww only: appends of two transactions are interleaved
  G1c  ww and wr: two transactions see each other
  G2   with rw: one did not see what it had to (G-single: one rw only)

and with rt a cycle means that the order is not that of time. Before that, without a graph: a read
that no order of appends allows (another order, twice, invented, refused, half of a transaction).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jlike.check import graph
from jlike.history import Kind, Operation, Value
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "append"
ANOMALIES = (
    ("G0", ("ww",)),
    ("G1c", ("ww", "wr")),
    ("G2", ("ww", "wr", "rw")),
    ("G0 in real time", ("ww", "rt")),
    ("G1c in real time", ("ww", "wr", "rt")),
    ("G2 in real time", ("ww", "wr", "rw", "rt")),
)
"""The plainest first: what is a G0 is all the others too."""
WORDS = {
    "ww": "appended to {key} right before",
    "wr": "had its append to {key} seen by",
    "rw": "did not see the append to {key} of",
    "rt": "was answered before anybody asked for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Txn:
    """One that happened. parts: with what reads saw, where that is known."""

    source: Operation
    parts: Sequence[Value]

    @property
    def name(self) -> str:
        return f"txn of process {self.source.process}"


def check(operations: Iterable[Operation]) -> Finding:
    found = [it for it in operations if it.f in ("txn", "final")]
    writers = {
        part[2]: it for it in found if it.f == "txn" for part in it.value if part[0] == "append"
    }
    done = [Txn(source=it, parts=it.result) for it in found if it.is_ok]
    wrong = _inside(done) or _phantoms(done, writers)
    if wrong:
        return wrong
    orders = _orders(done)
    if isinstance(orders, Finding):
        return orders
    seen = {element for order in orders.values() for element in order}
    for it in found:  # unanswered, and somebody saw it: it happened
        mine = [part[2] for part in it.value if part[0] == "append"] if it.f == "txn" else []
        if it.kind is Kind.INFO and any(element in seen for element in mine):
            done.append(Txn(source=it, parts=[part for part in it.value if part[0] != "r"]))
    wrong = _halves(done, writers) or _own(done, orders) or _cycle(done, orders)
    if wrong:
        return wrong
    appended = sum(part[0] == "append" for it in done for part in it.parts)
    if not appended or not any(it.source.f == "final" for it in done):
        return unknown(NAME, "nothing was appended, or nothing was read at the end")
    return valid(NAME, f"{len(done)} transactions with {appended} appends have an order")


def _inside(done: Sequence[Txn]) -> Finding | None:
    """A transaction sees what it read before, and its own appends since."""
    for txn in done:
        known: dict[str, list[Value]] = {}
        own: dict[str, list[Value]] = defaultdict(list)
        for f, key, value in txn.parts:
            if f == "append":
                own[key].append(value)
                if key in known:
                    known[key] = [*known[key], value]
                continue
            tail = own[key]
            if (key in known and value != known[key]) or value[len(value) - len(tail) :] != tail:
                return invalid(NAME, f"{txn.name} read {key} and does not see itself", [txn.source])
            known[key] = list(value)
    return None


def _phantoms(done: Sequence[Txn], writers: Mapping[Value, Operation]) -> Finding | None:
    for txn, key, elements in _reads(done):
        where = f"a read of {key} at {txn.source.peer}"
        if len(set(elements)) < len(elements):
            return invalid(NAME, f"{where} shows an element twice", [txn.source])
        for element in elements:
            writer = writers.get(element)
            if writer is None or not any(part == ["append", key, element] for part in writer.value):
                return invalid(
                    NAME, f"{where} shows {element}, which nobody appended", [txn.source]
                )
            if writer.kind is Kind.FAIL:
                return invalid(
                    NAME,
                    f"{where} shows {element}, whose transaction was refused (G1a)",
                    [writer, txn.source],
                )
    return None


def _orders(done: Sequence[Txn]) -> dict[str, list[Value]] | Finding:
    """Key → its elements in the order of their appends: the longest read, and all others are
    beginnings of it."""
    longest: dict[str, tuple[list[Value], Txn]] = {}
    for txn, key, elements in _reads(done):
        if key not in longest or len(elements) > len(longest[key][0]):
            longest[key] = (elements, txn)
    for txn, key, elements in _reads(done):
        order, witness = longest[key]
        if elements != order[: len(elements)]:
            return invalid(
                NAME,
                f"reads of {key} at {witness.source.peer} and {txn.source.peer} show two orders",
                [witness.source, txn.source],
            )
    return {key: order for key, (order, _) in longest.items()}


def _halves(done: Sequence[Txn], writers: Mapping[Value, Operation]) -> Finding | None:
    """A read that ends amid the appends of one other transaction to this key (G1b)."""
    for txn, key, elements in _reads(done):
        of_others = [it for it in elements if writers[it] is not txn.source]
        if not of_others:
            continue
        writer = writers[of_others[-1]]
        appends = [part[2] for part in writer.value if part[:2] == ["append", key]]
        if appends[-1] != of_others[-1]:
            return invalid(
                NAME,
                f"a read of {key} at {txn.source.peer} shows half of a transaction (G1b)",
                [writer, txn.source],
            )
    return None


def _own(done: Sequence[Txn], orders: Mapping[str, list[Value]]) -> Finding | None:
    """What a transaction appended is in the last reads, which were asked after all else, and in
    the order in which it asked for it."""
    finals = {it.source.value: it for it in done if it.source.f == "final"}
    for txn in done:
        own: dict[str, list[Value]] = defaultdict(list)
        for f, key, element in txn.parts:
            if f == "append" and key in finals:
                own[key].append(element)
        for key, elements in own.items():
            kept = [it for it in orders[key] if it in elements]
            if len(kept) < len(elements) and txn.source.is_ok:
                gone = next(it for it in elements if it not in kept)
                return invalid(
                    NAME,
                    f"the append of {gone} to {key} was acknowledged and is lost",
                    [txn.source, finals[key].source],
                )
            if kept != [it for it in elements if it in kept]:
                return invalid(
                    NAME, f"{key} has the appends of {txn.name} in another order", [txn.source]
                )
    return None


def _reads(done: Sequence[Txn]) -> Iterable[tuple[Txn, str, list[Value]]]:
    """(transaction, key, what it saw), its own appends before that read too."""
    for txn in done:
        for f, key, value in txn.parts:
            if f == "r":
                yield txn, key, value


# --- the graph ---------------------------------------------------------------------------------


def _cycle(done: Sequence[Txn], orders: Mapping[str, list[Value]]) -> Finding | None:
    edges, keys = _edges(done, orders)
    for name, kinds in ANOMALIES:
        best: list[int] = []
        for nodes in graph.components(edges, kinds=kinds):
            cycle = graph.shortest_cycle(edges, nodes, kinds=kinds)
            if not best or len(cycle) < len(best):
                best = cycle
        if best:
            return _told(name, best, done, edges, keys, kinds)
    return None


def _edges(
    done: Sequence[Txn], orders: Mapping[str, list[Value]]
) -> tuple[dict[int, dict[int, set[str]]], dict[tuple[int, int, str], str]]:
    """Edges by number of the transaction; then which key an edge comes from."""
    edges: dict[int, dict[int, set[str]]] = {at: defaultdict(set) for at in range(len(done))}
    keys: dict[tuple[int, int, str], str] = {}

    def add(one: int | None, other: int | None, kind: str, key: str) -> None:
        if one is not None and other is not None and one != other:
            edges[one][other].add(kind)
            keys.setdefault((one, other, kind), key)

    by_element = {
        part[2]: at for at, txn in enumerate(done) for part in txn.parts if part[0] == "append"
    }
    unseen: dict[str, set[int]] = defaultdict(set)
    """By key, whose appends come after all that anybody saw: they happened after the last reads."""
    for at, txn in enumerate(done):
        for f, key, element in txn.parts:
            if f == "append" and element not in orders.get(key, ()):
                unseen[key].add(at)
    for key, order in orders.items():
        for before, after in itertools.pairwise(order):
            add(by_element.get(before), by_element.get(after), "ww", key)
        if order:
            for at in unseen[key]:
                add(by_element.get(order[-1]), at, "ww", key)
    for at, txn in enumerate(done):
        mine = {part[2] for part in txn.parts if part[0] == "append"}
        for f, key, value in txn.parts:
            if f != "r":
                continue
            of_others = [it for it in value if it not in mine]
            if of_others:
                add(by_element.get(of_others[-1]), at, "wr", key)
            following = [it for it in orders[key][len(of_others) :] if it not in mine]
            if following:
                add(at, by_element.get(following[0]), "rw", key)
            else:
                for other in unseen[key]:
                    add(at, other, "rw", key)
    for one, other in _real_time(done):
        add(one, other, "rt", "")
    return edges, keys


def _real_time(done: Sequence[Txn]) -> Iterable[tuple[int, int]]:
    """Enough of them that all others follow: only to those that end before nothing that lies
    between has begun and ended."""
    calls = sorted(range(len(done)), key=lambda at: done[at].source.called)
    returns = sorted(range(len(done)), key=lambda at: done[at].source.end)
    frontier: set[int] = set()
    at = 0
    for node in calls:
        while at < len(returns) and done[returns[at]].source.before(done[node].source):
            ended = returns[at]
            frontier = {it for it in frontier if not done[it].source.before(done[ended].source)} | {
                ended
            }
            at += 1
        for before in frontier:
            yield before, node


def _told(
    name: str,
    cycle: Sequence[int],
    done: Sequence[Txn],
    edges: Mapping[int, Mapping[int, set[str]]],
    keys: Mapping[tuple[int, int, str], str],
    kinds: Sequence[str],
) -> Finding:
    pieces = [done[cycle[0]].name]
    used = []
    for one, other in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
        kind = next(it for it in kinds if it in edges[one][other])
        used.append(kind)
        pieces += [WORDS[kind].format(key=keys[one, other, kind]), done[other].name]
    if name.startswith("G2") and used.count("rw") == 1:
        name = name.replace("G2", "G-single")
    sentence = ", which ".join(
        f"{pieces[at]} {pieces[at + 1]}" if at else f"{pieces[0]} {pieces[1]} {pieces[2]}"
        for at in ([0, *range(3, len(pieces), 2)])
    )
    return invalid(NAME, f"{name}: {sentence}", [done[it].source for it in cycle])
