"""The peers of `replicante dev` are gone when it is, however it ended."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from cluster_peer import eventually
from docs_runner import free_ports
from local_processes import command, port_options

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_no_peer_outlives_its_supervisor(tmp_path, number):
    with command("dev", *port_options(free_ports()), folder=tmp_path) as dev:
        dev.wait_for(lambda line: line.startswith("ready: "))
        files = sorted(tmp_path.glob("dev-data/*/peer.json"))
        pids = [json.loads(file.read_text())["pid"] for file in files]
        assert len(pids) == 3
        assert all(_lives(pid) for pid in pids)
        dev.process.send_signal(number)
        code = dev.end()
        assert code == (0 if number is not signal.SIGKILL else -signal.SIGKILL), dev.story()
        await eventually(lambda: not any(_lives(pid) for pid in pids), "the end of all peers")


def _lives(pid: int) -> bool:
    """A process that ended and was not waited for yet is gone, too."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        command_line = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
    return state != "Z" and "replicante" in command_line
