"""Callers that wait until an index is applied here. Touches asyncio; called by peer after each
step."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class AppliedWaiters:
    def __init__(self) -> None:
        self._heap: list[tuple[int, int, asyncio.Future[bool]]] = []
        self._order = itertools.count()
        self._is_closed = False
        self._active_count = 0

    async def wait(self, index: int, *, applied_index: int, timeout_ms: int) -> bool:
        if applied_index >= index:
            return True
        if self._is_closed or timeout_ms <= 0:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (index, next(self._order), future))
        self._active_count += 1
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await future
        except TimeoutError:
            return False
        finally:
            future.cancel()
            self._active_count -= 1
            self._sweep()

    def applied(self, index: int) -> None:
        while self._heap and self._heap[0][0] <= index:
            future = heapq.heappop(self._heap)[2]
            if not future.done():
                future.set_result(True)

    def close(self) -> None:
        self._is_closed = True
        for _, _, future in self._heap:
            if not future.done():
                future.set_result(False)
        self._heap.clear()

    def _sweep(self) -> None:
        """Waiters that left must not pile up below an index that never comes."""
        if len(self._heap) > 64 + 2 * self._active_count:
            self._heap = [entry for entry in self._heap if not entry[2].done()]
            heapq.heapify(self._heap)
