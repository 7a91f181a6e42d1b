"""The demo over real processes: it ends well, but not when Redis lacks what it acknowledged;
nothing of it lives on, however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from docs_runner import free_ports
from local_processes import command, port_options
from test_local_cluster import speak

from replicante.platforms.local import LocalPlatform

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


def processes_of(folder: Path) -> list[str]:
    """Command lines that name this folder, of processes that are not dead."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                at = os.readlink(entry / "cwd")
            except OSError:
                continue
            if words and (str(folder) in words or at.startswith(str(folder))):
                found.append(words)
    return found


def test_the_demo_ends_well_and_its_report_says_why(tmp_path):
    with command("demo", *port_options(free_ports()), folder=tmp_path, DEMO_SECONDS="0") as demo:
        code = demo.end()
        assert (code, demo.out[-1]) == (0, "demo: ok"), demo.story()
    report = json.loads((tmp_path / "demo-report.json").read_text())
    assert report["verdict"] == "ok"
    assert report["leader_kill"]["before"] != report["leader_kill"]["after"]
    assert report["primary_kill"]["successor"] != report["primary_kill"]["node_id"]
    assert report["lost"] == []
    steps = {it["step"] for it in report["decisions"]}
    assert steps >= {"scale_up", "cluster_init", "cluster_expand", "failover", "rejoin"}
    assert any("because" in line and "refused" in line for line in demo.out), demo.story()
    assert not (tmp_path / "demo-data").exists()
    assert processes_of(tmp_path) == []


def test_a_write_that_is_missing_in_redis_fails_the_demo(tmp_path):
    with command("demo", *port_options(free_ports()), folder=tmp_path, DEMO_SECONDS="0") as demo:
        demo.wait_for(lambda line: "writes are acknowledged so far" in line)
        nodes = LocalPlatform(tmp_path / "demo-data/nodes").nodes()
        # The newest number: the first ones are in doubt, there was no replica yet.
        newest = int(speak(nodes[0].store_address, "SCARD demo:numbers")[1:])
        said = [speak(node.store_address, f"SREM demo:numbers {newest}") for node in nodes]
        assert any(it.startswith(":1") for it in said), said
        code = demo.end()
    assert code == 1, demo.story()
    assert demo.out[-1].startswith("demo: FAILED (writes: 1 of "), demo.story()
    report = json.loads((tmp_path / "demo-report.json").read_text())
    assert (report["verdict"], report["lost"]) == ("failed", [[newest, newest]])
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_is_no_success_and_leaves_nothing_alive(tmp_path, number):
    with command("demo", *port_options(free_ports()), folder=tmp_path) as demo:
        demo.wait_for(lambda line: "the platform has 1 nodes" in line)
        demo.process.send_signal(number)
        assert demo.end() == 130, demo.story()
    assert demo.out[-1] == "demo: FAILED (it was interrupted)"
    assert processes_of(tmp_path) == []


async def test_a_demo_ends_what_a_killed_one_left(tmp_path):
    options = port_options(free_ports())
    with command("demo", *options, folder=tmp_path) as demo:
        demo.wait_for(lambda line: "the platform has 1 nodes" in line)
    assert any("agent redis" in line for line in processes_of(tmp_path))
    # Its peers end by themselves: their lifeline is cut. Until then the ports are taken.
    while any("server" in line and "--peer-id" in line for line in processes_of(tmp_path)):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    with command("demo", *options, folder=tmp_path) as demo:
        demo.wait_for(lambda line: "starting 3 peers" in line)
        assert demo.interrupt() == 130, demo.story()
    assert processes_of(tmp_path) == []
