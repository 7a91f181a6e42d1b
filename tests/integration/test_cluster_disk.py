"""Real peers on a file system that fills up: writes are refused and resume, nothing is lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import Cluster, running
from cluster_http import Answer
from cluster_load import Load, check_history, load
from cluster_peer import STOP_SECONDS, eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

DISK_MIB = 96
VALUE = "x" * 100_000
"""Large enough that a few writes fill what little room is left."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own at `folder`, gone afterwards. Skips where that is not allowed."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=STOP_SECONDS)


def fill(disk: Path) -> Path:
    """A file that takes all the room that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(b"\0" * 65_536)
    with ballast.open("ab", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(b"\0")
    return ballast


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@needs_root
async def test_a_full_disk_under_a_lone_peer_refuses_writes_until_there_is_room(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        async with running(disk, 1) as cluster:
            assert (await cluster.put("p1", "before", 1)).status == 201
            async with load(cluster, writers=3, counters=1, deadline_seconds=2) as callers:
                await callers.acknowledged(50)
                ballast = fill(disk)
                refused = await eventually(
                    lambda: _refused_write(cluster, "p1"), "a write to be refused"
                )
                assert (refused.status, refused.code) == (507, "disk_full")
                assert refused.definite
                assert refused.json["hints"]
                await _reads_go_on(cluster, "p1")
                await _is_alive_and_not_ready(cluster, "p1")
                await _never_acknowledges(callers)
                ballast.unlink()
                await callers.acknowledged(50)
                await cluster.ready()
            await check_history(cluster, callers.history)
            cluster.kill("p1")
            await cluster.start("p1")
            await check_history(cluster, callers.history)


@needs_root
@pytest.mark.parametrize("full_is", ["follower", "leader"])
async def test_a_full_disk_under_one_of_three_stops_nobody_else(tmp_path, full_is):
    with small_disk(tmp_path / "disk") as disk:
        async with running(tmp_path, is_started=False) as cluster:
            cluster["p1"].data_dir = disk / "p1"
            await cluster.start()
            await cluster.make_leader("p1" if full_is == "leader" else "p2")
            async with load(cluster, through=["p2", "p3"], deadline_seconds=8) as callers:
                await callers.acknowledged(50)
                ballast = fill(disk)
                await eventually(lambda: _stands_still(cluster, "p1"), "p1 to notice its full disk")
                await cluster.leader(among=["p2", "p3"])
                await callers.acknowledged(100)
                assert (await cluster.status("p1"))["is_disk_full"]
                ballast.unlink()
                await cluster.ready()
                await callers.acknowledged(50)
            await check_history(cluster, callers.history)


@needs_root
async def test_a_full_disk_at_start_is_said_and_can_be_waited_out(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        async with running(disk, 1) as cluster:
            assert (await cluster.put("p1", "before", 1)).status == 201
            cluster.kill("p1")
            ballast = fill(disk)
            peer = cluster["p1"]
            peer.log_path = tmp_path / "p1.log"
            peer.spawn()
            code = await peer.ended()
            said = peer.text()
            assert code > 0
            assert "Traceback" not in said
            assert "defect" not in said
            assert "error: " in said
            assert "room" in said or "full" in said
            ballast.unlink()
            await cluster.start("p1")
            assert (await cluster.get("p1", "before")).json["value"] == 1


async def _refused_write(cluster: Cluster, peer: str) -> Answer | None:
    answer = await cluster.put(peer, "large?timeout=2s", VALUE)
    return answer if answer.status == 507 else None


async def _reads_go_on(cluster: Cluster, peer: str) -> None:
    answer = await cluster.get(peer, "before", "?consistency=stale")
    assert answer.json["value"] == 1
    answer = await cluster.get(peer, "before", "?consistency=linearizable")
    assert (answer.status, answer.code, answer.definite) == (503, "read_timeout", True)
    assert "disk" in answer.json["detail"]  # told at once, not at the deadline
    answer = await cluster.ask(peer, "GET", "/api/v0/events?limit=5")
    assert answer.status == 200


async def _is_alive_and_not_ready(cluster: Cluster, peer: str) -> None:
    assert (await cluster.ask(peer, "GET", "/introspect/health")).status == 200
    answer = await cluster.ask(peer, "GET", "/introspect/ready")
    assert answer.status == 503
    assert "disk is full" in answer.json["detail"]
    assert (await cluster.status(peer))["is_disk_full"]


async def _never_acknowledges(callers: Load) -> None:
    """While there is no room, every answer is a refusal or says that it does not know."""
    count = len(callers.history.acknowledged)
    refused = len(callers.history.refused)
    await eventually(lambda: len(callers.history.refused) > refused + 5, "more refusals")
    assert len(callers.history.acknowledged) == count


async def _stands_still(cluster: Cluster, peer: str) -> bool:
    """Its log has no room any more: it takes no proposal."""
    answer = await cluster.put(peer, "through-the-full-one?timeout=2s", VALUE)
    assert answer.status in (200, 201, 504, 507)
    return answer.status == 507
