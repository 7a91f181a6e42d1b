"""A peer that answers HTTP by script, for tests of the client. Not a test file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web

Step = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedPeer:
    """Answers each request with the next step of its script; the last step stays."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self.clock_ms: int | None = None
        """Told with every answer, and to who asks whether this peer lives."""
        self.is_hung = False
        """Does not answer whether it lives."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/introspect/health":
            if self.is_hung:
                await asyncio.sleep(60)
            return web.json_response({"status": "ok", "peer": "p1"}, headers=self._clock())
        self.requests.append(request)
        self.bodies.append(await request.read())
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        answered = await step(request)
        answered.headers.update(self._clock())
        return answered

    def _clock(self) -> dict[str, str]:
        return {} if self.clock_ms is None else {"Replicante-Clock-Ms": str(self.clock_ms)}

    @property
    def keys(self) -> list[str | None]:
        return [request.headers.get("Idempotency-Key") for request in self.requests]

    @property
    def queries(self) -> list[dict[str, str]]:
        return [dict(request.query) for request in self.requests]


@asynccontextmanager
async def running(*peers: ScriptedPeer) -> AsyncIterator[list[str]]:
    """The URLs of the peers, while they answer."""
    async with AsyncExitStack() as stack:
        for peer in peers:
            runner = web.ServerRunner(
                web.Server(peer.handle), handle_signals=False, shutdown_timeout=0.1
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            peer.url = f"http://127.0.0.1:{port}"
        yield [peer.url for peer in peers]


async def refusing_url() -> str:
    """A URL on which nobody listens."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"


def answer(
    body: Any, *, status: int = 200, index: int | None = None, clock_ms: int | None = None
) -> Step:
    given = {"Replicante-Index": index, "Replicante-Clock-Ms": clock_ms}

    async def step(_: web.Request) -> web.StreamResponse:
        headers = {name: str(value) for name, value in given.items() if value is not None}
        return web.json_response(body, status=status, headers=headers)

    return step


def problem(
    code: str, status: int, *, definite: bool, retry_after: str | None = None, **more: Any
) -> Step:
    body = {
        "type": f"urn:replicante:problem:{code}",
        "title": code,
        "status": status,
        "detail": f"scripted {code}",
        "code": code,
        "definite": definite,
        **more,
    }

    async def step(_: web.Request) -> web.StreamResponse:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        return web.Response(
            body=json.dumps(body).encode(),
            status=status,
            content_type="application/problem+json",
            headers=headers,
        )

    return step


def garbage(*, status: int) -> Step:
    async def step(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>I am a proxy</html>", status=status)

    return step


def hang_up() -> Step:
    """Takes the request, then closes the connection without a word."""

    async def step(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        await asyncio.Event().wait()
        raise AssertionError

    return step


def silence() -> Step:
    async def step(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    return step


def stream(*parts: bytes, ends: str = "cut") -> Step:
    """Sends the parts; then `cut`s the connection, `end`s properly, or is `silent`."""

    async def step(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        if ends == "end":
            await response.write_eof()
            return response
        if ends == "cut":
            assert request.transport is not None
            request.transport.close()
        await asyncio.Event().wait()
        raise AssertionError

    return step


def stamp(number: int) -> str:
    return f"{number << 16:019d}"


def event(number: int, *, seq: int | None = None, code: str = "kv.put") -> bytes:
    """One line of NDJSON; event `number` is entry `number` with seq `number`."""
    body = {
        "id": stamp(number),
        "seq": number if seq is None else seq,
        "chain": "00",
        "index": number,
        "code": code,
        "time": "2026-01-01T00:00:00Z",
        "clock_ms": 0,
        "ns": None,
        "cluster": None,
        "key": f"k{number}",
        "payload": {"type": "heartbeat"},
        "cause": None,
    }
    return json.dumps(body).encode() + b"\n"


def heartbeat(number: int) -> bytes:
    body = {"type": "heartbeat", "index": number, "staleness_ms": 1, "after": stamp(number)}
    return json.dumps(body).encode() + b"\n"


def stream_end(kind: str, number: int, *, floor: str | None = None) -> bytes:
    body = {"type": kind, "reason": "scripted", "detail": "scripted", "after": stamp(number)}
    return json.dumps(body | ({"floor": floor} if floor else {})).encode() + b"\n"
