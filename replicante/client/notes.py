"""What a client did besides answering: values for logs, terminals and tests. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class NoteKind(enum.Enum):
    TRIED_IN_VAIN = "tried_in_vain"
    """An attempt failed; another one follows when the deadline and the rules allow."""
    STREAM_LOST = "stream_lost"
    """A followed stream ended; it is resumed after the last event that was delivered."""
    STREAM_RESUMED = "stream_resumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    kind: NoteKind
    endpoint: str
    detail: str
