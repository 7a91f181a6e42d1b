"""A running agent and a plain HTTP caller for tests of agents: no client of ours in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from replicante.agents import sdk
from replicante.agents.sdk.server import EPOCH_HEADER, INCARNATION_HEADER, PREFIX

WAIT_SECONDS = 60
"""For a fact, on a loaded machine."""
POLL_SECONDS = 0.01


class Caller:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def get(self, path: str, *, epoch: int | None = None):
        """(status, body, headers)"""
        return await self._call("GET", path, None, epoch)

    async def post(self, path: str, body, *, epoch: int | None = None):
        return await self._call("POST", path, body, epoch)

    async def submit(
        self,
        kind: str,
        args=None,
        *,
        action_id: str,
        epoch: int | None = None,
        to: str | None = None,
    ):
        """The status.  to: the incarnation of the agent that it is for."""
        body = {"id": action_id, "kind": kind, "args": args}
        return (await self._call("POST", "action", body, epoch, to=to))[0]

    async def until_phase(self, action_id: str, *phases: str) -> dict:
        """The action, once it is in one of the phases."""
        return await self.until(action_id, lambda found: found["state"]["phase"] in phases)

    async def until(self, action_id: str, is_so: Callable[[dict], bool]) -> dict:
        """The action, once it is so."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                _, found, _ = await self.get(f"action/{action_id}")
                if is_so(found):
                    return found
                await asyncio.sleep(POLL_SECONDS)

    async def _call(
        self, method: str, path: str, body, epoch: int | None, *, to: str | None = None
    ):
        headers = {} if epoch is None else {EPOCH_HEADER: str(epoch)}
        if to is not None:
            headers[INCARNATION_HEADER] = to
        url = f"{self.url}{PREFIX}/{path}"
        async with self._session.request(method, url, json=body, headers=headers) as response:
            raw = await response.read()
            found = await response.json() if raw else None
            return response.status, found, response.headers


@asynccontextmanager
async def calling(
    folder: Path,
    store: sdk.Store,
    actions=(),
    *,
    node_id: str = "n1",
    supervisor=None,
    scripts=None,
    **settings,
):
    """An agent and who calls it; leaving it ends the agent as a crash between two steps would."""
    chosen = sdk.AgentSettings(node_id=node_id, data_dir=folder, **settings)
    running = sdk.Agent(chosen, store, actions, supervisor=supervisor, scripts=scripts)
    async with running as agent, aiohttp.ClientSession() as session:
        yield Caller(session, agent.url)


class FixedStore(sdk.Store):
    """A store that always says the same."""

    def __init__(self, *, is_up: bool = True) -> None:
        self.is_up = is_up

    async def node(self):
        status = sdk.NodeStatus.HEALTHY if self.is_up else sdk.NodeStatus.UNAVAILABLE
        return sdk.NodeSays(
            store_id="fixed",
            node_status=status,
            address={"member": "127.0.0.1:1"},
            attributes={"fixed/known-while-stopped": 7},
        )

    async def store(self):
        self._expect_up()
        return sdk.StoreSays(cluster_id="c1")

    async def shards(self):
        self._expect_up()
        offset = sdk.Offset(value=3, unit="writes")
        return [sdk.ShardSays(shard_id="s", role=sdk.ShardRole.PRIMARY, commit_offset=offset)]

    def _expect_up(self) -> None:
        if not self.is_up:
            raise sdk.StoreUnavailable("connection refused")
