"""Wakes those who wait for events, a few at a time and no more often than the loop can bear.

Owned by `event_feed`. A thousand readers that are woken at once hold the loop for a tenth of a
second, in which no heartbeat of Raft leaves. So they are woken in slices, the loop serves others in
between, and after a round it rests in proportion to what the round took: with few readers that is
nothing, with many each of them gets more events at once, and less often.
"""

from __future__ import annotations

import asyncio

from replicante import limits

_REST_TIMES = 2
"""A round may take a third of the loop: it rests for twice as long as it took."""


class Wakes:
    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] = {}
        """In the order in which they came: whoever waits longest is woken first."""

    async def wait(self, *, timeout_ms: int) -> None:
        """Returns when it is woken, or when the time is over."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(timeout_ms / 1_000, _settle, future)
        self._waiting[future] = None
        try:
            await future
        finally:
            timer.cancel()
            self._waiting.pop(future, None)

    async def round(self, *, may_rest: bool) -> None:
        """Wakes all that wait now, and rests if they were many. Those that begin to wait meanwhile
        are for the next round."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        futures = list(self._waiting)
        for start in range(0, len(futures), limits.EVENT_WAKES_AT_ONCE_MAX):
            for future in futures[start : start + limits.EVENT_WAKES_AT_ONCE_MAX]:
                _settle(future)
            # They run before this goes on: the loop serves in the order of readiness.
            await asyncio.sleep(0)
        rest_ms = _REST_TIMES * (loop.time() - begun_s) * 1_000
        if may_rest and len(futures) > limits.EVENT_WAKES_AT_ONCE_MAX:
            await asyncio.sleep(min(rest_ms, limits.EVENT_REST_MS_MAX) / 1_000)

    def all_at_once(self) -> None:
        """When the server stops."""
        for future in list(self._waiting):
            _settle(future)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
