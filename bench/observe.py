"""Measures what it costs to observe data store nodes: processor time and memory of three peers.

    python bench/observe.py [--nodes 300] [--per-cluster 3] [--interval 30s] [--seconds 90]
                            [--folder DIR]

Three peers as processes, the nodes as fake agents in one more process, over real HTTP. A static
platform names the clusters; each is looked at once an interval. Measured is the time between the
first look at all of them and the end; before it, the same peers with nothing to observe.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from peers import running_peers
from raft_load import new_event_loop

from replicante.client import Client
from replicante.peer_file import read_peer_file
from replicante.wire.durations import parse_duration_ms

IDLE_SECONDS = 15.0
FIRST_LOOKS_SECONDS_MAX = 120.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Of one process."""

    cpu_s: float
    anonymous_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--per-cluster", type=int, default=3)
    parser.add_argument("--interval", default="30s")
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        asyncio.Runner(loop_factory=new_event_loop) as runner,
        _agents(options.per_cluster) as url,
    ):
        runner.run(_measure(options, Path(folder), url))


@contextmanager
def _agents(per_cluster_count: int) -> Iterator[str]:
    program = Path(__file__).with_name("observe_agents.py")
    process = subprocess.Popen(
        [sys.executable, str(program), str(per_cluster_count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate()


async def _measure(options: argparse.Namespace, folder: Path, agents_url: str) -> None:
    async with running_peers(folder) as (cluster, leader):
        pids = {plan.id: _pid(plan.data_dir) for plan in cluster.plans.values()}
        idle = await _window(pids, IDLE_SECONDS)
        async with Client(cluster.urls) as client, aiohttp.ClientSession() as session:
            await _declare(client, options, agents_url)
            await _first_looks(session, agents_url, options.nodes)
            before = await _looks(session, agents_url)
            began_s = time.monotonic()
            busy = await _window(pids, options.seconds)
            took_s = time.monotonic() - began_s
            looks = await _looks(session, agents_url) - before
    interval_s = (parse_duration_ms(options.interval) or 0) / 1_000
    expected = options.nodes * took_s / interval_s
    print(
        f"{options.nodes} nodes in clusters of {options.per_cluster}, every {options.interval}:"
        f" {looks} looks in {took_s:.0f} s ({looks / expected:.2f} of what is declared)"
    )
    print("peer      idle CPU  observing CPU  idle RssAnon  observing RssAnon")
    for peer_id in sorted(pids):
        name = f"{peer_id} leads" if peer_id == leader else peer_id
        calm, work = idle[peer_id], busy[peer_id]
        print(
            f"{name:<9} {calm.cpu_s / IDLE_SECONDS:>8.1%} {work.cpu_s / took_s:>14.1%}"
            f" {calm.anonymous_mib:>9.0f} MiB {work.anonymous_mib:>14.0f} MiB"
        )


def _pid(data_dir: Path) -> int:
    found = read_peer_file(data_dir)
    assert found is not None, "a peer that is ready has written it"
    return found.pid


async def _declare(client: Client, options: argparse.Namespace, agents_url: str) -> None:
    def node(cluster: str, number: int) -> dict[str, str]:
        address = f"{agents_url}/{cluster}/n{number}"
        return {"agent_address": address, "node_class": "bench", "node_id": f"n{number}"}

    clusters = [
        {
            "cluster_id": f"c{start:05}",
            "nodes": [node(f"c{start:05}", start + i) for i in range(options.per_cluster)],
        }
        for start in range(0, options.nodes, options.per_cluster)
    ]
    await client.objects.apply(_document("Namespace", "default", {}))
    for found in clusters:
        spec = {"interval": options.interval, "mode": "active", "platform": {"name": "static"}}
        await client.objects.apply(_document("ClusterSpec", str(found["cluster_id"]), spec))
    transport = {"static": {"clusters": clusters}}
    await client.objects.apply(_document("Platform", "static", {"transport": transport}))


def _document(kind: str, name: str, spec: dict[str, object]) -> dict[str, object]:
    metadata = {"name": name}
    return {"apiVersion": "replicante.io/v0", "kind": kind, "metadata": metadata, "spec": spec}


async def _first_looks(session: aiohttp.ClientSession, url: str, nodes_count: int) -> None:
    async with asyncio.timeout(FIRST_LOOKS_SECONDS_MAX):
        while await _looks(session, url) < nodes_count:  # noqa: ASYNC110
            await asyncio.sleep(0.25)


async def _looks(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(f"{url}/looks") as response:
        return int((await response.json())["looks"])


async def _window(pids: dict[str, int], seconds: float) -> dict[str, Use]:
    before = {peer_id: _use(pid) for peer_id, pid in pids.items()}
    await asyncio.sleep(seconds)
    after = {peer_id: _use(pid) for peer_id, pid in pids.items()}
    return {
        peer_id: Use(
            cpu_s=after[peer_id].cpu_s - before[peer_id].cpu_s,
            anonymous_mib=after[peer_id].anonymous_mib,
        )
        for peer_id in pids
    }


def _use(pid: int) -> Use:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    ticks = int(fields[11]) + int(fields[12])
    return Use(cpu_s=ticks / _TICKS_PER_S, anonymous_mib=int(line.split()[1]) / 1_024)


if __name__ == "__main__":
    main()
