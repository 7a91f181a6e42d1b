"""Listens, speaks HTTP, and stops without cutting anybody off in the middle. Called by `server`.

aiohttp's low-level server without its application: routing, errors and bounds are ours, and a
request costs less.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

from aiohttp import web

from replicante import errors, limits
from replicante.api import answers, guard
from replicante.telemetry.diagnostics import Diagnostic

if TYPE_CHECKING:
    from types import TracebackType

    from replicante.api.app import Api

BACKLOG_CONNECTIONS = 1_024
KEEPALIVE_SECONDS = 75.0
PORT_HINT = "find who uses it with `ss -ltnp`, or choose another port"


class HttpServer:
    """`async with HttpServer(api, host=…, port=…) as server:` or start and stop."""

    def __init__(self, api: Api, *, host: str, port: int) -> None:
        """port: 0 takes a free one."""
        self._api = api
        self._host = host
        self._port = port
        self._runner: web.ServerRunner | None = None

    @property
    def port(self) -> int:
        """The port that is listened on. Only while the server runs."""
        assert self._runner is not None, "the server runs"
        address = self._runner.addresses[0]
        return int(address[1])

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Raises InvalidConfig for an address that may not or cannot be used, AddressInUse."""
        settings = self._api.ctx.settings
        guard.check_bind(self._host, is_authenticated=settings.is_authenticated)
        self._runner = _Runner(_Server(self._api))
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self._host, self._port, backlog=BACKLOG_CONNECTIONS)
            await site.start()
        except (OSError, OverflowError) as exc:
            await self._runner.cleanup()
            self._runner = None
            raise self._refusal(exc) from exc
        self._api.ctx.log.info(Diagnostic.HTTP_LISTENING, url=self.url)

    async def stop(self) -> None:
        """Takes no new connection, ends the streams with a last word, gives requests in flight
        HTTP_STOP_MS_MAX to finish. A second stop does nothing."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._api.stop()
        server = runner.server
        open_count = 0 if server is None else len(server.connections)
        await runner.cleanup()
        self._api.close()
        self._api.ctx.log.info(Diagnostic.HTTP_STOPPED, open_count=open_count)

    async def __aenter__(self) -> HttpServer:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def _refusal(self, exc: OSError | OverflowError) -> errors.StartRefused:
        where = f"{self._host}:{self._port}"
        if isinstance(exc, socket.gaierror):
            return errors.InvalidConfig(
                f"The HTTP address {where} cannot be resolved.",
                hints=("listen on 127.0.0.1, or correct the name",),
            )
        # From 3.13 on asyncio passes over addresses that are not of this machine, and tells of none
        # that was left by an error without a number.
        code = (exc.errno or errno.EADDRNOTAVAIL) if isinstance(exc, OSError) else None
        if code == errno.EADDRINUSE:
            return errors.AddressInUse(
                f"The HTTP address {where} is taken by another process.", hints=(PORT_HINT,)
            )
        reasons = {
            errno.EADDRNOTAVAIL: "is not an address of this machine",
            errno.EACCES: "may not be used by this user; ports below 1024 need more rights",
        }
        reason = reasons.get(code or 0, f"cannot be used: {exc}")
        return errors.InvalidConfig(f"The HTTP address {where} {reason}.")


class _Runner(web.ServerRunner):
    def __init__(self, server: _Server) -> None:
        super().__init__(server, shutdown_timeout=limits.HTTP_LEAVE_MS_MAX / 1_000)
        self._served = server

    async def shutdown(self) -> None:
        """Called by aiohttp when nothing new comes in, before it looks at what still runs."""
        await self._served.finish()


class _Server(web.Server):
    """Makes our protocol for each connection."""

    def __init__(self, api: Api) -> None:
        # A client that hangs up cancels its handler, so that no long poll outlives its reader.
        super().__init__(self._handle, handler_cancellation=True)
        self.api = api
        self._busy: set[asyncio.Task[None]] = set()
        """Tasks of connections, each within a request."""

    async def finish(self) -> None:
        """Gives requests in flight HTTP_STOP_MS_MAX, then cancels what is left: aiohttp, which
        would do the same, trips over a request that ends in the turn in which its time is over."""
        if self._busy:
            _, late = await asyncio.wait(self._busy, timeout=limits.HTTP_STOP_MS_MAX / 1_000)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=limits.HTTP_LEAVE_MS_MAX / 1_000)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None, "a request is handled by its connection's task"
        self._busy.add(task)
        try:
            return await self.api.handle(request)
        finally:
            self._busy.discard(task)

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self)


class _Protocol(web.RequestHandler):
    """Answers broken HTTP with a problem instead of a page, and bounds the connections."""

    __slots__ = ("_api",)

    def __init__(self, server: _Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            # None switches it off: our own line says more. The annotation forgets it.
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=KEEPALIVE_SECONDS,
        )
        self._api = server.api

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        manager = self._manager
        bound = self._api.ctx.settings.connections_max
        if manager is not None and len(manager.connections) > bound:
            self.force_close()
            assert isinstance(transport, asyncio.Transport), "a connection can be ended"
            transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """For bytes that are no HTTP request: our own handlers raise nothing but for a client
        that hung up."""
        if isinstance(exc, ConnectionError):
            raise exc
        ctx = self._api.ctx
        detail = "The bytes received are no HTTP request."
        if message:
            detail = f"{detail} {message.splitlines()[0][:200]}"
        ctx.metrics.http_malformed.inc()
        ctx.log.debug(Diagnostic.HTTP_MALFORMED, detail=detail)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        response = answers.respond_problem(
            ctx, errors.MalformedHttp(detail), request_id=ctx.entropy.token()
        )
        response.force_close()
        return response
