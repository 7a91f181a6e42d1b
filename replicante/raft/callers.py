"""Who waits for an answer of this peer: proposals, reads and changes, by ticket. Touches asyncio.

Called by peer.
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

import msgspec

from replicante.errors import OutcomeUnknown, Quarantined, ReplicanteError
from replicante.raft.inputs import Effects
from replicante.raft.observations import StateQuarantined

Answer = TypeVar("Answer")
_GRACE_MS = 500
"""How much longer than its deadline a caller waits for a driver that stands still."""


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    outcome: bytes
    """What the state machine returned on this peer."""
    index: int


class Desk(Generic[Answer]):
    """Futures of one kind by ticket."""

    def __init__(self) -> None:
        self._futures: dict[int, asyncio.Future[Answer]] = {}
        self._next_ticket = 1

    def __len__(self) -> int:
        return len(self._futures)

    def open(self) -> int:
        self._next_ticket += 1
        ticket = self._next_ticket
        self._futures[ticket] = asyncio.get_running_loop().create_future()
        return ticket

    async def wait(self, ticket: int, *, timeout_ms: int, late: type[ReplicanteError]) -> Answer:
        """Raises `late` when nobody answers within the time and a grace."""
        future = self._futures[ticket]
        patience_s = (timeout_ms + _GRACE_MS) / 1000
        # Half the price of asyncio.timeout, on the path of every proposal.
        timer = asyncio.get_running_loop().call_later(patience_s, _give_up, future, late)
        try:
            return await future
        finally:
            timer.cancel()
            self._futures.pop(ticket, None)

    def answer(self, ticket: int, answer: Answer) -> None:
        future = self._futures.pop(ticket, None)
        if future is not None and not future.done():
            future.set_result(answer)

    def fail(self, ticket: int, error: ReplicanteError) -> None:
        future = self._futures.pop(ticket, None)
        if future is not None and not future.done():
            future.set_exception(error)

    def fail_all(self, error: type[ReplicanteError]) -> None:
        for ticket in list(self._futures):
            self.fail(ticket, error())


def _give_up(future: asyncio.Future[Answer], late: type[ReplicanteError]) -> None:
    if not future.done():
        future.set_exception(late())


class Callers:
    def __init__(self) -> None:
        self.proposals: Desk[Proposed] = Desk()
        self.reads: Desk[int] = Desk()
        self.changes: Desk[int] = Desk()

    def answer(self, effects: Effects) -> None:
        """Tells everybody what a step decided; nothing, once the state proved to be wrong: what the
        own apply said is not to be believed any more."""
        if any(isinstance(it, StateQuarantined) for it in effects.observations):
            self.proposals.fail_all(OutcomeUnknown)
            self.reads.fail_all(Quarantined)
        for done in effects.proposals:
            if done.error is not None:
                self.proposals.fail(done.ticket, done.error)
            else:
                assert done.outcome is not None
                answer = Proposed(outcome=done.outcome, index=done.index)
                self.proposals.answer(done.ticket, answer)
        for read in effects.reads:
            if read.error is not None:
                self.reads.fail(read.ticket, read.error)
            else:
                self.reads.answer(read.ticket, read.index)
        for change in effects.changes:
            if change.error is not None:
                self.changes.fail(change.ticket, change.error)
            else:
                self.changes.answer(change.ticket, change.index)
