"""Counts what became of jobs, for metrics. Pure; owned by `machine`, noted by `apply_queue` and
`queue_moves`.

Rule: no state: it begins at 0 with the process, counts what this peer applies, and nothing that a
command does depends on it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from replicante.limits import QUEUES_MEASURED_MAX

OTHER_QUEUES = ""
"""Stands for the queues that are not counted by name; no queue is called so."""


class JobMove(enum.StrEnum):
    ENQUEUED = "enqueued"
    CLAIMED = "claimed"
    ACKED = "acked"
    NACKED = "nacked"
    RETURNED = "returned"
    """The claim ran out, or its lease ended."""
    DEAD_LETTERED = "dead_lettered"
    """Beside the nack or the return that was the last."""


class QueueTally:
    __slots__ = ("_counts", "_named")

    def __init__(self) -> None:
        self._counts: dict[tuple[str, JobMove], int] = {}
        self._named: set[str] = set()

    def note(self, queue: str, move: JobMove) -> None:
        if queue not in self._named:
            if len(self._named) < QUEUES_MEASURED_MAX:
                self._named.add(queue)
            else:
                queue = OTHER_QUEUES
        place = (queue, move)
        self._counts[place] = self._counts.get(place, 0) + 1

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        return {(queue, move.value): count for (queue, move), count in self._counts.items()}
