"""Checkers of requests, events, bank and levels against brute force.

Each meets small random histories of a server that is sometimes broken; what no order explains must
be called invalid, and nothing else.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from histories import FAIL, OK, History
from oracles import agree, has_order, random_history, token

from jlike.check import bank, events, levels, requests
from jlike.history import Kind, Operation, Value
from jlike.verdict import Verdict

# --- requests ----------------------------------------------------------------------------------


class Requests:
    def __init__(self, *, is_broken: bool) -> None:
        self.is_broken = is_broken
        self.made: list[tuple[str, str]] = []
        self.numbers = itertools.count(1)

    def draw(self, chance: random.Random) -> tuple[str, Value]:
        return chance.choice(("append", "repeat", "repeat", "ask")), ["q", chance.choice("ab")]

    def serve(self, chance: random.Random, f: str, value: Value) -> tuple[Kind, Value]:
        errs = self.is_broken and chance.random() < 0.25
        if f == "final":
            return OK, {"q": [element for element, _ in self.made]}
        known = next((made for element, made in self.made if element == value[1]), None)
        if f == "ask":
            return OK, None if known is None or errs else [known]
        if known is None or errs:
            known = f"i{next(self.numbers)}"
            if not errs or chance.random() < 0.5:
                self.made.append((value[1], known))
        return OK, [known]


def _requests_tell(order: Sequence[Operation]) -> bool:
    made: dict[str, Value] = {}
    for it in order:
        if it.f == "final":
            if sorted(it.result["q"]) != sorted(made):
                return False
            continue
        element = it.value[1]
        if it.f == "ask":
            known = made.get(element)
            if (it.result is None) != (element not in made):
                return False
            if it.result is not None and known is None:
                made[element] = it.result  # an unheard attempt made it
            elif it.result is not None and known != it.result:
                return False
        elif it.is_ok and made.get(element) is not None:
            if made[element] != it.result:
                return False
        elif it.is_ok:
            made[element] = it.result
        else:
            made.setdefault(element, None)
    return True


def _requests_history(chance: random.Random) -> History:
    model = Requests(is_broken=chance.random() < 0.6)
    return random_history(chance, model.draw, model.serve, count=5, last=("final",))


def test_the_checker_of_requests_agrees_with_a_search_of_all_orders():
    agree(
        _requests_history,
        requests.check,
        lambda found: has_order([it for it in found if it.f != "ask" or it.is_ok], _requests_tell),
        seeds=800,
    )


# --- events: one log, of which every page is a slice -------------------------------------------


class Log:
    """Events in memory. is_broken: tells before it is asked, late, twice, of others, of nothing."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.is_broken = chance.random() < 0.6
        self.rows: list[list[Value]] = []
        self.late: list[str] = []

    def errs(self, share: float) -> bool:
        return self.is_broken and self.chance.random() < share

    def tell(self, key: str) -> None:
        number = len(self.rows) + 1
        self.rows.append([token(10 * number), number, f"c{number}", key])

    def tell_of_another(self) -> None:
        if self.errs(0.05):
            self.tell("k99")
        if self.late and self.chance.random() < 0.5:
            self.tell(self.late.pop())

    def page(self, after: str, *, most: int) -> list[list[Value]]:
        found = [it for it in self.rows if it[0] > after][:most]
        if self.errs(0.1):
            return found[:-1]
        return _spoilt(self.chance, found) if found and self.errs(0.1) else found


def _events_history(chance: random.Random) -> History:
    history, log = History(), Log(chance)
    pending: list[tuple[int, Kind, str]] = []
    for number in range(1, 6):
        key = f"k{number}"
        is_early = log.errs(0.05)
        if is_early:
            log.tell(key)
            _poll(chance, history, log)
        kind = chance.choice((OK, OK, Kind.INFO, FAIL))
        call = history.call("write", [key, number])
        happens = (kind is OK or (kind is Kind.INFO and chance.random() < 0.7)) != log.errs(0.1)
        if happens and not is_early:
            if log.errs(0.2):
                log.late.append(key)
            elif chance.random() < 0.5:
                log.tell(key)
            else:
                pending.append((call, kind, key))
                continue
        if log.errs(0.05):
            log.tell(key)
        pending.append((call, kind, ""))
        while pending and chance.random() < 0.7:
            _answer(history, log, pending.pop(chance.randrange(len(pending))))
        log.tell_of_another()
        if chance.random() < 0.5:
            _poll(chance, history, log)
    for it in pending:
        _answer(history, log, it)
    while log.late:
        log.tell_of_another()
    for peer in ("p1", "p2"):
        tail = _spoilt(chance, log.rows) if log.rows and log.errs(0.05) else list(log.rows)
        history.did("poll", [token(0), True], tail, peer=peer)
    return history


def _answer(history: History, log: Log, it: tuple[int, Kind, str]) -> None:
    call, kind, key = it
    if key:
        log.tell(key)
    history.answer(call, kind=kind)


def _poll(chance: random.Random, history: History, log: Log) -> None:
    after = chance.choice([token(0), *(it[0] for it in log.rows)])
    page = log.page(after, most=2)
    history.did("poll", [after, False, 2] if chance.random() < 0.5 else [after, False], page)


def _spoilt(chance: random.Random, page: list) -> list:
    at = chance.randrange(len(page))
    match chance.choice(("drop", "swap", "other")):
        case "drop":
            return page[:at] + page[at + 1 :]
        case "swap":
            return page[::-1]
        case _:
            return [*page[:at], [page[at][0], page[at][1], "strange", page[at][3]], *page[at + 1 :]]


def _events_legal(operations: Sequence[Operation]) -> bool:
    polls = [it for it in operations if it.f == "poll"]
    log = next(it.result for it in polls if it.value[1])
    keys = [it[3] for it in log]
    return (
        all(it.result == log for it in polls if it.value[1])
        and [it[1] for it in log] == list(range(1, len(log) + 1))
        and [it[0] for it in log] == sorted(it[0] for it in log)
        and all(
            it.result == [event for event in log if event[0] > it.value[0]][: len(it.result)]
            for it in polls
        )
        and len(set(keys)) == len(keys)
        and all(
            (it.value[0] in keys) if it.is_ok else it.kind is Kind.INFO or it.value[0] not in keys
            for it in operations
            if it.f == "write"
        )
        and _events_fit_time(operations, log)
    )


def _events_fit_time(operations: Sequence[Operation], log: list) -> bool:
    """Every pair of writes, and every write and poll."""
    polls = [it for it in operations if it.f == "poll"]
    writes = {it.value[0]: it for it in operations if it.f == "write"}
    return (
        all(it[3] in writes for it in log)
        and not any(
            writes[later[3]].is_ok and writes[later[3]].before(writes[event[3]])
            for event, later in itertools.combinations(log, 2)
        )
        and not any(poll.before(writes[event[3]]) for poll in polls for event in poll.result)
        and all(
            event in poll.result or (len(poll.result) == 2 and event[0] > poll.result[-1][0])
            for poll in polls
            if len(poll.value) > 2
            for event in log
            if event[0] > poll.value[0] and writes[event[3]].is_ok and writes[event[3]].before(poll)
        )
    )


def test_the_checker_of_events_agrees_with_one_log_cut_in_slices():
    agree(
        _events_history,
        lambda found: events.check(found, own="k"),
        _events_legal,
        seeds=1_500,
    )


# --- bank --------------------------------------------------------------------------------------


SETUP = {"a": 3, "b": 3, "c": 3}


class Bank:
    """Balances in memory. is_broken: now and then a transfer has half of its effect, or none."""

    def __init__(self, chance: random.Random) -> None:
        self.is_broken = chance.random() < 0.6
        self.held = dict(SETUP)

    def draw(self, chance: random.Random) -> tuple[str, Value]:
        if chance.random() < 0.4:
            return "read", None
        return "transfer", [*chance.sample(sorted(SETUP), 2), chance.randrange(1, 3)]

    def serve(self, chance: random.Random, f: str, value: Value) -> tuple[Kind, Value]:
        if f == "read":
            return OK, dict(self.held)
        one, other, amount = value
        error = chance.random() if self.is_broken else 1.0
        if self.held[one] < amount and error > 0.1:
            return FAIL, None
        if error > 0.3 or error < 0.1:
            self.held[one] -= amount
        if error > 0.2:
            self.held[other] += amount
        return OK, None


def _bank_history(chance: random.Random) -> History:
    model = Bank(chance)
    return random_history(chance, model.draw, model.serve, count=6, last=("read",))


def _bank_tells(order: Sequence[Operation]) -> bool:
    held = dict(SETUP)
    for it in order:
        if it.f == "read" and it.is_ok and it.result != held:
            return False
        if it.f == "transfer":
            one, other, amount = it.value
            held[one] -= amount
            held[other] += amount
    return all(min(it.result.values()) >= 0 for it in order if it.f == "read" and it.is_ok)


def test_what_the_bank_checker_refuses_has_no_order():
    """It judges each read alone, and each account of it: not all is seen, but most."""
    counts = {True: 0, False: 0}
    for seed in range(800):
        operations = _bank_history(random.Random(seed)).operations
        found = bank.check(operations, setup=SETUP)
        is_legal = has_order(operations, _bank_tells)
        assert found.verdict is not Verdict.INVALID or not is_legal, (seed, found.reason)
        if not is_legal:
            counts[found.verdict is Verdict.INVALID] += 1
    assert counts[True] > 10 * counts[False], counts


# --- levels: every pair of what was told and what was read --------------------------------------


def _levels_history(chance: random.Random) -> History:
    history = History()
    is_broken = chance.random() < 0.6
    values: list[Value] = [["k", None, ""]]
    numbers = itertools.count(1)
    pending: list[tuple[int, Value]] = []
    for _ in range(8):
        history.passes(chance.randrange(0, 40))
        if pending and chance.random() < 0.5:
            history.answer(*pending.pop(chance.randrange(len(pending))))
            continue
        f = chance.choice(("write", "linearizable", "bounded", "stale", "since"))
        if f == "write":
            number = next(numbers)
            call = history.call(f, ["k", number])
            values.append(["k", number, token(number << 16)])
            pending.append((call, values[-1]))
            continue
        argument = {"bounded": 50, "since": chance.randrange(0, 3)}.get(f)
        errs = f == "stale" or (is_broken and chance.random() < 0.4)
        answer = chance.choice(values) if errs else values[-1]
        pending.append((history.call(f, ["k", argument]), answer))
    for call, answer in pending:
        history.answer(call, answer)
    return history


def _levels_legal(operations: Sequence[Operation]) -> bool:
    return not any(_is_too_old(one, read) for one in operations for read in operations)


def _is_too_old(told: Operation, read: Operation) -> bool:
    if read.f in ("write", "stale") or told.result[2] <= read.result[2]:
        return False
    if read.f == "since":
        return bool(read.value[1]) and int(told.result[2]) >> 16 <= read.value[1]
    allowed_ns = 50 * 1.05e6 if read.f == "bounded" else 0
    return (told.returned_ns or 0) < read.called_ns - allowed_ns


def test_the_checker_of_levels_agrees_with_every_pair():
    agree(_levels_history, levels.check, _levels_legal, seeds=800)
