"""One question to one Redis process, a server or a Sentinel, over a connection of its own.

Called by `server`, `sentinels` and the actions.

Whether a connection is refused is itself what is asked, so none is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from redis import asyncio as redis_asyncio
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from replicante.agents.sdk import StoreContact, StoreUnavailable
from replicante.agents.stores.redis.facts import Address, text


class NoContact(StoreUnavailable):
    def __init__(self, contact: StoreContact, message: str) -> None:
        super().__init__(message)
        self.contact = contact


class Refused(StoreUnavailable):
    """The process answered with an error: a script keeps it busy, or a command is withheld."""


async def ask(address: Address, *command: str | int, password: str | None, limit_ms: int) -> Any:
    """Raises NoContact, or Refused with what the process says."""
    async with _client(address, password=password, limit_ms=limit_ms) as client:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]


async def messages(
    address: Address, channel: str, *, password: str | None, limit_ms: int
) -> AsyncIterator[str]:
    """What is published there from now on. Ends when nothing came for so long.

    Raises NoContact, Refused.
    """
    async with (
        _client(address, password=password, limit_ms=limit_ms) as client,
        client.pubsub(ignore_subscribe_messages=True) as subscription,
    ):
        await subscription.subscribe(channel)
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while (loop.time() - heard_at) * 1_000 < limit_ms:
            message = await subscription.get_message(timeout=limit_ms / 1_000)
            if message is not None and isinstance(message["data"], str):
                heard_at = loop.time()
                yield message["data"]


@asynccontextmanager
async def _client(
    address: Address, *, password: str | None, limit_ms: int
) -> AsyncIterator[redis_asyncio.Redis]:
    host, port = address
    client = redis_asyncio.Redis(
        host=host,
        port=port,
        password=password,
        socket_timeout=limit_ms / 1_000,
        socket_connect_timeout=limit_ms / 1_000,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        yield client
    except exceptions.BusyLoadingError as exc:
        raise NoContact(StoreContact.ANSWERS, "it is loading its data") from exc
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as exc:
        is_refused = any(isinstance(it, ConnectionRefusedError) for it in _causes(exc))
        contact = StoreContact.REFUSED if is_refused else StoreContact.SILENT
        raise NoContact(contact, f"{text(address)}: {exc}"[:300]) from exc
    except exceptions.RedisError as exc:
        raise Refused(str(exc)[:300]) from exc
    finally:
        await client.aclose()


def _causes(exc: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = exc
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
