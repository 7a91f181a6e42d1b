"""Decides whether transfers between accounts ever made or lost money. Pure.

Called by `jlike.judge`. `read` answers {account: balance} of one moment; `transfer` is told only to
be counted. setup: {account: balance} that was there before the first operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jlike.history import Operation
from jlike.verdict import Finding, invalid, unknown, valid

NAME = "bank"


def check(operations: Iterable[Operation], *, setup: Mapping[str, int]) -> Finding:
    total = sum(setup.values())
    reads = moved = 0
    for operation in operations:
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
    if not reads or not moved:
        return unknown(NAME, "nothing was read, or nothing was transferred")
    return valid(NAME, f"{reads} reads add up to {total} over {moved} transfers", reads=reads)
