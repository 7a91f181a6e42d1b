"""One process with all the fake agents that bench/observe.py has observed, over real HTTP: each
under a path of its own. Prints its address, then serves until its standard input ends."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

from replicante.agents import protocol
from replicante.testing.fake_agents import FakeAgent


class Agents:
    """Healthy members of a cluster, the first node of each its primary."""

    def __init__(self, per_cluster_count: int) -> None:
        self._per_cluster_count = per_cluster_count
        self._agents: dict[str, FakeAgent] = {}
        self.looks_count = 0

    def app(self) -> web.Application:
        app = web.Application()
        root = "/{cluster}/{node}" + protocol.PREFIX
        app.router.add_get(f"{root}/info/node", self._node)
        app.router.add_get(f"{root}/info/store", self._store)
        app.router.add_get(f"{root}/info/shards", self._shards)
        app.router.add_get(f"{root}/actions/queue", self._actions)
        app.router.add_get(f"{root}/actions/finished", self._actions)
        app.router.add_get("/looks", self._looks)
        return app

    async def _looks(self, request: web.Request) -> web.Response:
        return web.json_response({"looks": self.looks_count})

    async def _node(self, request: web.Request) -> web.Response:
        self.looks_count += 1
        address = {"member": f"10.0.0.1:{6_379 + self._number(request)}"}
        body = {
            "address": address,
            "agent_version": {"checkout": "", "number": "1.0.0", "taint": ""},
            "attributes": {"os": "linux", "zone": "a"},
            "contact": "answered",
            "controllers": [],
            "node_id": request.match_info["node"],
            "node_status": "HEALTHY",
            "store_id": "bench",
            "store_version": {"number": "6.2.5"},
        }
        return self._answer(request, body)

    async def _store(self, request: web.Request) -> web.Response:
        body = {"cluster_id": request.match_info["cluster"], "attributes": {"mode": "replication"}}
        return self._answer(request, body)

    async def _shards(self, request: web.Request) -> web.Response:
        is_primary = self._number(request) == 0
        shard = {
            "shard_id": "keys",
            "role": "primary" if is_primary else "secondary",
            "commit_offset": {"value": self.looks_count, "unit": "bytes"},
            "lag": None if is_primary else {"value": 0, "unit": "bytes"},
            "history_id": "h1",
        }
        return self._answer(request, {"shards": [shard]})

    async def _actions(self, request: web.Request) -> web.Response:
        return self._answer(request, {"actions": []})

    def _answer(self, request: web.Request, body: object) -> web.Response:
        """Under the epoch, which each agent keeps."""
        info = request.match_info
        name = f"{info['cluster']}/{info['node']}"
        agent = self._agents.setdefault(name, FakeAgent(info["node"]))
        epoch = int(request.headers.get(protocol.EPOCH_HEADER, "0"))
        if epoch < agent.epoch:
            return web.json_response({}, status=protocol.STALE_EPOCH_STATUS)
        agent.epoch = epoch
        return web.json_response(body, headers={protocol.EPOCH_HEADER: str(epoch)})

    def _number(self, request: web.Request) -> int:
        return int(request.match_info["node"].removeprefix("n")) % self._per_cluster_count


async def main() -> None:
    runner = web.AppRunner(Agents(int(sys.argv[1])).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
