"""Linearizable reads of a peer and of those that ask it as leader (thesis §6.4). Pure; called by
driver, once each a step.

A leader turns what arrived into confirmations that wait for the next round of heartbeats; a
follower asks the leader, again when the answer is overdue. Rule: no index is told before the no-op
of the leader's term is committed.
"""

from __future__ import annotations

from replicante.raft import messages as m
from replicante.raft.engine import Engine
from replicante.raft.inputs import Effects
from replicante.raft.reads import Confirmation, Reads


class Reading:
    def __init__(self, engine: Engine, *, boot: int, resend_ms: int) -> None:
        self.own = Reads(boot=boot)
        self._engine = engine
        self._resend_ms = resend_ms

    def wants_round(self, now_ms: int) -> bool:
        """As leader: turns waiting reads into confirmations that need the next round; True if
        there are any."""
        engine, reads = self._engine, self.own
        if not reads.is_asking:
            return False
        if not engine.is_own_term_committed:
            return False
        requests: list[tuple[str | None, int]] = list(reads.requests)
        reads.requests.clear()
        if reads.has_unasked():
            requests.append((None, reads.ask(now_ms)))
        for requester, number in requests:
            reads.confirmations.append(
                Confirmation(engine.round + 1, engine.commit_index, requester, number)
            )
        return bool(requests)

    def confirm(self, effects: Effects, *, now_ms: int) -> None:
        engine, reads = self._engine, self.own
        if engine.is_leader:
            if reads.confirmations:
                self._tell_confirmed()
            if reads.is_asking and engine.is_own_term_committed:
                effects.has_more = True  # they waited for the first commit of this term
            return
        reads.requests.clear()  # their owners ask again, or ask another leader
        if not reads.count:
            return
        leader_key = engine.leader_key
        if leader_key is None or leader_key not in engine.connected:
            return
        reads.ask_again(asked_before_ms=now_ms - self._resend_ms)
        if reads.has_unasked():
            request = m.ReadIndexRequest(number=reads.ask(now_ms))
            engine.outbox.append((leader_key, request))

    def _tell_confirmed(self) -> None:
        engine, reads = self._engine, self.own
        for confirmed in reads.confirmed(engine.quorum_round()):
            if confirmed.requester is None:
                reads.known(confirmed.number, confirmed.index)
            else:
                reply = m.ReadIndexReply(number=confirmed.number, index=confirmed.index)
                engine.outbox.append((confirmed.requester, reply))

    def answer(self, effects: Effects, *, applied_index: int, now_ms: int) -> None:
        if self.own.count:
            effects.reads += self.own.finish(
                applied_index=applied_index,
                now_ms=now_ms,
                has_leader=self._engine.leader_key is not None,
            )
