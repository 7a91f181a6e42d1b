"""The agent of docs/tutorial/write-an-agent.md: for a data store that is a file of lines."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from replicante.agents import sdk


class LinesStore(sdk.Store):
    """One node, one shard; the offset is the number of lines."""

    def __init__(self, folder: Path) -> None:
        self._name = folder / "name"
        self._lines = folder / "lines"
        folder.mkdir(parents=True, exist_ok=True)

    async def node(self):
        is_member = self._name.exists()
        status = sdk.NodeStatus.HEALTHY if is_member else sdk.NodeStatus.NOT_IN_CLUSTER
        return sdk.NodeSays(store_id="lines", node_status=status)

    async def store(self):
        if not self._name.exists():
            raise sdk.StoreUnavailable("it is in no cluster")
        return sdk.StoreSays(cluster_id=self._name.read_text())

    async def shards(self):
        await self.store()
        offset = sdk.Offset(value=len(self.lines()), unit="lines")
        return [sdk.ShardSays(shard_id="all", role=sdk.ShardRole.PRIMARY, commit_offset=offset)]

    def lines(self) -> list[str]:
        return self._lines.read_text().splitlines() if self._lines.exists() else []

    async def init(self, args, before):
        self._name.write_text(args.cluster_id)
        return sdk.done()

    async def fill(self, args, before):
        """One line a step: it may be cut off anywhere, and goes on from what it finds."""
        if len(self.lines()) >= 5:
            return sdk.done()
        with self._lines.open("a") as file:
            file.write(args.line + "\n")
        return sdk.again({"lines": len(self.lines())})


class InitArgs(msgspec.Struct):
    cluster_id: str


class FillArgs(msgspec.Struct):
    line: str = "-"


def actions(store: LinesStore) -> list[sdk.ActionKind]:
    init, fill = "agent.replicante.io/cluster.init", "lines.example.com/fill"
    return [
        sdk.ActionKind(kind=init, description="Name it.", run=store.init, args=InitArgs),
        sdk.ActionKind(kind=fill, description="Write five.", run=store.fill, args=FillArgs),
    ]


async def main(node_id: str, folder: Path, port: int) -> None:
    store = LinesStore(folder)
    settings = sdk.AgentSettings(node_id=node_id, data_dir=folder / "agent", port=port)
    async with sdk.Agent(settings, store, actions(store)) as agent:
        print(f"agent of {node_id}: {agent.url}", flush=True)
        await agent.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
