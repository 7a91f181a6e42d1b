"""The one thread that waits for the disk, so that the event loop never does. Touches threads;
called by peer.

A thread with a queue of its own answers faster than the loop's executor for one small write at
a time.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class CommitThread:
    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises. One at a time: the caller awaits each before the next."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.put((work, done))
        # Shielded: a cancelled caller must not leave while the write it started is still running.
        return await asyncio.shield(done)

    def stop(self) -> None:
        """Returns when the thread has ended; work that was queued is done first."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            work, done = job
            loop = done.get_loop()
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - handed to the one who awaits it
                loop.call_soon_threadsafe(_fail, done, error)
            else:
                loop.call_soon_threadsafe(_succeed, done, result)


def _succeed(done: asyncio.Future[Any], result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
