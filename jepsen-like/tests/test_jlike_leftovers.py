"""However a run is ended, nothing of it stays: no process, no mount, no loop device, no network."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jlike import equipment, redis_cluster

LIMIT_S = 90
NO_REDIS = redis_cluster.why_no_redis()
KINDS = ["kill", *(it for it in ("power", "clock") if not equipment.missing([it]))]


async def _until(is_true: Callable[[], bool], what: str) -> None:
    for _ in range(LIMIT_S * 10):
        if is_true():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"no {what} within {LIMIT_S} s")


def _processes_of(folder: Path) -> list[str]:
    """Command lines that name the folder, or work in it."""
    found = []
    for it in Path("/proc").glob("[0-9]*"):
        try:
            text = (it / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            place = str((it / "cwd").readlink())
        except OSError:
            continue
        if str(folder) in text or place.startswith(f"{folder}{os.sep}"):
            found.append(text)
    return found


def _loops_of(folder: Path) -> list[str]:
    found = []
    for it in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            text = it.read_text("utf-8")
        except OSError:
            continue
        if str(folder) in text:
            found.append(text)
    return found


def _all_is_there(folder: Path) -> bool:
    """The suite and three peers, on disks that can lose their power where there are any."""
    has_disks = bool(_loops_of(folder)) == ("power" in KINDS)
    return len(_processes_of(folder)) == 4 and has_disks


def _started(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """As from a terminal, also when these tests run under `nohup`, of which the suite is to know
    nothing: a signal that is ignored here would be ignored by it, too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "jlike", "--store", str(folder), "run", *words, "--time", "300"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.processes
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_nothing_stays(tmp_path, end):
    networks = set(os.listdir("/sys/class/net"))
    process = _started(tmp_path, "-w", "register", "-n", ",".join(KINDS), "--clients", "2")
    try:
        await _until(lambda: any(tmp_path.glob("*/history-register.jsonl")), "load")
        await _until(lambda: _all_is_there(tmp_path), "moment that no fault has a peer down")
        process.send_signal(end)
        await _until(lambda: process.poll() is not None, "end of the suite")
        await _until(lambda: not _processes_of(tmp_path), "end of the peers")
        await _until(lambda: not _loops_of(tmp_path), "free loop device")
        assert str(tmp_path) not in Path("/proc/mounts").read_text("utf-8")
        assert set(os.listdir("/sys/class/net")) == networks
        assert not list(tmp_path.glob("*/peers/*/disk.img"))
        if end is not signal.SIGKILL:
            assert process.returncode == 3, "no verdict"
    finally:
        process.kill()
        process.wait()


@pytest.mark.processes
@pytest.mark.skipif(bool(NO_REDIS), reason=NO_REDIS)
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
async def test_nothing_stays_of_what_peers_started(tmp_path, end):
    """Agents and servers belong to nobody: no kernel ends them with the suite."""
    process = _started(tmp_path, "-w", "redis", "-n", "kill", "--clients", "2", "--rate", "20")
    try:
        servers = "redis-server"
        await _until(lambda: sum(servers in it for it in _processes_of(tmp_path)) >= 2, servers)
        process.send_signal(end)
        await _until(lambda: process.poll() is not None, "end of the suite")
        await _until(lambda: not _processes_of(tmp_path), "end of agents and servers")
        assert end is signal.SIGKILL or process.returncode == 3, "no verdict"
    finally:
        process.kill()
        process.wait()
