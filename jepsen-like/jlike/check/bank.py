"""Decides whether transfers between accounts ever made or lost money, or had no effect. Pure.

Called by `jlike.judge`. `read` answers {account: balance} of one moment; `transfer` is [from, to,
amount]. setup: {account: balance} that was there before the first operation.

A balance lies between what remains when everything was taken that may have been, and what there is
when everything came that may have: all transfers that were acknowledged before the read was asked
are in both, those that may have happened by its answer in one. So an acknowledged transfer without
effect is seen as long as not too many were left without an answer.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Mapping

from jlike.history import Kind, Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "bank"


def check(operations: Iterable[Operation], *, setup: Mapping[str, int]) -> Finding:
    total = sum(setup.values())
    reads = moved = 0
    found = list(operations)
    accounts = {name: _Account(name, found) for name in setup}
    for operation in found:
        moved += operation.f == "transfer" and operation.is_ok
        if operation.f != "read" or not operation.is_ok:
            continue
        reads += 1
        balances = operation.result
        where = f"a read at {operation.peer}"
        if set(balances) != set(setup):
            return invalid(NAME, f"{where} shows accounts {sorted(balances)}", [operation])
        for account, balance in balances.items():
            if balance < 0:
                return invalid(NAME, f"{where} shows {balance} in account {account}", [operation])
        if sum(balances.values()) != total:
            return invalid(
                NAME,
                f"{where} adds up to {sum(balances.values())} instead of {total}",
                [operation],
            )
        for name, account in accounts.items():
            low, high = account.bounds(operation)
            balance = balances[name] - setup[name]
            if not low <= balance <= high:
                return invalid(
                    NAME,
                    f"{where} shows {balances[name]} in account {name}, and transfers leave"
                    f" {setup[name] + low} to {setup[name] + high} there",
                    [*account.certain(operation)[-1:], operation],
                )
    if not reads or not moved:
        return unknown(NAME, "nothing was read, or nothing was transferred")
    return valid(NAME, f"{reads} reads add up to {total} over {moved} transfers", reads=reads)


class _Account:
    """Sums of what went and came, by position in the history."""

    def __init__(self, name: str, operations: Iterable[Operation]) -> None:
        mine = [
            it
            for it in operations
            if it.f == "transfer" and it.kind is not Kind.FAIL and name in it.value[:2]
        ]
        self._acknowledged = sorted((it for it in mine if it.is_ok), key=lambda it: it.end)
        self._ends = [it.end for it in self._acknowledged]
        self._calls = [it.called for it in mine]
        self._gone = [_sums(found, name, at=0) for found in (self._acknowledged, mine)]
        self._come = [_sums(found, name, at=1) for found in (self._acknowledged, mine)]

    def certain(self, read: Operation) -> list[Operation]:
        """Transfers that this read shows, in the order of their answers."""
        return self._acknowledged[: bisect.bisect_left(self._ends, read.called)]

    def bounds(self, read: Operation) -> tuple[int, int]:
        """Least and most that the balance can have grown by."""
        sure = bisect.bisect_left(self._ends, read.called)
        perhaps = bisect.bisect_left(self._calls, read.end)
        (sure_gone, all_gone), (sure_come, all_come) = self._gone, self._come
        return (
            sure_come[sure] - all_gone[perhaps],
            all_come[perhaps] - sure_gone[sure],
        )


def _sums(transfers: Iterable[Operation], name: str, *, at: int) -> list[int]:
    """at: 0 for what this account gave, 1 for what it was given."""
    amounts = (it.value[2] if it.value[at] == name else 0 for it in transfers)
    return [0, *itertools.accumulate(amounts)]
