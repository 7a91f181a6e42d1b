"""Accounts between which transactions move money: none is made or lost, whoever looks.

Called by sim_state_clients. Who transfers compares what it has read before: a transfer over an
older reading does nothing. Who looks asks in a transaction, or reads at a peer.
"""

from __future__ import annotations

from typing import Any

from replicante.model.codec import encode_value, load_value
from replicante.state import queries
from replicante.state.commands import KvGet, KvPut, KvTxn
from replicante.state.comparisons import Compare, CompareKind
from replicante.state.outcome import Got, Outcome, TxnApplied
from replicante.storage.kv import View
from replicante.testing.sim_peer import SimPeer
from replicante.testing.sim_work import FINISHER, Asked, Question, Work

ACCOUNTS = ("x", "y", "z")
BALANCE = 100

_Reading = dict[str, tuple[int, int]]
"""account → (balance, revision)"""


class BankWork(Work):
    name = "bank"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seen: dict[int, _Reading] = {}
        """client → what it has read last, and not used"""
        self._is_open = False
        self._is_finished = False

    # --- asking --------------------------------------------------------------------------------

    def next(self, client: int, peer: SimPeer) -> Question | None:
        if not self._is_open:
            return self._open()
        seen = self._seen.pop(client, None)
        if seen is not None:
            return self._transfer(seen)
        return self._look(is_transaction=self.chance.happens(0.5))

    def finish(self, peer: SimPeer) -> Question | None:
        if self._is_finished:
            return None
        return self.next(FINISHER, peer)

    def _open(self) -> Question:
        absent = tuple(Compare(_key(it), CompareKind.ABSENT) for it in ACCOUNTS)
        puts = tuple(KvPut(_key(it), encode_value(BALANCE)) for it in ACCOUNTS)
        return Question("open", None, KvTxn(absent, puts))

    def _look(self, *, is_transaction: bool) -> Question:
        gets = tuple(KvGet(_key(it)) for it in ACCOUNTS)
        return Question("read", None, KvTxn((), gets) if is_transaction else None)

    def _transfer(self, seen: _Reading) -> Question:
        source, target = self.chance.some(ACCOUNTS, 2)
        amount = self.chance.between(1, max(seen[source][0], 1))
        compares = tuple(
            Compare(_key(it), CompareKind.REVISION_EQUALS, seen[it][1]) for it in (source, target)
        )
        puts = (
            KvPut(_key(source), encode_value(seen[source][0] - amount)),
            KvPut(_key(target), encode_value(seen[target][0] + amount)),
        )
        if seen[source][0] < amount:
            return self._look(is_transaction=True)
        return Question("transfer", [source, target, amount], KvTxn(compares, puts))

    # --- answers -------------------------------------------------------------------------------

    def done(self, asked: Asked, outcome: Outcome, view: View) -> tuple[bool, Any]:
        assert isinstance(outcome, TxnApplied)
        match asked.question.f:
            case "open":
                self._is_open = True
                return outcome.is_success, None
            case "read":
                found = zip(ACCOUNTS, outcome.results, strict=True)
                return True, self._judge(asked, {it: _reading(got) for it, got in found})
            case _:
                self.count("transferred" if outcome.is_success else "transfer_was_late")
                self._is_finished = outcome.is_success and asked.client == FINISHER
                return outcome.is_success, asked.question.value

    def read(self, asked: Asked, view: View) -> tuple[bool, Any]:
        reading: _Reading = {}
        for account in ACCOUNTS:
            found = queries.kv_get(view, _key(account))
            if found is not None:
                reading[account] = (_balance(found.value), found.revision)
        return True, self._judge(asked, reading)

    def _judge(self, asked: Asked, reading: _Reading) -> dict[str, int]:
        balances = {account: balance for account, (balance, _) in reading.items()}
        total = sum(balances.values())
        if total != BALANCE * len(ACCOUNTS) or min(balances.values()) < 0:
            self.fail("money is moved, not made", f"{asked.peer}: {balances}")
        self._seen[asked.client] = reading
        return balances


def _reading(got: Any) -> tuple[int, int]:
    assert isinstance(got, Got)
    assert got.value is not None
    assert got.revision is not None
    return _balance(got.value), got.revision


def _balance(value: bytes) -> int:
    return int(str(load_value(value)))


def _key(account: str) -> bytes:
    return f"account/{account}".encode()
