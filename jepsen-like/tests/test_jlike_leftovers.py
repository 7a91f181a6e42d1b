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

from jlike import equipment

LIMIT_S = 90
KINDS = ["kill", *(it for it in ("power", "clock") if not equipment.missing([it]))]


async def _until(is_true: Callable[[], bool], what: str) -> None:
    for _ in range(LIMIT_S * 10):
        if is_true():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"no {what} within {LIMIT_S} s")


def _processes_of(folder: Path) -> list[str]:
    """Command lines that name the folder."""
    found = []
    for it in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = it.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(folder) in text:
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


@pytest.mark.processes
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
async def test_nothing_stays(tmp_path, end):
    networks = set(os.listdir("/sys/class/net"))
    words = ["run", "-w", "register", "-n", ",".join(KINDS), "--time", "300", "--clients", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "jlike", "--store", str(tmp_path), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await _until(lambda: any(tmp_path.glob("*/history-register.jsonl")), "load")
        assert len(_processes_of(tmp_path)) == 4
        assert bool(_loops_of(tmp_path)) == ("power" in KINDS)
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
