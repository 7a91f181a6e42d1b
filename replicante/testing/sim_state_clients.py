"""Clients of the product's own state machine in a simulated cluster: several kinds of work at once.

Called by sim_cluster instead of sim_clients, whose questions and answers these are. Beside what the
works judge, every answer is judged as there: applied once, alike everywhere, at an entry after
everything that was told before it was asked, durable on a majority.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from replicante.state import invariants
from replicante.state.commands import KvDelete
from replicante.state.outcome import JobsClaimed, Outcome, decode_outcome
from replicante.testing.clock import Schedule
from replicante.testing.sim_checks import Violation
from replicante.testing.sim_clients import Clients
from replicante.testing.sim_history import Fate, HistoryChecks, Operation
from replicante.testing.sim_options import Options, WorkKind
from replicante.testing.sim_peer import SimPeer
from replicante.testing.sim_work import FINISHER, Asked, Question, Work, command_bytes
from replicante.testing.sim_work_bank import BankWork
from replicante.testing.sim_work_follow import FollowWork
from replicante.testing.sim_work_lease import LeaseWork
from replicante.testing.sim_work_queue import QueueWork

_WORKS = {
    WorkKind.QUEUE: QueueWork,
    WorkKind.LEASE: LeaseWork,
    WorkKind.BANK: BankWork,
    WorkKind.FOLLOW: FollowWork,
}
_PROBE_COMMAND = KvDelete(b"nothing")
_FINISH_AGAIN_US = 3_000
_FINISH_TIMEOUT_MS = 2_000


def no_version(outcome: bytes) -> tuple[bool, int]:
    """Outcomes of the state machine tell of no register."""
    return False, 0


class StateClients(Clients):
    def __init__(
        self,
        schedule: Schedule,
        options: Options,
        history: HistoryChecks,
        peers: list[SimPeer],
        *,
        note: Callable[[str], None],
        count: Callable[[str], None],
    ) -> None:
        super().__init__(schedule, options, history, peers, note=note)
        self._works: list[Work] = [
            _WORKS[kind](options, schedule, count=count) for kind in options.works
        ]
        self._asked: dict[int, tuple[Work, Asked]] = {}
        """operation → what it is of the work"""
        self._results: dict[int, tuple[bool, Any]] = {}
        self._finishing: list[SimPeer] = []
        self._unfinished: set[str] = set()
        self._follow = next((it for it in self._works if isinstance(it, FollowWork)), None)

    # --- asking ------------------------------------------------------------------------------

    def _ask(self, client: int) -> None:
        if not self.is_open:
            return
        home = self._homes.get(client)
        if home is None or self._chance.happens(0.2):
            home = self._homes[client] = self._chance.pick(self._peers)
        work = self._chance.pick(self._works)
        timeout_ms = self._chance.between(*self._options.deadline_ms)
        question = work.next(client, home) if home.is_running and not home.is_stopping else None
        if question is None:
            self._schedule.after(self._think_us(), lambda: self._ask(client))
        else:
            self._put(work, question, home, client=client, timeout_ms=timeout_ms)

    def _put(
        self, work: Work, question: Question, peer: SimPeer, *, client: int, timeout_ms: int
    ) -> None:
        operation = self._submit(peer, question, client=client, timeout_ms=timeout_ms)
        self._asked[operation.number] = (
            work,
            work.begin(question, client=client, peer=peer.name),
        )

    def _submit(
        self, peer: SimPeer, question: Question, *, client: int, timeout_ms: int
    ) -> Operation:
        command = question.command
        operation = self._history.invoke(
            client=client, peer=peer, is_read=command is None, key=0, expected=-1
        )
        if command is None:
            ticket = peer.read(timeout_ms=timeout_ms)
        else:
            encoded = command_bytes(command, number=operation.number)
            ticket = peer.propose(encoded, timeout_ms=timeout_ms)
        self._note(f"ask {client} {peer.name} {operation.number} {question.f}")
        self._expect(operation, peer, ticket, timeout_ms=timeout_ms)
        return operation

    def ask(
        self,
        peer: SimPeer,
        *,
        client: int,
        is_read: bool,
        key: int,
        expected: int,
        timeout_ms: int,
    ) -> Operation | None:
        """What the second phase asks of every peer: a read, or a command that leaves no trace."""
        if not peer.is_running or peer.is_stopping:
            return None
        question = Question("probe", None, None if is_read else _PROBE_COMMAND)
        return self._submit(peer, question, client=client, timeout_ms=timeout_ms)

    # --- answers -----------------------------------------------------------------------------

    def _written(self, operation: Operation, peer: SimPeer, outcome: bytes) -> None:
        found = self._asked.get(operation.number)
        if found is None:
            return
        work, asked = found
        decoded = decode_outcome(outcome)
        assert peer.home.state is not None
        with peer.home.state.view() as view:
            self._results[operation.number] = work.done(asked, decoded, view)
        if self._follow is not None:
            is_done, _ = self._results[operation.number]
            self._follow.expected[operation.number] = _events_of(asked, decoded) if is_done else 0

    def _read(self, operation: Operation, peer: SimPeer) -> int:
        found = self._asked.get(operation.number)
        if found is not None:
            work, asked = found
            assert peer.home.state is not None
            with peer.home.state.view() as view:
                self._results[operation.number] = work.read(asked, view)
        return 0

    def _go_on(self, operation: Operation) -> None:
        found = self._asked.pop(operation.number, None)
        if found is not None:
            self._tell(operation, *found)
        if operation.client == FINISHER:
            assert found is not None
            self._schedule.after(_FINISH_AGAIN_US, lambda: self._finish(found[0]))
            return
        super()._go_on(operation)

    def _tell(self, operation: Operation, work: Work, asked: Asked) -> None:
        is_done, result = self._results.pop(operation.number, (False, None))
        if operation.fate is Fate.INFO:
            work.lost(asked)
            work.end(asked, "info", None)
            return
        if operation.fate is Fate.FAIL:
            work.refused(asked)
            if self._follow is not None:
                self._follow.expected[operation.number] = 0
        work.end(asked, "ok" if is_done else "fail", result)

    # --- the end -----------------------------------------------------------------------------

    def finish(self, peers: list[SimPeer]) -> None:
        self._finishing = peers
        self._unfinished = {work.name for work in self._works}
        for work in self._works:
            self._finish(work)

    def is_finished(self) -> bool:
        return not self._unfinished

    def _finish(self, work: Work) -> None:
        running = [it for it in self._finishing if it.is_running and it.home.state is not None]
        peer = self._chance.pick(running)
        question = work.finish(peer)
        if question is None:
            self._unfinished.discard(work.name)
        else:
            self._put(work, question, peer, client=FINISHER, timeout_ms=_FINISH_TIMEOUT_MS)

    def check_end(self, peers: list[SimPeer]) -> None:
        with ExitStack() as stack:
            views = []
            for peer in peers:
                assert peer.home.state is not None
                views.append((peer.name, stack.enter_context(peer.home.state.view())))
            for work in self._works:
                work.check_end(views)
            broken = list(invariants.violations(views[0][1]))
            if broken:
                raise Violation("the state is sound", broken[0])

    def works_told(self) -> dict[str, list[str]]:
        return {work.name: work.lines for work in self._works}


class ProbingClients(StateClients):
    """Of a later generation: the works that were begun before it know nothing of what it lost, so
    its clients only read, and propose commands that leave no trace."""

    def __init__(
        self,
        schedule: Schedule,
        options: Options,
        history: HistoryChecks,
        peers: list[SimPeer],
        *,
        note: Callable[[str], None],
    ) -> None:
        idle = replace(options, works=())
        super().__init__(schedule, idle, history, peers, note=note, count=lambda name: None)

    def _ask(self, client: int) -> None:
        if not self.is_open:
            return
        operation = self.ask(
            self._chance.pick(self._peers),
            client=client,
            is_read=self._chance.happens(self._options.reads_share),
            key=0,
            expected=-1,
            timeout_ms=self._chance.between(*self._options.deadline_ms),
        )
        if operation is None:
            self._schedule.after(self._think_us(), lambda: self._ask(client))


_EVENTS = {"enqueue": 1, "ack": 2, "nack": 1, "write": 1, "release": 1, "transfer": 2, "open": 3}
_AT_LEAST_ONE = -1


def _events_of(asked: Asked, outcome: Outcome) -> int:
    """How many events tell of what was done."""
    if isinstance(outcome, JobsClaimed):
        return len(outcome.jobs)
    if asked.question.f == "acquire":
        return _AT_LEAST_ONE  # and one for a grant that ran out before
    return _EVENTS.get(asked.question.f, 0)
