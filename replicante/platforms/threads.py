"""Looks at files and folders of platforms on threads, none of which may hold up anybody else.
Called by `client`.

A thread that hangs on a disk cannot be ended. So these are threads of their own, one a path at a
time: a platform that hangs waits for itself alone, and whoever asks gets an answer in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from replicante.limits import PLATFORM_CALL_MS_MAX, PLATFORM_THREADS_MAX

T = TypeVar("T")


class PathThreads:
    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(PLATFORM_THREADS_MAX, thread_name_prefix="platform")
        self._under_way: dict[str, asyncio.Future[Any]] = {}
        """At most one a path, as long as its thread works."""

    async def run(self, path: str, work: Callable[[], T]) -> T:
        """Raises TimeoutError, and what `work` raises."""
        try:
            async with asyncio.timeout(PLATFORM_CALL_MS_MAX / 1_000):
                while (earlier := self._under_way.get(path)) is not None:
                    await asyncio.wait([earlier])
                job = self._pool.submit(work)
                mine = self._under_way[path] = asyncio.wrap_future(job)
                mine.add_done_callback(lambda it: self._ended(path, it))
                try:
                    return await asyncio.shield(mine)
                finally:
                    # What has not begun by now never does: nobody waits for it any more.
                    job.cancel()
        except TimeoutError as exc:
            raise TimeoutError(f"no answer within {PLATFORM_CALL_MS_MAX} ms") from exc

    def _ended(self, path: str, work: asyncio.Future[Any]) -> None:
        del self._under_way[path]
        if not work.cancelled():
            # Retrieved, also where nobody waited for it to the end.
            work.exception()

    def close(self) -> None:
        """What hangs is left alone."""
        self._pool.shutdown(wait=False, cancel_futures=True)
