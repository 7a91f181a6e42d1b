"""This peer's own proposals: numbered, sent, sent again to a new leader, answered or given up.
Pure; called by driver.

A proposal ends exactly once: with its outcome from the own apply, with a definite refusal, or
unknown at its deadline. It is definite that it did not happen only if it never left this peer,
or if its session ended first (ADR 0014).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec

from replicante import limits
from replicante.errors import NoLeader, OutcomeUnknown, QueueFull, ReplicanteError
from replicante.raft.messages import WireCommand
from replicante.raft.sessions import Session


class ProposalDone(msgspec.Struct, frozen=True):
    """ticket: the caller's own number. Either an outcome with the index of its entry, or an
    error."""

    ticket: int
    outcome: bytes | None
    index: int
    error: ReplicanteError | None = None


@dataclass(slots=True)
class _Pending:
    ticket: int
    data: bytes
    deadline_ms: int
    sequence: int = 0
    """0 until it was sent for the first time in the present session."""
    sent_term: int = 0
    """Term of the leader that it was sent to last."""
    sent_ms: int = 0
    repeats_count: int = 0
    """How often it was sent again in that term because time had passed."""
    was_sent: bool = False
    number: int = 0
    """In the order in which they came."""


class Proposals:
    def __init__(self) -> None:
        self._session = 0
        self._next_sequence = 1
        self._waiting: deque[_Pending] = deque()
        self._sent: dict[int, _Pending] = {}
        """sequence → proposal, ascending: floor is the smallest minus one."""
        self._bytes = 0
        self.taken_count = 0
        """How many ever came, but for those that were refused at once."""
        self._earliest_ms: int | None = None
        """No deadline is before this; it may be that of a proposal that is already done."""

    @property
    def session(self) -> int:
        return self._session

    @property
    def count(self) -> int:
        return len(self._waiting) + len(self._sent)

    @property
    def is_idle(self) -> bool:
        """It has a session, and nothing to do in it."""
        return self._session != 0 and not self._sent and not self._waiting

    def add(self, ticket: int, data: bytes, *, deadline_ms: int) -> ProposalDone | None:
        """The refusal when the bounds are reached, before anything is sent."""
        if (
            self.count >= limits.PROPOSALS_PENDING_MAX
            or self._bytes + len(data) > limits.PROPOSALS_PENDING_BYTES_MAX
        ):
            return ProposalDone(ticket, None, 0, QueueFull())
        self.taken_count += 1
        self._waiting.append(_Pending(ticket, data, deadline_ms, number=self.taken_count))
        self._bytes += len(data)
        if self._earliest_ms is None or deadline_ms < self._earliest_ms:
            self._earliest_ms = deadline_ms
        return None

    def session_opened(self, session: int) -> None:
        """A new session: what was sent under an old one was not applied there, or its fate is
        known already."""
        if session == self._session:
            return
        self._session = session
        self._next_sequence = 1
        again = [self._sent[sequence] for sequence in sorted(self._sent)]
        self._sent.clear()
        for pending in again:
            pending.sequence, pending.sent_term = 0, 0
        self._waiting.extendleft(reversed(again))

    def send_again(self) -> None:
        """Whatever was sent and not applied may be lost: it is sent again, under its old number."""
        for pending in self._sent.values():
            pending.sent_term = 0

    def gone_count(self, *, term: int) -> int:
        """So many of the first that came wait no more: sent to the leader of `term`, or ended."""
        if self._sent and next(reversed(self._sent.values())).sent_term != term:
            return next(it for it in self._sent.values() if it.sent_term != term).number - 1
        return self._waiting[0].number - 1 if self._waiting else self.taken_count

    @property
    def floor(self) -> int:
        return next(iter(self._sent)) - 1 if self._sent else self._next_sequence - 1

    def take(
        self, *, term: int, now_ms: int, resend_after_ms: int | None, count_max: int, bytes_max: int
    ) -> list[WireCommand]:
        """What goes to the leader of `term` now: new ones, and those whose sending may have
        been lost. resend_after_ms: without an answer; each time twice as long, for a leader that
        is slow gets no faster by copies. None: never."""
        if self._session == 0 or not (self._sent or self._waiting):
            return []
        taken: list[_Pending] = []
        size = 0
        for pending in self._candidates(term, now_ms, resend_after_ms):
            if len(taken) >= count_max or (taken and size + len(pending.data) > bytes_max):
                break
            taken.append(pending)
            size += len(pending.data)
        for pending in taken:
            if pending.sequence == 0:
                assert self._waiting[0] is pending
                self._waiting.popleft()
                pending.sequence = self._next_sequence
                self._next_sequence += 1
                self._sent[pending.sequence] = pending
            pending.repeats_count = pending.repeats_count + 1 if pending.sent_term == term else 0
            pending.was_sent, pending.sent_term, pending.sent_ms = True, term, now_ms
        floor = self.floor
        return [WireCommand(self._session, p.sequence, floor, p.data) for p in taken]

    def _candidates(
        self, term: int, now_ms: int, resend_after_ms: int | None
    ) -> Iterator[_Pending]:
        for pending in self._sent.values():
            is_overdue = False
            if resend_after_ms is not None:
                doublings = min(pending.repeats_count, limits.RESEND_DOUBLINGS_MAX)
                is_overdue = now_ms - pending.sent_ms >= resend_after_ms << doublings
            if pending.sent_term != term or is_overdue:
                yield pending
        yield from islice(self._waiting, self._window_count)

    @property
    def _window_count(self) -> int:
        """New numbers that may be given out. The session remembers so many outcomes above its
        floor: while one command is lost, others may not run ahead of it without end, for apply
        would not take them."""
        ahead_count = self._next_sequence - 1 - self.floor
        return max(limits.SESSION_OUTCOMES_MAX - ahead_count, 0)

    @property
    def may_send_more(self) -> bool:
        """The bounds of a message left something over."""
        return self._session != 0 and bool(self._waiting) and self._window_count > 0

    def applied(self, sequence: int, outcome: bytes | None, index: int) -> ProposalDone | None:
        """None when nobody waits for it any more."""
        pending = self._sent.pop(sequence, None)
        if pending is None:
            return None
        self._bytes -= len(pending.data)
        error = None if outcome is not None else OutcomeUnknown()
        return ProposalDone(pending.ticket, outcome, index, error)

    def jumped(self, session: Session | None, *, index: int) -> list[ProposalDone]:
        """The state jumped to `index`, past entries that this peer never applied one by one.
        session: this peer's in that state, which remembers what became of its commands."""
        done = []
        for sequence in list(self._sent):
            if session is None:
                done.append(self._give_up(self._sent.pop(sequence)))
            elif session.has_applied(sequence):
                answer = self.applied(sequence, session.outcomes.get(sequence), index)
                if answer is not None:
                    done.append(answer)
        if session is None:
            self._session = 0
        return done

    def is_late(self, now_ms: int) -> bool:
        """A deadline may have passed: there may be something to give up."""
        return self._earliest_ms is not None and now_ms >= self._earliest_ms

    def expire(self, now_ms: int) -> list[ProposalDone]:
        """Gives up what is past its deadline; what was sent is unknown, what never left is
        definite."""
        done = self.expire_waiting(now_ms)
        for sequence in [s for s, p in self._sent.items() if p.deadline_ms <= now_ms]:
            pending = self._sent.pop(sequence)
            done.append(self._give_up(pending))
        left = (*self._sent.values(), *self._waiting)
        self._earliest_ms = min((pending.deadline_ms for pending in left), default=None)
        return done

    def expire_waiting(self, now_ms: int) -> list[ProposalDone]:
        """As `expire`, for what is not on its way: done before anything is sent, so that a peer
        that stood still sends nothing that nobody waits for any more."""
        late = [p for p in self._waiting if p.deadline_ms <= now_ms]
        if late:
            self._waiting = deque(p for p in self._waiting if p.deadline_ms > now_ms)
        return [self._give_up(pending) for pending in late]

    def _give_up(self, pending: _Pending) -> ProposalDone:
        self._bytes -= len(pending.data)
        # Raising the floor over its number fences a copy that is still on its way: it is never
        # applied late, but it may have been applied already.
        error: ReplicanteError = OutcomeUnknown() if pending.was_sent else NoLeader()
        return ProposalDone(pending.ticket, None, 0, error)

    def fail_all(self, unsent: type[ReplicanteError]) -> list[ProposalDone]:
        """This process ends: what was sent stays unknown, the rest is refused with `unsent`."""
        done = []
        for pending in [*self._sent.values(), *self._waiting]:
            error = OutcomeUnknown() if pending.was_sent else unsent()
            done.append(ProposalDone(pending.ticket, None, 0, error))
        self._sent.clear()
        self._waiting.clear()
        self._bytes = 0
        return done

    @property
    def earliest_deadline_ms(self) -> int | None:
        """When `expire` should be called next; perhaps too early, never too late."""
        return self._earliest_ms
