"""`replicante dev` as a person runs it: Ctrl-C ends everything, and a second start finds it all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cluster_http import Http
from cluster_peer import PORTS, STOP_SECONDS, eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

PEERS = 3


async def test_ctrl_c_stops_every_peer_and_a_second_start_finds_everything(tmp_path):
    http_port, raft_port = _bases()
    async with Http() as http:
        async with _dev(tmp_path, http_port, raft_port) as dev:
            for number, url in enumerate(dev.urls):
                answer = await http.ask(url, "PUT", f"/api/v0/kv/k{number}", json={"value": number})
                assert answer.status == 201
            pids = dev.pids()
            dev.process.send_signal(signal.SIGINT)
            assert await dev.ended() == 0
            assert not [pid for pid in pids if _lives(pid)]
            assert not list(tmp_path.glob("data/*/peer.json"))
        async with _dev(tmp_path, http_port, raft_port) as dev:
            for number, url in enumerate(reversed(dev.urls)):
                answer = await http.ask(url, "GET", f"/api/v0/kv/k{number}")
                assert answer.json["value"] == number
            dev.process.send_signal(signal.SIGTERM)
            assert await dev.ended() == 0


async def test_peers_do_not_outlive_a_killed_supervisor(tmp_path):
    async with _dev(tmp_path, *_bases()) as dev:
        pids = dev.pids()
        dev.process.kill()
        assert await dev.ended() == -signal.SIGKILL
        await eventually(lambda: not [pid for pid in pids if _lives(pid)], "the end of all peers")


async def test_a_peer_that_is_killed_is_told_of_and_not_started_again(tmp_path):
    async with Http() as http, _dev(tmp_path, *_bases()) as dev:
        os.kill(dev.pids()[0], signal.SIGKILL)
        await eventually(lambda: "p1 ended by SIGKILL" in dev.text(), "to be told of the end")
        assert "this starts it: replicante server --peer-id p1" in dev.text()
        assert await eventually(
            lambda: _writes(http, dev.urls[1]), "writes to go on without the killed peer"
        )
        assert len([pid for pid in dev.pids() if _lives(pid)]) == PEERS - 1


class _Dev:
    def __init__(self, process: subprocess.Popen, folder: Path, http_port: int) -> None:
        self.process = process
        self.folder = folder
        self.urls = [f"http://127.0.0.1:{http_port + number}" for number in range(PEERS)]

    def text(self) -> str:
        return (self.folder / "dev.log").read_text("utf-8", "replace")

    def pids(self) -> list[int]:
        files = sorted(self.folder.glob("data/*/peer.json"))
        assert len(files) == PEERS
        return [json.loads(file.read_text())["pid"] for file in files]

    async def ended(self) -> int:
        await eventually(lambda: self.process.poll() is not None, "the end of dev", seconds=20)
        return self.process.returncode


@asynccontextmanager
async def _dev(folder: Path, http_port: int, raft_port: int):
    """A cluster that said `ready:`; its processes are gone afterwards, whatever happened."""
    command = [sys.executable, "-m", "replicante", "dev", "--data-dir", str(folder / "data")]
    command += ["--http-port", str(http_port), "--raft-port", str(raft_port)]
    with (folder / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    dev = _Dev(process, folder, http_port)
    pids: list[int] = []
    try:
        await eventually(lambda: process.poll() is not None or "\nready: " in dev.text(), "ready")
        assert process.poll() is None, dev.text()
        pids = dev.pids()
        yield dev
        assert "Traceback" not in dev.text()
    except BaseException:
        print(dev.text()[-5_000:])
        raise
    finally:
        # The peers end with their supervisor; those of a test that failed are ended by pid.
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=STOP_SECONDS)
        if process.poll() is None:
            process.kill()
            process.wait(timeout=STOP_SECONDS)
        for pid in pids:
            if _lives(pid):
                os.kill(pid, signal.SIGKILL)


async def _writes(http: Http, url: str) -> bool:
    answer = await http.ask(url, "PUT", "/api/v0/kv/on?timeout=2s", json={"value": 1})
    return answer.status < 400


def _lives(pid: int) -> bool:
    """A process that ended and was not waited for yet is gone, too."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
    return state != "Z" and "replicante" in command


def _bases() -> tuple[int, int]:
    """Bases of two rows of free ports."""
    row: list[int] = []
    while len(row) < 2 * PEERS:
        port = PORTS.take()
        row = [*row, port] if row and port == row[-1] - 1 else [port]
    row.reverse()
    return row[0], row[PEERS]
