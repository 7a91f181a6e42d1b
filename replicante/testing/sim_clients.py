"""Clients of a simulated cluster: one operation at a time each, at any peer, with deadlines.

Called by sim_cluster. A client learns what a caller of `raft.peer` learns: an outcome, a definite
refusal, or that nobody knows. It never repeats an operation.
"""

from __future__ import annotations

from collections.abc import Callable

from replicante.raft import driver as d
from replicante.raft.reads import ReadDone
from replicante.testing.clock import Schedule
from replicante.testing.entropy import Chance
from replicante.testing.sim_history import Fate, HistoryChecks, Operation
from replicante.testing.sim_machine import encode_put
from replicante.testing.sim_options import Options
from replicante.testing.sim_peer import SimPeer

PROBE = -1
"""The client of an operation that nobody goes on from."""
_ANSWER_GRACE_US = 30_000
"""A caller waits so much longer than its deadline for a peer that stands still."""


class Clients:
    def __init__(
        self,
        schedule: Schedule,
        options: Options,
        history: HistoryChecks,
        peers: list[SimPeer],
        *,
        note: Callable[[str], None],
    ) -> None:
        self.is_open = True
        """False: nobody asks anything new."""
        self._schedule = schedule
        self._options = options
        self._history = history
        self._peers = peers
        self._note = note
        self._chance = Chance(options.seed, "clients")
        self._waiting: dict[tuple[str, int, int], Operation] = {}
        """(peer, process, ticket) → what it is the answer to"""
        self._versions: dict[int, int] = {}
        self._homes: dict[int, SimPeer] = {}

    def begin(self) -> None:
        for client in range(self._options.clients_count):
            self._schedule.after(self._think_us(), lambda client=client: self._ask(client))  # type: ignore[misc]

    def works_told(self) -> dict[str, list[str]]:
        """Histories of what was done with the product's own state machine."""
        return {}

    def finish(self, peers: list[SimPeer]) -> None:
        """Faults are over: what is left to do is done at these peers."""

    def is_finished(self) -> bool:
        return True

    def check_end(self, peers: list[SimPeer]) -> None:
        """All of them have applied the same. Raises Violation."""

    def has_work_at(self, peer: SimPeer) -> bool:
        """Whether the peer still works on something, also when nobody waits for it any more."""
        return any(place[:2] == (peer.name, peer.process) for place in self._waiting)

    # --- asking ------------------------------------------------------------------------------

    def _ask(self, client: int) -> None:
        if not self.is_open:
            return
        home = self._homes.get(client)
        if home is None or self._chance.happens(0.2):
            home = self._homes[client] = self._chance.pick(self._peers)
        is_read = self._chance.happens(self._options.reads_share)
        key = self._chance.between(1, self._options.keys_count)
        expected = -1
        if self._chance.happens(0.3):
            expected = self._versions.get(key, 0)
        timeout_ms = self._chance.between(*self._options.deadline_ms)
        operation = self.ask(
            home,
            client=client,
            is_read=is_read,
            key=key,
            expected=expected,
            timeout_ms=timeout_ms,
        )
        if operation is None:
            self._schedule.after(self._think_us(), lambda: self._ask(client))

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
        """None when nobody listens there."""
        if not peer.is_running or peer.is_stopping:
            return None
        operation = self._history.invoke(
            client=client, peer=peer, is_read=is_read, key=key, expected=expected
        )
        number = operation.number
        if is_read:
            ticket = peer.read(timeout_ms=timeout_ms)
        else:
            padding_bytes = self._chance.between(0, self._options.padding_bytes)
            command = encode_put(
                operation=number,
                key=key,
                expected=expected,
                padding_bytes=0 if client == PROBE else padding_bytes,
            )
            ticket = peer.propose(command, timeout_ms=timeout_ms)
        self._note(f"ask {operation.client} {peer.name} {number} {is_read} {key} {expected}")
        self._expect(operation, peer, ticket, timeout_ms=timeout_ms)
        return operation

    def _expect(self, operation: Operation, peer: SimPeer, ticket: int, *, timeout_ms: int) -> None:
        place = (peer.name, peer.process, ticket)
        self._waiting[place] = operation
        self._schedule.after(
            timeout_ms * 1_000 + _ANSWER_GRACE_US, lambda: self._lose_patience(place)
        )

    def _lose_patience(self, place: tuple[str, int, int]) -> None:
        operation = self._waiting.get(place)
        if operation is not None and operation.fate is Fate.OPEN:
            self._history.unknown(operation)
            self._go_on(operation)

    # --- answers -----------------------------------------------------------------------------

    def answered(self, peer: SimPeer, effects: d.Effects) -> None:
        for done in effects.proposals:
            operation = self._waiting.pop((peer.name, peer.process, done.ticket), None)
            if operation is None:
                continue
            is_unknown = done.error is not None and not type(done.error).definite
            self._history.ended(operation, is_given_up=is_unknown)
            if operation.fate is not Fate.OPEN:
                continue
            if done.error is None:
                assert done.outcome is not None
                self._history.written(operation, outcome=done.outcome, index=done.index)
                self._written(operation, peer, done.outcome)
            elif not is_unknown:
                self._history.refused(operation, error=type(done.error).code)
            else:
                self._history.unknown(operation)
            self._go_on(operation)
        for read in effects.reads:
            self._answer_read(peer, read)

    def _written(self, operation: Operation, peer: SimPeer, outcome: bytes) -> None:
        self._versions[operation.key] = operation.version
        self._probe(operation, peer)

    def _probe(self, written: Operation, peer: SimPeer) -> None:
        """Reads what was just written where it is most likely to be missing: at another peer that
        thinks that it leads, or at any other."""
        others = [other for other in self._peers if other is not peer and other.is_running]
        if not (others and self.is_open and self._chance.happens(self._options.probes)):
            return
        leaders = [o for o in others if o.driver is not None and o.driver.engine.is_leader]
        self.ask(
            self._chance.pick(leaders or others),
            client=PROBE,
            is_read=True,
            key=written.key,
            expected=-1,
            timeout_ms=self._chance.between(*self._options.deadline_ms),
        )

    def _answer_read(self, peer: SimPeer, read: ReadDone) -> None:
        operation = self._waiting.pop((peer.name, peer.process, read.ticket), None)
        if operation is None or operation.fate is not Fate.OPEN:
            return
        if read.error is not None:
            self._history.refused(operation, error=type(read.error).code)
        else:
            version = self._read(operation, peer)
            self._history.was_read(
                operation, version=version, applied_index=peer.machine.applied_index
            )
            self._versions[operation.key] = version
        self._go_on(operation)

    def _read(self, operation: Operation, peer: SimPeer) -> int:
        """Version of what is read."""
        return peer.home.registers.version(operation.key)

    def peer_ended(self, peer: SimPeer) -> None:
        """Its callers see their connections close."""
        for place in [place for place in self._waiting if place[:2] == (peer.name, peer.process)]:
            operation = self._waiting.pop(place)
            if operation.fate is Fate.OPEN:
                self._history.unknown(operation)
                self._go_on(operation)

    def _go_on(self, operation: Operation) -> None:
        self._note(f"told {operation.number} {operation.fate.value} {operation.version}")
        if operation.client != PROBE:
            self._schedule.after(self._think_us(), lambda: self._ask(operation.client))

    def _think_us(self) -> int:
        return self._chance.exponential(self._options.think_us)
