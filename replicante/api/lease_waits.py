"""Parks acquires of leases that are held, and wakes one of them when the lease is free.

Called by `routes_leases`. One task a server looks at what this peer applied; a parked acquire
writes nothing. Of those that wait for one lease a single one is woken, the oldest: a thousand
waiting callers and one release make one proposal. Who was woken and did not take the lease passes
the word on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from replicante import errors, limits
from replicante.api.backend import PeerDoor, StateDoor
from replicante.state import queries
from replicante.telemetry.diagnostics import Diagnostic

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

IDLE_WAIT_MS = 5_000
"""How long one look waits for an entry; nothing depends on it."""
REST_S = 0.1


class LeaseWaits:
    def __init__(self, *, peer: PeerDoor, state: StateDoor, log: FilteringBoundLogger) -> None:
        self._peer = peer
        self._state = state
        self._log = log
        self._parked: dict[str, deque[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self.count = 0
        """Acquires that are parked now."""

    def is_held(self, name: str) -> bool:
        """By what this peer has applied."""
        with self._state.view() as view:
            return queries.lease_get(view, name) is not None

    async def park(self, name: str, *, timeout_ms: int) -> bool:
        """Returns when the lease may be free; False when the time is over. Raises TooManyStreams,
        PeerStopping. A woken caller that does not take the lease calls `pass_on`."""
        if self._is_stopping:
            raise errors.PeerStopping()
        if self.count >= limits.LEASE_WAITERS_MAX:
            raise errors.TooManyStreams(
                f"{limits.LEASE_WAITERS_MAX} requests wait for leases at this peer. Ask another."
            )
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[None] = loop.create_future()
        queue = self._parked.setdefault(name, deque())
        queue.append(mine)
        self.count += 1
        if self._task is None:
            self._task = loop.create_task(self._run(), name="lease-waits")
        try:
            done, _ = await asyncio.wait((mine,), timeout=timeout_ms / 1_000)
        except asyncio.CancelledError:
            if mine.done():
                self.pass_on(name)
            raise
        finally:
            self._leave(name, mine)
        if self._is_stopping:
            raise errors.PeerStopping()
        return bool(done)

    def pass_on(self, name: str) -> None:
        """Wakes the next one when the lease is still free."""
        if name in self._parked and not self.is_held(name):
            self._wake(name)

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

    def _wake(self, name: str) -> None:
        for one in self._parked.get(name, ()):
            if not one.done():
                one.set_result(None)
                return

    async def _run(self) -> None:
        """Supervised: a defect here must not end the server; callers wait until it goes on."""
        while True:
            try:
                await self._follow()
            except Exception:  # noqa: BLE001 - see above
                self._log.error(Diagnostic.LEASE_WAITS_FAILED, exc_info=True)
                await asyncio.sleep(1)

    async def _follow(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            with self._state.view() as view:
                seen_index = view.applied_index
                free = [name for name in self._parked if queries.lease_get(view, name) is None]
            for name in free:
                self._wake(name)
            begun_s = clock()
            is_there = await self._peer.wait_applied(seen_index + 1, timeout_ms=IDLE_WAIT_MS)
            # A peer that stops says at once that the index does not come: never turn without
            # giving the loop to others.
            if not is_there and clock() - begun_s < IDLE_WAIT_MS / 2_000:
                await asyncio.sleep(REST_S)
