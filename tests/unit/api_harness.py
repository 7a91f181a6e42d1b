"""A running API over a fake peer, and a client that sends exactly what a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from replicante.api.app import Api, create_app
from replicante.api.context import ApiSettings
from replicante.api.http_server import HttpServer
from replicante.api.refusals import refusal_codes
from replicante.api.routes import ROUTES
from replicante.api.routing import Router
from replicante.clock import SystemClock
from replicante.entropy import SystemEntropy
from replicante.errors import ReplicanteError
from replicante.telemetry.logs import silent_logger
from replicante.telemetry.metrics import Metrics
from replicante.testing.fake_peer import FakePeer

LIMIT_S = 20
ROUTER = Router(ROUTES)
UNEXPECTED = 500
"""A defect of ours, which some tests provoke; nothing promises it."""
PREFIX = "/api/v0"


class Room:
    """Stands in for the store's fill level."""

    used_fraction = 0.1
    is_map_full = False


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    def problem(self, code: str, status: int):
        """The body, after every promise about problems was checked."""
        assert self.status == status, (self.status, self.body)
        assert self.headers["Content-Type"] == "application/problem+json"
        body = self.json
        assert body["status"] == status
        assert body["code"] == code
        assert body["type"] == f"urn:replicante:problem:{code}"
        assert body["title"] and body["detail"]
        assert isinstance(body["definite"], bool)
        assert body["request_id"] == self.headers["Replicante-Request-Id"]
        assert b"Traceback" not in self.body
        return body


@dataclass
class Harness:
    peer: FakePeer
    room: Room
    metrics: Metrics
    api: Api
    server: HttpServer
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, *, value=None, **request) -> Answer:
        """path: from the host on, sent as it is. value: sent as JSON."""
        if value is not None:
            request["data"] = json.dumps(value).encode()
            request["headers"] = {
                "Content-Type": "application/json",
                **request.get("headers", {}),
            }
        async with asyncio.timeout(LIMIT_S):
            url = URL(self.server.url + path, encoded=True)
            async with self.session.request(method, url, **request) as response:
                answer = Answer(response.status, response.headers.copy(), await response.read())
        check_described(method, path, answer)
        return answer

    async def get(self, path: str, **request) -> Answer:
        return await self.ask("GET", PREFIX + path, **request)

    async def put(self, path: str, value, **request) -> Answer:
        return await self.ask("PUT", PREFIX + path, value=value, **request)

    async def post(self, path: str, value, **request) -> Answer:
        return await self.ask("POST", PREFIX + path, value=value, **request)

    async def delete(self, path: str, **request) -> Answer:
        return await self.ask("DELETE", PREFIX + path, **request)

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def running(
    *, settings: ApiSettings | None = None, peer: FakePeer | None = None
) -> AsyncIterator[Harness]:
    peer = peer or FakePeer()
    room = Room()
    metrics = Metrics(peer_id="p1", version="test")
    api = create_app(
        peer=peer,
        state=peer.lone.machine,
        room=room,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        metrics=metrics,
        log=silent_logger(),
        settings=settings,
    )
    async with (
        HttpServer(api, host="127.0.0.1", port=0) as server,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        yield Harness(peer, room, metrics, api, server, session)


def check_described(method: str, path: str, answer: Answer) -> None:
    """The OpenAPI description foresees this status on this path, and for a problem its code."""
    try:
        route = ROUTER.match(method=method, raw_path=path.partition("?")[0]).route
    except ReplicanteError:
        return
    if answer.status in route.statuses or answer.status == UNEXPECTED:
        return
    codes = refusal_codes(route).get(answer.status, ())
    assert answer.json["code"] in codes, (method, route.path, answer.status, answer.body)


async def until(is_true: Callable[[], bool]) -> None:
    """Gives the loop to others until it is true. For facts that nobody announces."""
    async with asyncio.timeout(LIMIT_S):
        while not is_true():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def raw_exchange(port: int, data: bytes) -> bytes:
    """Everything that the server says to these bytes until it closes."""
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        await writer.drain()
        try:
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
