"""The least of HTTP that a server in the suite needs: one request a connection, JSON both ways.

Used by `jlike.agents` and by subjects that are servers. What breaks its rules is an error of the
caller's; nothing is repeated and no connection is kept.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import MappingProxyType

from jlike.history import Value

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


async def request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], Value]:
    """(method, path, headers in lower case, body). Raises EOFError, ValueError for what is none."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    headers = {
        name.lower(): text.strip()
        for name, text in (line.split(":", 1) for line in lines if ":" in line)
    }
    length = int(headers.get("content-length", "0"))
    text = await reader.readexactly(length)
    return method, path, headers, json.loads(text) if text else None


def response(status: int, body: Value, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
    text = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", "Connection: close"]
    lines += [f"{name}: {it}" for name, it in headers.items()]
    lines += [f"Content-Length: {len(text)}", "", ""]
    return "\r\n".join(lines).encode() + text
