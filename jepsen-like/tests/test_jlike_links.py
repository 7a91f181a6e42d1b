"""The relays between peers: bytes stop in the direction that is cut, and are not lost."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jlike.links import Flaw
from jlike.links_relays import Relays

HOST = "127.0.0.1"
LIMIT_S = 20


@asynccontextmanager
async def relayed() -> AsyncIterator[tuple[Relays, asyncio.StreamReader, asyncio.StreamWriter]]:
    """An echo behind a relay, dialled by this process, which is peer `a`; the echo is `b`."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(100):
            writer.write(chunk)
        writer.close()

    links = Relays(lambda: {"a": os.getpid()}, random.Random(1))
    server = await asyncio.start_server(echo, HOST, 0)
    port = await links.relay("b", port=server.sockets[0].getsockname()[1])
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield links, reader, writer
    finally:
        writer.close()
        await links.close()
        server.close()


async def _echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> bytes:
    writer.write(text)
    async with asyncio.timeout(LIMIT_S):
        return await reader.readexactly(len(text))


async def _held(links: Relays, pair: tuple[str, str]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not links.held[pair]:  # noqa: ASYNC110  the relay has no event for tests
            await asyncio.sleep(0)


async def test_bytes_pass_and_their_sender_is_known():
    async with relayed() as (links, reader, writer):
        assert await _echoed(reader, writer, b"hello") == b"hello"
        assert not links.held


async def test_a_cut_holds_what_is_sent_and_loses_nothing():
    for pair in (("a", "b"), ("b", "a")):
        async with relayed() as (links, reader, writer):
            assert await _echoed(reader, writer, b"one") == b"one"
            await links.cut([pair])
            writer.write(b"two")
            await _held(links, pair)
            assert not reader.at_eof()
            await links.heal()
            async with asyncio.timeout(LIMIT_S):
                assert await reader.readexactly(3) == b"two"


async def test_the_other_direction_stays_open():
    async with relayed() as (links, reader, writer):
        assert await _echoed(reader, writer, b"one") == b"one"
        await links.cut([("c", "b"), ("b", "c")])
        assert await _echoed(reader, writer, b"two") == b"two"
        assert not links.held


async def test_a_flaw_slows_until_it_is_mended_and_loses_nothing():
    async with relayed() as (links, reader, writer):
        links.mar([("a", "b"), ("b", "a")], Flaw(delay_s=0.01, loss=0.5))
        assert await _echoed(reader, writer, b"one") == b"one"
        marred = sum(links.marred.values())
        assert marred >= 2
        links.mend()
        assert await _echoed(reader, writer, b"two") == b"two"
        assert sum(links.marred.values()) == marred
