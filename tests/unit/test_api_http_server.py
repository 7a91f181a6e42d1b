from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
from aiohttp import web
from api_harness import LIMIT_S, raw_exchange, running

from replicante import errors, limits
from replicante.api import guard
from replicante.api.context import ApiSettings
from replicante.api.http_server import HttpServer
from replicante.testing.fake_peer import Trouble


async def test_a_port_in_use_is_named():
    async with running() as api:
        second = HttpServer(api.api, host="127.0.0.1", port=api.server.port)
        with pytest.raises(errors.AddressInUse) as caught:
            await second.start()
        assert str(api.server.port) in caught.value.message
        assert caught.value.hints
        await second.stop()
        assert (await api.get("/status")).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "replicante.example", ""])
async def test_a_reachable_address_without_authentication_is_refused(host):
    async with running() as api:
        server = HttpServer(api.api, host=host, port=0)
        with pytest.raises(errors.InvalidConfig) as caught:
            await server.start()
        assert "authentication" in caught.value.message
        assert any("127.0.0.1" in hint for hint in caught.value.hints)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_loopback_addresses_need_no_authentication(host):
    guard.check_bind(host, is_authenticated=False)


async def test_with_authentication_any_address_may_be_listened_on():
    guard.check_bind("0.0.0.0", is_authenticated=True)


@pytest.mark.parametrize(
    ("host", "port", "word"),
    [
        ("203.0.113.5", 0, "not an address of this machine"),
        ("no-such-host.invalid", 0, "resolved"),
        ("127.0.0.1", 70_000, "cannot be used"),
    ],
)
async def test_an_address_that_cannot_be_used_is_a_clear_refusal(host, port, word):
    async with running(settings=ApiSettings(is_authenticated=True)) as api:
        server = HttpServer(api.api, host=host, port=port)
        with pytest.raises(errors.InvalidConfig, match=word):
            await server.start()


async def test_a_request_in_flight_is_finished_before_the_server_stops():
    async with running() as api:
        api.peer.trouble = Trouble.SILENT
        waiting = asyncio.create_task(api.put("/kv/a?timeout=200ms", {"value": 1}))
        await api.peer.proposed.wait()
        await api.server.stop()
        assert (await waiting).problem("outcome_unknown", 504)
        await api.server.stop()


async def test_a_request_that_takes_too_long_ends_before_its_connection_is_shut_down(
    monkeypatch,
):
    in_progress: list[bool] = []
    shut_down = web.RequestHandler.shutdown

    async def noted(handler: web.RequestHandler, timeout: float | None = 15.0) -> None:
        in_progress.append(handler._request_in_progress)
        await shut_down(handler, timeout)

    monkeypatch.setattr(web.RequestHandler, "shutdown", noted)
    monkeypatch.setattr(limits, "HTTP_STOP_MS_MAX", 50)
    async with running() as api:
        api.peer.trouble = Trouble.SILENT
        waiting = asyncio.create_task(api.put("/kv/a?timeout=60s", {"value": 1}))
        await api.peer.proposed.wait()
        await api.server.stop()
        with pytest.raises(aiohttp.ClientError):
            await waiting
    assert True not in in_progress


async def test_connections_beyond_the_bound_are_closed():
    async with running(settings=ApiSettings(connections_max=1)) as api:
        assert (await api.get("/status")).status == 200
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            said = await raw_exchange(
                api.server.port, b"GET /api/v0/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            if not said:
                raise ConnectionResetError
        assert (await api.get("/status")).status == 200


async def test_a_body_that_does_not_arrive_is_answered_in_time():
    async with running(settings=ApiSettings(body_read_ms_max=50)) as api:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port)
            writer.write(
                b"PUT /api/v0/kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n"
                b"Content-Type: application/json\r\n\r\n{"
            )
            assert await reader.readline() == b"HTTP/1.1 408 Request Timeout\r\n"
            writer.close()
            await writer.wait_closed()
        assert api.api.ctx.bodies.held_bytes == 0


async def test_a_client_that_hangs_up_in_its_body_leaves_nothing_behind():
    async with running() as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.server.port)
        writer.write(
            b"PUT /api/v0/kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await api.put("/kv/a", {"value": 1})).status == 201
        assert api.api.ctx.bodies.held_bytes == 0


async def test_two_requests_in_one_packet_are_answered_in_order():
    async with running() as api:
        one = b"GET /api/v0/kv/missing HTTP/1.1\r\nHost: localhost\r\n"
        said = await raw_exchange(
            api.server.port,
            one + b"\r\n" + one.replace(b"missing", b"second") + b"Connection: close\r\n\r\n",
        )
        assert said.count(b"HTTP/1.1 404") == 2
        assert said.index(b"missing") < said.index(b"second")


async def test_the_port_is_free_again_after_a_stop():
    async with running() as api:
        port = api.server.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
