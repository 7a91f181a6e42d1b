"""How fast a snapshot leaves: a bucket of bytes that fills with time. Pure; owned by snapshots.

Without it a leader whose links and disk are fast gives half of its processor to a new peer, and
everybody's writes wait.
"""

from __future__ import annotations

from replicante import limits

_BURST_MS = 50
"""Between two steps of a leader that has nothing else to do lies a heartbeat."""


class SnapshotPace:
    def __init__(self, rate_bytes: int) -> None:
        """rate_bytes: a second, over all peers that take the snapshot."""
        self._rate_bytes = rate_bytes
        burst_bytes = rate_bytes * _BURST_MS // 1_000
        self._burst_bytes = float(max(burst_bytes, limits.SNAPSHOT_WINDOW_BYTES))
        self._left_bytes = self._burst_bytes
        self._filled_ms: int | None = None

    @property
    def has_room(self) -> bool:
        """The last part may take more than there is: what it owes is waited for."""
        return self._left_bytes > 0

    def fill(self, now_ms: int) -> None:
        if self._filled_ms is not None:
            came_bytes = self._rate_bytes * (now_ms - self._filled_ms) / 1_000
            self._left_bytes = min(self._left_bytes + came_bytes, self._burst_bytes)
        self._filled_ms = now_ms

    def sent(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
