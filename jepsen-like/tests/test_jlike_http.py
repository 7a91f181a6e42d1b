"""The client of the fault suite: what it calls known, and that it never asks twice."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jlike.history import Kind
from jlike.http import Answer, Http


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Says this to whoever asks, then closes; keeps what was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", asked
    finally:
        listening.close()


def _answer(status: int, body: object, *, missing: int = 0) -> bytes:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n".encode()
    return head + text[: len(text) - missing]


async def _asked(answer: bytes) -> tuple[Answer, int]:
    async with server(answer) as (url, asked):
        return await Http(timeout_s=20).ask(url, "PUT", "/x", {"value": 1}), len(asked)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (_answer(200, {"a": 1}), Kind.OK, ""),
        (_answer(409, {"code": "held", "definite": True}), Kind.FAIL, "held"),
        (_answer(504, {"code": "late", "definite": False}), Kind.INFO, "late"),
        (_answer(500, "oh"), Kind.INFO, "500"),
        (_answer(200, {"a": 1}, missing=2), Kind.INFO, "IncompleteReadError"),
        (b"", Kind.INFO, "IncompleteReadError"),
        (b"nonsense\r\n\r\n", Kind.INFO, "IndexError"),
    ],
)
async def test_what_is_known_of_an_answer(answer, kind, code):
    found, times = await _asked(answer)
    assert (found.kind, found.code) == (kind, code)
    assert times == 1, "it asked again"


async def test_a_closed_door_is_a_definite_refusal():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert (await Http(timeout_s=20).ask(url, "PUT", "/x")).kind is Kind.FAIL
