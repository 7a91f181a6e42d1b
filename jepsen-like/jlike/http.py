"""Asks once and says what is known of the answer. No retries, no redirects, no kept connections.

Used by workloads. It is written by hand on purpose: a client library that repeats an idempotent
request on its own, when a connection breaks, tells of the second attempt only. A put that was
carried out by a peer that was then killed is so reported as refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from jlike.history import Kind, Value

API = "/api/v0"
ANSWER_BYTES_MAX = 64 * 1024 * 1024
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """status 0: there was none. kind: what is known about a write. code: of a refusal."""

    kind: Kind
    status: int
    body: Value = None
    code: str = ""


Door = Callable[[str], AbstractContextManager[None]]


class Http:
    """timeout_s: for the whole of one question, from the connection to the last byte. door: for a
    URL, where the sockets that reach it are made; none: here."""

    def __init__(self, *, timeout_s: float, door: Door | None = None) -> None:
        self._timeout_s = timeout_s
        self._door = door

    async def ask(
        self,
        url: str,
        method: str,
        path: str,
        body: Value = None,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Answer:
        """fail only when nothing can have happened: refused at the door, or a definite problem."""
        try:
            async with asyncio.timeout(self._timeout_s):
                request = _request(url, method, path, body, headers)
                status, text = await _exchange(url, request, self._door)
                found = json.loads(text) if text else None
        except ConnectionRefusedError:
            return Answer(kind=Kind.FAIL, status=0, code="refused")
        except (TimeoutError, OSError, EOFError, ValueError, IndexError) as error:
            return Answer(kind=Kind.INFO, status=0, code=type(error).__name__)
        if 200 <= status < 300:
            return Answer(kind=Kind.OK, status=status, body=found)
        problem = found if isinstance(found, dict) else {}
        return Answer(
            kind=Kind.FAIL if problem.get("definite") is True else Kind.INFO,
            status=status,
            body=found,
            code=str(problem.get("code", status)),
        )


def _request(url: str, method: str, path: str, body: Value, headers: Mapping[str, str]) -> bytes:
    text = b"" if body is None else json.dumps(body).encode()
    head = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", "Connection: close"]
    head += ["Accept: application/json", *(f"{name}: {it}" for name, it in headers.items())]
    if body is not None:
        head += ["Content-Type: application/json", f"Content-Length: {len(text)}"]
    return "\r\n".join([*head, "", ""]).encode() + text


async def _exchange(url: str, request: bytes, door: Door | None) -> tuple[int, bytes]:
    """Status and body. An answer that is cut short is none: EOFError."""
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or 80
    if door is None:
        reader, writer = await asyncio.open_connection(host, port, limit=ANSWER_BYTES_MAX)
    else:
        with door(url):
            there = socket.socket()
        with contextlib.ExitStack() as unless_connected:
            unless_connected.callback(there.close)
            there.setblocking(False)
            await asyncio.get_running_loop().sock_connect(there, (host, port))
            unless_connected.pop_all()
        reader, writer = await asyncio.open_connection(sock=there, limit=ANSWER_BYTES_MAX)
    try:
        writer.write(request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(":", 1) for line in lines if ":" in line)
        length = int(fields.get("content-length", "0"))
        return int(first.split()[1]), await reader.readexactly(length)
    finally:
        writer.close()
