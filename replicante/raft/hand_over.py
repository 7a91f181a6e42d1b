"""A leader hands its leadership over (thesis §3.10). Pure; called by driver and changes.

Writes wait meanwhile: no new entry is appended, so that a follower can hold everything. Nothing
here is safety: whoever is asked still has to win an election.
"""

from __future__ import annotations

from replicante.raft.engine import Engine


class HandOver:
    def __init__(self, engine: Engine, *, heartbeat_ms: int) -> None:
        self._engine = engine
        self._heartbeat_ms = heartbeat_ms
        self._until_ms: int | None = None
        self._to: str | None = None
        self._asked_ms: int | None = None

    @property
    def is_under_way(self) -> bool:
        return self._until_ms is not None

    def begin(self, *, until_ms: int, to: str | None = None) -> None:
        """to: key of the voter that shall lead; None for whoever is most complete."""
        self._until_ms, self._to, self._asked_ms = until_ms, to, None

    def step(self, now_ms: int) -> None:
        if self._until_ms is None:
            return
        if now_ms >= self._until_ms or not self._engine.is_leader:
            self._until_ms = None
            return
        if self._asked_ms is not None and now_ms - self._asked_ms < self._heartbeat_ms:
            return  # whoever was asked needs a moment; a second candidate would split the votes
        # Who answered last is most likely to hear this; who stays silent is older by the next try.
        candidates = sorted(
            ((p.match_index, p.last_ack_ms, key) for key, p in self._engine.progress.items()),
            reverse=True,
        )
        for _, _, key in candidates:
            if self._to in (None, key) and self._engine.hand_over(key):
                self._asked_ms = now_ms
                return
