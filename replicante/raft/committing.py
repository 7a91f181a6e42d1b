"""Makes what a step wrote durable: where it waits for the disk, what it does when that is full.

Called by peer, which awaits each write before the next step. Touches the log through its store.

A hand-over to the commit thread and back costs a lone writer about as much as a fast disk does, so
a small write that nobody else's sending waits for is made on the loop, while the disk has been fast
for COMMITS_WATCHED writes (ADR 0075). One slow write sends the next ones to the thread again, and
so does one that found no room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from replicante import limits
from replicante.clock import Clock
from replicante.errors import DiskFull, StorageFull
from replicante.raft.commit_thread import CommitThread
from replicante.raft.log import LogBackend, WriteSet
from replicante.raft.observations import CommitDone, Observation
from replicante.raft.standing_still import StandingStill

_DISK_FULL_RETRY_S = 1.0
Result = TypeVar("Result")


class DiskPace:
    """How long the last writes took. Pure."""

    def __init__(self) -> None:
        self._recent_ms: deque[int] = deque(maxlen=limits.COMMITS_WATCHED)

    def took(self, duration_ms: int) -> None:
        self._recent_ms.append(duration_ms)

    def failed(self) -> None:
        """Nothing is known of the disk any more; what is tried again is not tried on the loop."""
        self._recent_ms.clear()

    @property
    def is_fast(self) -> bool:
        is_known = len(self._recent_ms) == limits.COMMITS_WATCHED
        return is_known and max(self._recent_ms) <= limits.COMMIT_ON_LOOP_MS_MAX


class Committing:
    def __init__(
        self,
        store: LogBackend,
        thread: CommitThread,
        standing_still: StandingStill,
        *,
        clock: Clock,
        report: Callable[[Observation], None],
    ) -> None:
        self._store = store
        self._thread = thread
        self._standing_still = standing_still
        self._clock = clock
        self._report = report
        self._pace = DiskPace()
        self.is_stopping = False
        """Nobody waits for room any more."""

    async def commit(self, writes: WriteSet, *, is_awaited: bool) -> None:
        """Durable when it returns. Stands still on a full disk: repeats the same write until it
        succeeds. is_awaited: messages that left before it are still in this process's hands, and
        leave when the loop gets its turn. Raises FatalError; DiskFull, StorageFull when it stops.
        """
        started_ms = self._clock.monotonic_ms()

        async def attempt() -> None:
            if not is_awaited and is_small(writes) and self._pace.is_fast:
                self._write(writes)
            else:
                await self._thread.run(lambda: self._write(writes))

        await self.until_room(attempt)
        duration_ms = self._clock.monotonic_ms() - started_ms
        self._report(CommitDone(records_count=len(writes.records), duration_ms=duration_ms))

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` returns, made on the commit thread; stands still and raises as `commit`."""
        return await self.until_room(lambda: self._thread.run(work))

    async def until_room(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """attempt: changes nothing when it finds no room."""
        while True:
            try:
                done = await attempt()
            except (DiskFull, StorageFull) as error:
                self._standing_still.begin(error)
                if self.is_stopping:
                    raise
                await asyncio.sleep(_DISK_FULL_RETRY_S)
            else:
                self._standing_still.end()
                return done

    def _write(self, writes: WriteSet) -> None:
        started_ms = self._clock.monotonic_ms()
        try:
            self._store.write(writes)
        except (DiskFull, StorageFull):
            self._pace.failed()
            raise
        self._pace.took(self._clock.monotonic_ms() - started_ms)


def is_small(writes: WriteSet) -> bool:
    """A few new entries and nothing else: no promise, no truncation, no trim."""
    if writes.hard is not None or writes.base is not None or writes.truncate_from is not None:
        return False
    return sum(len(stored) for _, stored in writes.records) <= limits.COMMIT_ON_LOOP_BYTES_MAX
