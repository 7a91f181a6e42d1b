"""Parks requests that would find nothing now, and wakes as many as there is something for.

Base of `lease_waits` and `claim_waits`. One task looks at what this peer applied; a parked request
writes nothing. Of those that wait for one thing the oldest are woken first.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING, ClassVar

from replicante import errors
from replicante.api.backend import PeerDoor, StateDoor
from replicante.storage.kv import View
from replicante.telemetry.diagnostics import Diagnostic

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

IDLE_WAIT_MS = 5_000
"""How long one look waits for an entry; nothing depends on it."""
REST_S = 0.1


class Waits:
    """What a subclass says: how much there is of a thing, and its words and bounds."""

    what: ClassVar[str]
    """As in "requests wait for WHAT at this peer"."""

    @property
    def waiters_max(self) -> int:
        raise NotImplementedError

    def __init__(self, *, peer: PeerDoor, state: StateDoor, log: FilteringBoundLogger) -> None:
        self._peer = peer
        self._state = state
        self._log = log
        self._parked: dict[str, deque[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self.count = 0
        """Requests that are parked now."""
        self._turns: Counter[str] = Counter()
        """Who was woken and has not tried yet: what they will take is counted as taken."""

    def free_count(self, view: View, name: str) -> int:
        """So many requests would find something, by what this peer has applied."""
        raise NotImplementedError

    def is_free(self, name: str) -> bool:
        with self._state.view() as view:
            return self.free_count(view, name) > 0

    async def park(self, name: str, *, timeout_ms: int) -> bool:
        """True when it is this caller's turn; False when the time is over. Raises TooManyStreams,
        PeerStopping. Whose turn it is calls `took` when it has tried, whatever came of it."""
        if self._is_stopping:
            raise errors.PeerStopping()
        if self.count >= self.waiters_max:
            raise errors.TooManyStreams(
                f"{self.waiters_max} requests wait for {self.what} at this peer. Ask another."
            )
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[None] = loop.create_future()
        queue = self._parked.setdefault(name, deque())
        queue.append(mine)
        self.count += 1
        if self._task is None:
            self._task = loop.create_task(self._run(), name=f"waits for {self.what}")
        try:
            done, _ = await asyncio.wait((mine,), timeout=timeout_ms / 1_000)
        except asyncio.CancelledError:
            if mine.done():
                self.took(name)
            raise
        finally:
            self._leave(name, mine)
        if self._is_stopping:
            raise errors.PeerStopping()
        return bool(done)

    def took(self, name: str) -> None:
        """A caller whose turn it was has tried. Wakes the next one when something is left."""
        self._turns[name] -= 1
        if not self._turns[name]:
            del self._turns[name]
        if name in self._parked:
            with self._state.view() as view:
                self._wake(view, name)

    def stop(self) -> None:
        """Those that wait are refused with `stopping`, so that they ask another peer."""
        self._is_stopping = True
        for queue in self._parked.values():
            for one in queue:
                if not one.done():
                    one.set_result(None)

    def _leave(self, name: str, mine: asyncio.Future[None]) -> None:
        self.count -= 1
        queue = self._parked[name]
        queue.remove(mine)
        if not queue:
            del self._parked[name]
        if not self._parked and self._task is not None:
            self._task.cancel()
            self._task = None

    def _wake(self, view: View, name: str) -> None:
        left = self.free_count(view, name) - self._turns[name]
        for one in self._parked.get(name, ()):
            if left <= 0:
                return
            if not one.done():
                one.set_result(None)
                self._turns[name] += 1
                left -= 1

    async def _run(self) -> None:
        """Supervised: a defect here must not end the server; callers wait until it goes on."""
        while True:
            try:
                await self._follow()
            except (errors.FatalError, errors.PeerStopping):
                return  # The peer ends, and says why itself.
            except Exception:  # noqa: BLE001 - see above
                self._log.error(Diagnostic.WAITS_FAILED, exc_info=True)
                await asyncio.sleep(1)

    async def _follow(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            with self._state.view() as view:
                seen_index = view.applied_index
                for name in self._parked:
                    self._wake(view, name)
            begun_s = clock()
            is_there = await self._peer.wait_applied(seen_index + 1, timeout_ms=IDLE_WAIT_MS)
            # A peer that stops says at once that the index does not come: never turn without
            # giving the loop to others.
            if not is_there and clock() - begun_s < IDLE_WAIT_MS / 2_000:
                await asyncio.sleep(REST_S)
