"""The same client for programs without an event loop. Any number of threads may share one.

    with SyncClient(["http://127.0.0.1:16016"]) as client:
        client.kv.put("greeting", "hello")
        for event in client.events.follow():
            ...

Nothing is written twice: every name is looked up on the asynchronous client, whose docstrings
hold, and whatever it returns is waited for on a private loop in a thread of its own. The price is
that type checkers see `Any` here.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from replicante.client.actions import Actions
from replicante.client.client import DEFAULT_ENDPOINTS, Client
from replicante.client.clusters import Clusters, Platforms
from replicante.client.consumers import Consumers
from replicante.client.events import Events
from replicante.client.kv import Kv
from replicante.client.leases import Leases
from replicante.client.members import Members
from replicante.client.objects import Objects
from replicante.client.queues import Queues

T = TypeVar("T")
NOUNS = (Kv, Objects, Clusters, Platforms, Actions, Events, Consumers, Leases, Members, Queues)
ASYNC_ONLY = frozenset(("lock", "election", "worker"))
"""They cancel the code under them, which only an event loop can: use `client.leases` instead."""


class SyncClient:
    """Use as a context manager; takes what `Client` takes."""

    def __init__(self, endpoints: Sequence[str] = DEFAULT_ENDPOINTS, **options: Any) -> None:
        self._client = Client(endpoints, **options)
        self._loop: _LoopThread | None = None

    def __enter__(self) -> Self:
        self._loop = _LoopThread()
        try:
            self._loop.wait(self._client.__aenter__())
        except BaseException:
            self._loop.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        try:
            self._loop.wait(self._client.__aexit__(kind, error, trace))
        finally:
            self._loop.stop()

    def __getattr__(self, name: str) -> Any:
        if name in ASYNC_ONLY:
            raise AttributeError(f"{name!r} needs an event loop: use Client, or client.leases.")
        return _blocking(getattr(self._client, name), self)

    def __dir__(self) -> list[str]:
        return [
            *super().__dir__(),
            *(name for name in dir(self._client) if name[0] != "_" and name not in ASYNC_ONLY),
        ]

    @property
    def loop(self) -> _LoopThread:
        if self._loop is None:
            raise RuntimeError("The client is not open: use `with SyncClient(…) as client:`.")
        return self._loop


class _Noun:
    """`client.kv` and its like."""

    def __init__(self, noun: object, client: SyncClient) -> None:
        self._noun = noun
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return _blocking(getattr(self._noun, name), self._client)

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._noun) if name[0] != "_"]


class _Stream(Iterator[T]):
    """An asynchronous iterator, waited for at each step. Close it when you stop before its end."""

    def __init__(self, items: AsyncIterator[T], client: SyncClient) -> None:
        self._items = items
        self._client = client

    def __next__(self) -> T:
        try:
            return self._client.loop.wait(_step(self._items))
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        close = getattr(self._items, "aclose", None)
        if close is not None:
            self._client.loop.wait(close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="replicante-client", daemon=True)
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of the work. An interrupted wait cancels the work."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


def _blocking(found: Any, client: SyncClient) -> Any:
    """What the name stands for without an event loop."""
    if isinstance(found, NOUNS):
        return _Noun(found, client)
    if not inspect.ismethod(found):
        return found

    @functools.wraps(found)
    def wait(*args: Any, **kwargs: Any) -> Any:
        loop = client.loop
        result = found(*args, **kwargs)
        if inspect.iscoroutine(result):
            return loop.wait(result)
        return _Stream(result, client) if isinstance(result, AsyncIterator) else result

    return wait


async def _step(items: AsyncIterator[T]) -> T:
    return await anext(items)
