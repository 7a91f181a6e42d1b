"""How far the cluster clock may go: the time that a leader served, once nothing waits that had
arrived by then (ADR 0013). Pure; called by driver.

What arrives between two steps is proposed in the second one, with the clock of the first. Where it
is more than an entry takes, the rest waits, and the time of the steps meanwhile is owed: it counts
when what had arrived by its end is proposed or given up. Own commands and those of followers are
proposed in their order and by turns, so that is soon, however much arrives behind them.

Rule: what is owed never exceeds one step of the clock; more time than that is not served. A command
is so stamped at most that much before it arrived, which is what clients allow for.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from replicante import limits

Arrivals = tuple[int, int]
"""Commands of followers, own commands: how many of each, counted from the first one ever."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits to be proposed."""

    arrived: Arrivals
    gone: Arrivals
    """So many of the first are proposed or given up, and none before them waits."""


class ServedTime:
    def __init__(self, now_ms: int) -> None:
        self._last_ms = now_ms
        self._owed: deque[tuple[Arrivals, int]] = deque()
        """(what had arrived at the end of a step, ms of that step), oldest first."""
        self.owed_ms = 0

    def begin(self, now_ms: int) -> None:
        """Nothing before `now_ms` is served."""
        self._last_ms = now_ms
        self._owed.clear()
        self.owed_ms = 0

    def until(self, now_ms: int, queue: Queue, *, is_serving: bool) -> int:
        """At the end of a leader's step: by how many ms the clock goes on.

        is_serving: False while nothing is proposed whatever arrives.
        """
        step_ms = min(now_ms - self._last_ms, limits.CLOCK_STEP_MS_MAX - self.owed_ms)
        self._last_ms = now_ms
        if is_serving and step_ms > 0:
            self._owed.append((queue.arrived, step_ms))
            self.owed_ms += step_ms
        due_ms = 0
        while self._owed and _is_gone(self._owed[0][0], queue.gone):
            due_ms += self._owed.popleft()[1]
        self.owed_ms -= due_ms
        return due_ms


def _is_gone(arrived: Arrivals, gone: Arrivals) -> bool:
    return arrived[0] <= gone[0] and arrived[1] <= gone[1]
