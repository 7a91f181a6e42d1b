"""Threads that copy or read a whole state, and whose turn it is: backups copy it one after another,
an installation replaces it when none does. Waits and starts threads; used by peer_snapshots.

Rule: what has arrived waits for the copies that were asked for before it was ready, and for no
later ones. Backups that overlap would else keep a peer that lags from ever catching up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from replicante import limits
from replicante.errors import PeerStopping, ReadTimeout

Result = TypeVar("Result")


class CopyTurns:
    """Everything is on the loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        """Held while a backup copies the state, and while the state is replaced."""
        self._copies_count = 0
        """Of those that copy the state, or wait for the end of another one that does: the lock goes
        from one to the next, and is free in no turn between."""
        self._entry = asyncio.Event()
        """Set while nothing that has arrived is to go first: whoever has entered waits for copies
        alone."""
        self._entry.set()
        self._is_closed = False

    @property
    def is_taken(self) -> bool:
        return self._copies_count > 0 or self._lock.locked()

    def hold_up(self) -> None:
        """Copies that are asked for from now on wait for an installation, or for `let_in`."""
        self._entry.clear()

    def let_in(self) -> None:
        self._entry.set()

    @contextlib.asynccontextmanager
    async def copying(self) -> AsyncIterator[None]:
        """Raises ReadTimeout, PeerStopping."""
        await self._enter()
        self._copies_count += 1
        try:
            async with self._lock:
                self.refuse_when_closed()
                yield
        finally:
            self._copies_count -= 1

    @contextlib.asynccontextmanager
    async def installing(self) -> AsyncIterator[None]:
        """After `hold_up`, when it `is_taken` by nobody: who waited here would take no steps."""
        try:
            async with self._lock:
                yield
        finally:
            self.let_in()

    def refuse_when_closed(self) -> None:
        if self._is_closed:
            raise PeerStopping()

    def close(self) -> None:
        """No copy begins any more."""
        self._is_closed = True
        self.let_in()

    async def until_idle(self) -> None:
        async with self._lock:
            pass

    async def _enter(self) -> None:
        """For the end of other copies it waits as long as that takes, for an installation that
        stands still, or does not begin, it does not."""
        while not self._entry.is_set():
            try:
                async with asyncio.timeout(limits.BACKUP_STEP_MS_MAX / 1000):
                    await self._entry.wait()
            except TimeoutError:
                if not self._copies_count:
                    waits = "this peer waits for its disk to replace its state: nothing was copied"
                    raise ReadTimeout(waits) from None


async def to_its_end(work: Callable[[], Result]) -> Result:
    """What `work` returns or raises, on a thread. Who is cancelled leaves when the thread is done:
    what it reads and writes must not be taken from it."""
    # No task, which the end of a loop would cancel.
    working = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        while not working.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((working,))
        if not working.cancelled():
            working.exception()  # nobody waits for it any more
        raise


def is_for_want(error: RuntimeError | MemoryError) -> bool:
    """Of memory, or of a thread that cannot be started: it may be tried again. A bug has a class of
    its own."""
    return type(error) in (RuntimeError, MemoryError)
