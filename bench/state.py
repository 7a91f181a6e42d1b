"""Measures a peer as a whole: its memory, its start, its first page, alone and with many records.

    python bench/state.py [--records 1000000] [--value-bytes 100] [--peers 3] [--folder DIR]

Peers as processes. Memory is RssAnon: what the process has of its own, without pages of files,
which the system takes back when it needs them. A restart counts from the start of the process until
it says that it is ready, after SIGKILL. What apply and a claim cost is measured by bench/apply.py
and bench/work_queue.py.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from peers import running_peers
from raft_load import new_event_loop

from replicante.client import Client, Read
from replicante.dev import LocalCluster
from replicante.errors import ReplicanteError
from replicante.wire.batch import BatchKvPut
from replicante.wire.headers import Consistency

BATCH_RECORDS = 1_000
CALLERS = 4
SETTLE_SECONDS = 10.0
"""After which nothing is flushed any more."""
PAGES = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--peers", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where data directories go; a real disk")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        runner.run(_measure(options, Path(folder)))


async def _measure(options: argparse.Namespace, folder: Path) -> None:
    async with running_peers(folder, count=options.peers) as (cluster, leader):
        last = next(it for it in reversed(cluster.plans) if it != leader or len(cluster.plans) == 1)
        await asyncio.sleep(SETTLE_SECONDS)
        _report("idle", _memory(cluster))
        print(f"restart, empty: {await _restart(cluster, last):.1f} s")
        async with Client(cluster.urls) as client:
            took_s = await _fill(client, options)
        rate = options.records / took_s
        print(f"{options.records} records of {options.value_bytes} bytes: {rate:,.0f} a second")
        await asyncio.sleep(SETTLE_SECONDS)
        _report("filled", _memory(cluster))
        print(f"restart, filled: {await _restart(cluster, last):.1f} s")
        await asyncio.sleep(SETTLE_SECONDS)
        _report("after the restart of " + last, _memory(cluster))
        async with Client([cluster.plans[last].url]) as client:
            for level in (Consistency.LINEARIZABLE, Consistency.STALE):
                times = await _pages(client, level)
                print(
                    f"first page, {level.value}: p50 {statistics.median(times):.1f} ms,"
                    f" worst of {PAGES} {max(times):.1f} ms"
                )
        _report("after the pages", _memory(cluster))


async def _fill(client: Client, options: argparse.Namespace) -> float:
    """Seconds that it took."""
    value = "v" * (options.value_bytes - 2)
    starts = iter(range(0, options.records, BATCH_RECORDS))

    async def caller() -> None:
        for start in starts:
            numbers = range(start, min(start + BATCH_RECORDS, options.records))
            await client.batch(
                [BatchKvPut(key=f"bench/{number:012}", value=value) for number in numbers]
            )

    began_s = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return time.perf_counter() - began_s


async def _restart(cluster: LocalCluster, peer_id: str) -> float:
    await cluster.kill_peer(peer_id)
    began_s = time.perf_counter()
    await cluster.start_peer(peer_id)
    async with Client([cluster.plans[peer_id].url]) as client:
        while True:
            try:
                status = await client.raft_status(cluster.plans[peer_id].url)
                if status.is_ready:
                    return time.perf_counter() - began_s
            except ReplicanteError:
                pass
            await asyncio.sleep(0.02)


async def _pages(client: Client, level: Consistency) -> list[float]:
    """Milliseconds of each, as the caller of the SDK sees them."""
    times = []
    for _ in range(PAGES):
        began_s = time.perf_counter()
        page = await client.kv.page("bench/", read=Read(consistency=level))
        times.append((time.perf_counter() - began_s) * 1_000)
        assert page.items, "the records are there"
    return times


def _report(when: str, memory_mib: dict[str, float]) -> None:
    figures = ", ".join(f"{peer} {mib:.0f} MiB" for peer, mib in memory_mib.items())
    print(f"RssAnon, {when}: {figures}")


def _memory(cluster: LocalCluster) -> dict[str, float]:
    return {peer: _anonymous_mib(cluster.pid(peer)) for peer in cluster.living}


def _anonymous_mib(pid: int | None) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("RssAnon:")]
    return int(line.split()[1]) / 1_024


if __name__ == "__main__":
    main()
