"""Power cuts under load, on a real file system: what was acknowledged is there afterwards.

A SIGKILL leaves the system's cache in place and so proves nothing about the disk; here the cache is
thrown away with the processes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cluster import Cluster, running
from cluster_load import History, check_history, load
from power_disk import PowerDisk, power_disk

pytestmark = [pytest.mark.processes, pytest.mark.timeout(110)]

CUTS = 3


@asynccontextmanager
async def running_on_disk(
    folder: Path, count: int, *, on_disk: tuple[str, ...]
) -> AsyncIterator[tuple[Cluster, PowerDisk]]:
    """A cluster of which these peers keep their data where the power can be cut."""
    with power_disk(folder, "disk") as disk:
        async with running(folder, count, is_started=False) as cluster:
            for peer_id in on_disk:
                cluster[peer_id].data_dir = disk.path / peer_id
            await cluster.start()
            yield cluster, disk


async def cut_and_return(cluster: Cluster, disk: PowerDisk) -> None:
    """Every process dies with the power, and starts again with what the disk has."""
    disk.cut()
    cluster.kill(*cluster.ids)
    disk.restore()
    await cluster.start()


@pytest.mark.parametrize("count", [1, 3])
async def test_a_power_cut_under_every_peer_loses_no_acknowledged_write(tmp_path: Path, count: int):
    ids = tuple(f"p{number}" for number in range(1, count + 1))
    histories: list[History] = []
    async with running_on_disk(tmp_path, count, on_disk=ids) as (cluster, disk):
        for cut in range(CUTS):
            async with load(cluster, name=f"cut{cut}", writers=4, counters=1) as callers:
                await callers.acknowledged(100)
                await cut_and_return(cluster, disk)
                await callers.acknowledged(20)
            histories.append(callers.history)
            await check_history(cluster, *histories)


async def test_a_leader_that_loses_its_disk_ends_and_comes_back_with_its_promises(tmp_path: Path):
    """The others go on meanwhile: a disk that fails under one peer is no outage."""
    async with running_on_disk(tmp_path, 3, on_disk=("p1",)) as (cluster, disk):
        await cluster.make_leader("p1")
        async with load(cluster, writers=4, counters=1) as callers:
            await callers.acknowledged(100)
            disk.cut()
            code = await cluster["p1"].ended()
            assert code != 0
            assert "cannot be written" in cluster["p1"].text()
            await cluster.leader(not_one_of=["p1"])
            await callers.acknowledged(100)
            disk.restore()
            await cluster.start("p1")
            await callers.acknowledged(20)
        await check_history(cluster, callers.history)
