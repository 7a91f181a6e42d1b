"""Asks a Redis server once and says what is known of the answer. No retries, no kept connections.

Used by `jlike.workload.redis`. By hand, for the reason that `jlike.http` gives: who repeats a write
by itself tells of the second attempt only. Protocol: RESP2.
"""

from __future__ import annotations

import asyncio

from jlike.history import Value

ANSWER_BYTES_MAX = 64 * 1024 * 1024


class Refused(Exception):
    """The server answered with an error: it certainly did nothing. The first word is its kind."""

    @property
    def code(self) -> str:
        return str(self).partition(" ")[0]


async def command(address: str, *words: str | int, seconds: float) -> Value:
    """address: host:port.  Raises Refused; ConnectionRefusedError when nobody listens; OSError,
    EOFError, ValueError, TimeoutError when nobody knows."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(host, int(port), limit=ANSWER_BYTES_MAX)
        try:
            parts = [str(word).encode() for word in words]
            writer.write(b"*%d\r\n" % len(parts))
            writer.writelines(b"$%d\r\n%b\r\n" % (len(it), it) for it in parts)
            await writer.drain()
            return await _answer(reader)
        finally:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> Value:
    line = (await reader.readuntil(b"\r\n"))[:-2]
    kind, rest = line[:1], line[1:].decode("utf-8", "replace")
    match kind:
        case b"+":
            return rest
        case b"-":
            raise Refused(rest)
        case b":":
            return int(rest)
        case b"$":
            if rest == "-1":
                return None
            return (await reader.readexactly(int(rest) + 2))[:-2].decode("utf-8", "replace")
        case b"*":
            return [await _answer(reader) for _ in range(int(rest))]
        case _:
            raise ValueError(f"no answer of Redis: {line[:80]!r}")
