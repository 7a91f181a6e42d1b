"""What arrived since the last step of the driver. Pure; used by peer.

Rule: whoever can wait is bounded, by count and by bytes: callers are refused, other peers are read
no further. What this peer learns by itself (a link came or went) always finds room.
"""

from __future__ import annotations

from replicante import limits
from replicante.raft.inputs import Input, ProposeInput


class Inbox:
    def __init__(self) -> None:
        self._inputs: list[Input] = []
        self._commands_bytes = 0
        self._messages_bytes = 0
        self._was_full = False

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def has_room(self) -> bool:
        """For calls. False when nothing is taken out: before the birth, on a disk that waits."""
        count_max = limits.INBOX_MESSAGES_MAX + limits.PROPOSALS_PENDING_MAX
        is_large = self._commands_bytes >= limits.PROPOSALS_PENDING_BYTES_MAX
        return not is_large and len(self._inputs) < count_max

    def give(self, given: Input) -> None:
        if isinstance(given, ProposeInput):
            self._commands_bytes += len(given.data)
        self._inputs.append(given)

    def receive(self, given: Input, *, size_bytes: int) -> bool:
        """From another peer; size_bytes: what it holds in memory, about. False: read no more
        until a `take` says that it took from a full one."""
        self._inputs.append(given)
        self._messages_bytes += size_bytes
        is_full = (
            len(self._inputs) >= limits.INBOX_MESSAGES_MAX
            or self._messages_bytes >= limits.INBOX_BYTES_MAX
        )
        self._was_full |= is_full
        return not is_full

    def take(self) -> tuple[list[Input], bool]:
        """All of it, and whether somebody was told to read no more."""
        taken, was_full = self._inputs, self._was_full
        self._inputs, self._was_full = [], False
        self._commands_bytes = self._messages_bytes = 0
        return taken, was_full
