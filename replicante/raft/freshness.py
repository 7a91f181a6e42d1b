"""How old this peer's applied state can be at most, proved by echo, without comparing clocks
(ADR 0009). Pure.

A follower notes when it acknowledged each round. When the leader echoes that round in a later
append, the leader certainly sent that append after the acknowledgement left; the leader adds
how long ago a majority last followed it. So everything committed before (acknowledged − that
age) is covered by the append's commit index. Called by driver.
"""

from __future__ import annotations

from collections import deque

from replicante import limits
from replicante.raft.messages import Append
from replicante.raft.replication import forget_rounds


class Freshness:
    def __init__(self, *, started_term: int) -> None:
        """started_term: this peer's term when its process started. In that term an echo may answer
        an acknowledgement of the process before this one."""
        self._started_term = started_term
        self._term = 0
        self._newest_round = 0
        """Newest one noted in the present term, or that an earlier process may have acknowledged.
        An older one is never noted again: its first acknowledgement may be forgotten already."""
        self._acknowledged_ms: dict[int, int] = {}
        self._proofs: deque[tuple[int, int]] = deque(maxlen=limits.ROUNDS_KEPT_MAX)
        """(commit index, instant until which it covers everything), not yet applied."""
        self._proven_ms: int | None = None

    def heard(self, append: Append, *, now_ms: int) -> None:
        """append: accepted from the leader of the present term; its acknowledgement leaves
        later than now_ms."""
        if append.term != self._term:
            self._term = append.term
            self._acknowledged_ms.clear()
            # Whatever an earlier process heard was sent before the first message to this one.
            self._newest_round = append.round if append.term == self._started_term else 0
        acknowledged_ms = self._acknowledged_ms.get(append.echoed_round)
        if acknowledged_ms is not None and append.quorum_age_ms >= 0:
            self._proofs.append((append.commit_index, acknowledged_ms - append.quorum_age_ms))
        if append.round > self._newest_round:
            self._newest_round = append.round
            self._acknowledged_ms[append.round] = now_ms
        forget_rounds(self._acknowledged_ms, below=append.echoed_round)

    def staleness_ms(self, *, applied_index: int, now_ms: int) -> int | None:
        """None: unknown, to be treated as infinite."""
        while self._proofs and self._proofs[0][0] <= applied_index:
            proven_ms = self._proofs.popleft()[1]
            if self._proven_ms is None or proven_ms > self._proven_ms:
                self._proven_ms = proven_ms
        return None if self._proven_ms is None else max(now_ms - self._proven_ms, 0)
