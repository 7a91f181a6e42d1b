"""Linearizable reads by read index, on any peer (thesis §6.4). Pure; called by driver.

The leader notes its commit index, then needs echoes of a heartbeat round that began afterwards
from a majority, in a term whose no-op is committed. A follower asks the leader. A read is
answered when the own applied index has arrived. No clock is trusted anywhere on this path.
"""

from __future__ import annotations

from dataclasses import dataclass

from replicante import limits
from replicante.errors import NoLeader, QueueFull, ReadTimeout, ReplicanteError

_BATCH_BITS = 32


@dataclass(frozen=True, slots=True)
class ReadDone:
    ticket: int
    index: int
    error: ReplicanteError | None = None


@dataclass(slots=True)
class _Waiting:
    ticket: int
    deadline_ms: int
    number: int = 0
    """The first batch in which a leader was asked for it; 0 before. The answer to this or any later
    batch was confirmed after this read came."""
    asked_ms: int | None = None
    """When it was asked for last; None: not yet, or to be asked again."""
    index: int = 0
    """The read index once it is known."""

    @property
    def is_unasked(self) -> bool:
        return self.index == 0 and self.asked_ms is None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A leader's promise in the making: `index` holds once `round` was echoed by a majority."""

    round: int
    index: int
    requester: str | None
    """Member key of the asking follower; None: this peer's own batch."""
    number: int


class Reads:
    def __init__(self, *, boot: int) -> None:
        """boot: of this process. It numbers the batches, so that a leader's late answer to the
        process before this one, whose index is older than our callers, answers nobody here."""
        self._waiting: list[_Waiting] = []
        self._number = boot << _BATCH_BITS
        self.confirmations: list[Confirmation] = []
        self.requests: list[tuple[str, int]] = []
        """(member key, number) of followers that ask this leader; answered by `lead` or
        `refuse`."""

    @property
    def count(self) -> int:
        return len(self._waiting)

    def add(self, ticket: int, *, deadline_ms: int) -> ReadDone | None:
        """The refusal when too many wait."""
        if len(self._waiting) >= limits.READS_PENDING_MAX:
            return ReadDone(ticket, 0, QueueFull("too many reads are waiting on this peer"))
        self._waiting.append(_Waiting(ticket, deadline_ms))
        return None

    @property
    def is_asking(self) -> bool:
        """Somebody, here or on a follower, waits for a leader to be asked."""
        return bool(self.requests) or self.has_unasked()

    def has_unasked(self) -> bool:
        return bool(self._waiting) and any(read.is_unasked for read in self._waiting)

    def ask(self, now_ms: int) -> int:
        """Number of one batch for all reads that wait to be asked for."""
        self._number += 1
        for read in self._waiting:
            if read.is_unasked:
                read.asked_ms = now_ms
                read.number = read.number or self._number
        return self._number

    def ask_again(self, *, asked_before_ms: int | None = None) -> None:
        """The leader changed, or an answer is overdue: whatever has no index yet is asked for
        anew."""
        for read in self._waiting:
            is_overdue = asked_before_ms is None or (read.asked_ms or 0) < asked_before_ms
            if is_overdue:
                read.asked_ms = None

    def known(self, number: int, index: int) -> None:
        for read in self._waiting:
            if 0 < read.number <= number and read.index == 0:
                read.index = index

    def confirmed(self, quorum_round: int) -> list[Confirmation]:
        """Takes out what this leader may promise now."""
        ready = [c for c in self.confirmations if c.round <= quorum_round]
        if ready:
            self.confirmations = [c for c in self.confirmations if c.round > quorum_round]
        return ready

    def finish(self, *, applied_index: int, now_ms: int, has_leader: bool) -> list[ReadDone]:
        done: list[ReadDone] = []
        left: list[_Waiting] = []
        for read in self._waiting:
            if 0 < read.index <= applied_index:
                done.append(ReadDone(read.ticket, read.index))
            elif read.deadline_ms <= now_ms:
                error = ReadTimeout() if has_leader else NoLeader()
                done.append(ReadDone(read.ticket, 0, error))
            else:
                left.append(read)
        self._waiting = left
        return done

    def fail_all(self, error: type[ReplicanteError]) -> list[ReadDone]:
        done = [ReadDone(read.ticket, 0, error()) for read in self._waiting]
        self._waiting = []
        return done

    def next_deadline_ms(self) -> int | None:
        if not self._waiting:
            return None
        return min(read.deadline_ms for read in self._waiting)
