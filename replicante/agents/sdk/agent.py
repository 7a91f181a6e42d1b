"""One agent: the parts put together, started and stopped. Called by the program of an agent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any

from aiohttp import web

from replicante.agents.sdk.action_store import ActionStore
from replicante.agents.sdk.catalogue import ActionKind, Catalogue
from replicante.agents.sdk.metrics import AgentMetrics
from replicante.agents.sdk.runner import Runner
from replicante.agents.sdk.scripts.actions import ScriptActions
from replicante.agents.sdk.scripts.settings import ScriptSettings
from replicante.agents.sdk.server import AgentServer
from replicante.agents.sdk.settings import AgentSettings, AgentTls
from replicante.agents.sdk.store import Store
from replicante.agents.sdk.supervision.actions import ServiceActions
from replicante.agents.sdk.supervision.values import Supervisor
from replicante.clock import SystemClock
from replicante.entropy import SystemEntropy
from replicante.limits import HTTP_STOP_MS_MAX


class Agent:
    """`async with Agent(settings, store, actions) as agent: await agent.wait()`."""

    def __init__(
        self,
        settings: AgentSettings,
        store: Store,
        actions: Iterable[ActionKind] = (),
        *,
        supervisor: Supervisor | None = None,
        is_service_offered: bool = True,
        scripts: Mapping[str, ScriptSettings] | None = None,
    ) -> None:
        """supervisor: of the store's service; with it come the actions that start and stop it,
        unless the author's own `actions` ask it (`is_service_offered`).
        scripts: programs that carry out actions, by kind.

        Raises InvalidConfig for actions that cannot be offered."""
        self._settings = settings
        self._store = store
        self._supervisor = supervisor
        is_offered = supervisor is not None and is_service_offered
        services = ServiceActions(supervisor).kinds() if supervisor and is_offered else ()
        carried = ScriptActions(scripts or {}, folder=settings.data_dir, entropy=SystemEntropy())
        self._catalogue = Catalogue((*services, *carried.kinds(), *actions))
        self._kept: ActionStore | None = None
        self._runner: web.AppRunner | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Only while it runs."""
        assert self._runner is not None, "the agent runs"
        scheme = "http" if self._settings.tls is None else "https"
        host = self._settings.host
        shown = f"[{host}]" if ":" in host else host
        return f"{scheme}://{shown}:{self._runner.addresses[0][1]}"

    async def start(self) -> None:
        """Raises OSError, ssl.SSLError, sqlite3.Error."""
        context = None if self._settings.tls is None else _context(self._settings.tls)
        fresh = SystemEntropy().token()
        self._kept = await ActionStore.open(self._settings.data_dir, fresh_incarnation=fresh)
        try:
            await self._serve(self._kept, context)
        except BaseException:
            await self.stop()
            raise

    async def _serve(self, kept: ActionStore, context: ssl.SSLContext | None) -> None:
        clock, metrics = SystemClock(), AgentMetrics()
        runner = Runner(store=kept, catalogue=self._catalogue, clock=clock, metrics=metrics)
        server = AgentServer(
            settings=self._settings,
            store=self._store,
            supervisor=self._supervisor,
            actions=kept,
            catalogue=self._catalogue,
            metrics=metrics,
            clock=clock,
            entropy=SystemEntropy(),
            wake=runner.wake,
        )
        self._runner = web.AppRunner(
            server.application(), access_log=None, shutdown_timeout=HTTP_STOP_MS_MAX / 1_000
        )
        await self._runner.setup()
        host, port = self._settings.host, self._settings.port
        await web.TCPSite(self._runner, host, port, ssl_context=context).start()
        self._running = asyncio.create_task(_together(runner.run(), self._store.watch()))

    async def wait(self) -> None:
        """Returns only by cancellation or by raising the defect that ended the agent."""
        assert self._running is not None, "the agent runs"
        await asyncio.shield(self._running)

    async def stop(self) -> None:
        """A step under way is cut off, as by a crash, and begun anew by the next process."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.close()

    async def __aenter__(self) -> Agent:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


async def _together(*works: Coroutine[Any, Any, None]) -> None:
    """Until all returned; the first defect ends all and is raised as it is."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in ended:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _context(tls: AgentTls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.client_ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
