"""Virtual time: one schedule for a whole simulated cluster, and a clock for each of its peers.

Called by the simulator and by tests that own time. Nothing here reads the machine's time.
Units: microseconds on the schedule, whole milliseconds on a peer's own clock, as the product
sees it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

Action = Callable[[], None]

RATE_NORMAL = 1_000_000


class Schedule:
    """What happens next. Two actions at one instant happen in the order in which they were
    planned, so that a run repeats itself."""

    def __init__(self) -> None:
        self.now_us = 0
        self.done_count = 0
        self._order = 0
        self._heap: list[tuple[int, int, Action]] = []

    def at(self, when_us: int, action: Action) -> None:
        self.after(when_us - self.now_us, action)

    def after(self, delay_us: int, action: Action) -> None:
        due_us = self.now_us + delay_us if delay_us > 0 else self.now_us
        self._order += 1
        heapq.heappush(self._heap, (due_us, self._order, action))

    def run(self, *, until_us: int, is_done: Callable[[], bool] | None = None) -> bool:
        """Does what is due up to `until_us`; True as soon as `is_done` holds after an action."""
        heap = self._heap
        while heap and heap[0][0] <= until_us:
            self.now_us, _, action = heapq.heappop(heap)
            self.done_count += 1
            action()
            if is_done is not None and is_done():
                return True
        self.now_us = max(self.now_us, until_us)
        return False


class SimClock:
    """A `Clock` of one simulated machine: another origin, another speed, another date."""

    def __init__(self, schedule: Schedule, *, origin_us: int = 0, rate: int = RATE_NORMAL) -> None:
        """rate: own microseconds in a million microseconds of the schedule."""
        self._schedule = schedule
        self.rate = rate
        self.wall_offset_ms = 1_700_000_000_000
        """May jump either way at any moment; nothing may depend on it."""
        self._origin_us = origin_us
        self._started_us = schedule.now_us

    def monotonic_ms(self) -> int:
        elapsed_us = (self._schedule.now_us - self._started_us) * self.rate // RATE_NORMAL
        return (self._origin_us + elapsed_us) // 1_000

    def wall_ms(self) -> int:
        return self.wall_offset_ms + self._schedule.now_us // 1_000

    def reboot(self, *, origin_us: int) -> None:
        """The machine starts anew: its monotonic clock counts from somewhere else."""
        self._origin_us = origin_us
        self._started_us = self._schedule.now_us

    def instant_us(self, monotonic_ms: int) -> int:
        """The first instant of the schedule at which this clock shows `monotonic_ms`."""
        own_us = monotonic_ms * 1_000 - self._origin_us
        return self._started_us - (-own_us * RATE_NORMAL // self.rate)


class ManualClock:
    """A `Clock` that moves only when a test moves it."""

    def __init__(self, *, monotonic_ms: int = 0, wall_ms: int = 1_700_000_000_000) -> None:
        self._monotonic_ms = monotonic_ms
        self._wall_ms = wall_ms

    def monotonic_ms(self) -> int:
        return self._monotonic_ms

    def wall_ms(self) -> int:
        return self._wall_ms

    def advance(self, ms: int) -> None:
        assert ms >= 0
        self._monotonic_ms += ms
        self._wall_ms += ms
