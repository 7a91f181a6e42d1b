"""The supervisor of a local cluster, over real processes that only pretend to be peers."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from replicante.clock import SystemClock
from replicante.dev import LocalCluster, Voices, check_ports, describe_exit
from replicante.dev_plan import PeerPlan, plan_peers
from replicante.errors import AddressInUse, StartRefused
from replicante.peer_file import PeerFile, read_peer_file, write_peer_file

PROGRAM = (sys.executable, str(Path(__file__).with_name("fake_peer_program.py")))


def free_base(count: int) -> int:
    """The first of so many free ports in a row."""
    for base in range(21_000 + os.getpid() % 400 * 20, 60_000, 20):
        try:
            for port in range(base, base + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


def make_plans(folder: Path, count: int = 3) -> tuple[PeerPlan, ...]:
    base = free_base(2 * count)
    return plan_peers(
        peers_count=count,
        data_dir=folder,
        http_port=base,
        raft_port=base + count,
        log_format="console",
    )


@asynccontextmanager
async def cluster(plans):
    """(cluster, log lines, notes); stopped at the end without patience."""
    lines: list[tuple[str, str]] = []
    notes: list[str] = []
    voices = Voices(log=lambda peer, line: lines.append((peer, line)), note=notes.append)
    made = LocalCluster(plans, voices=voices, clock=SystemClock(), program=PROGRAM)
    hurry = asyncio.Event()
    hurry.set()
    try:
        async with asyncio.timeout(60):
            await made.start()
            yield made, lines, notes
    finally:
        await made.stop(hurry=hurry)


async def test_it_is_ready_when_every_peer_takes_writes_and_stops_them_all(tmp_path):
    plans = make_plans(tmp_path)
    async with cluster(plans) as (made, lines, notes):
        assert await made.wait_ready() == [plan.url for plan in plans]
        pids = [made.pid(plan.id) for plan in plans]
        assert [read_peer_file(plan.data_dir).pid for plan in plans] == pids
        await made.stop()
        assert made.living == []
    assert ("p1", "p1 starts") in lines
    assert notes == []
    check_ports(plans)


async def test_a_peer_that_ends_is_reported_with_its_code_and_the_way_to_start_it(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("FAKE_PEER", "p2=exit:3")
    plans = make_plans(tmp_path)
    async with cluster(plans) as (made, lines, notes):
        assert await made.wait_ready() == [plans[0].url, plans[2].url]
        assert made.living == ["p1", "p3"]
        assert len(notes) == 1
        assert notes[0].startswith("p2 ended with exit code 3.")
        assert notes[0].endswith(plans[1].command_line)
        assert ("p2", "it says why") in lines


async def test_a_killed_peer_can_be_started_again(tmp_path):
    plans = make_plans(tmp_path)
    async with cluster(plans) as (made, _, notes):
        await made.wait_ready()
        before = made.pid("p1")
        await made.kill_peer("p1")
        assert made.pid("p1") is None
        await made.start_peer("p1")
        assert len(await made.wait_ready()) == 3
        assert made.pid("p1") not in (None, before)
        assert notes == []


async def test_without_a_majority_it_gives_up(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_PEER", "p2=exit:1,p3=exit:1")
    async with cluster(make_plans(tmp_path)) as (made, _, _notes):
        with pytest.raises(StartRefused, match="Too many peers ended"):
            await made.wait_ready()


async def test_a_peer_that_does_not_stop_is_killed_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_PEER", "p1=deaf")
    async with cluster(make_plans(tmp_path)) as (made, _, notes):
        await made.wait_ready()
        hurry = asyncio.Event()
        hurry.set()
        await made.stop(hurry=hurry)
        assert made.living == []
    assert any("p1" in note and "SIGKILL" in note for note in notes)


def test_a_port_in_use_is_named_with_the_option_that_moves_it(tmp_path):
    plans = make_plans(tmp_path)
    for plan, option in ((plans[1].http_port, "--http-port"), (plans[2].raft_port, "--raft-port")):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", plan))
            taken.listen()
            with pytest.raises(AddressInUse, match=f"Port {plan},") as caught:
                check_ports(plans)
        assert option in caught.value.hints[0]


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from replicante.clock import SystemClock
from replicante.dev import LocalCluster, Voices
from replicante.dev_plan import plan_peers

async def main():
    plans = plan_peers(peers_count=3, data_dir=Path(sys.argv[1]), http_port=int(sys.argv[2]),
                       raft_port=int(sys.argv[2]) + 3, log_format="json")
    voices = Voices(log=lambda *_: None, note=lambda _: None)
    cluster = LocalCluster(plans, voices=voices, clock=SystemClock(), program=sys.argv[3:])
    await cluster.start()
    await cluster.wait_ready()
    print(*(cluster.pid(plan.id) for plan in plans), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_no_peer_outlives_a_supervisor_that_was_killed(tmp_path):
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path), str(free_base(6)), *PROGRAM],
        stdout=subprocess.PIPE,
    )
    try:
        pids = [int(word) for word in supervisor.stdout.readline().split()]
        assert len(pids) == 3
        watched = [os.pidfd_open(pid) for pid in pids]
    finally:
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait()
        supervisor.stdout.close()

    for descriptor in watched:
        ended, _, _ = select.select([descriptor], [], [], 20)
        os.close(descriptor)
        assert ended, "a peer lives on"


def test_exits_are_described_for_people():
    assert describe_exit(3) == "with exit code 3"
    assert describe_exit(-9) == "by SIGKILL"


def test_a_peer_file_is_read_whole_or_not_at_all(tmp_path):
    peer = PeerFile(id="p1", pid=7, raft="127.0.0.1:1", http="127.0.0.1:2")
    assert read_peer_file(tmp_path) is None
    write_peer_file(tmp_path, peer)
    assert read_peer_file(tmp_path) == peer
    assert [path.name for path in tmp_path.iterdir()] == ["peer.json"]
    (tmp_path / "peer.json").write_text('{"id": "p1"')
    assert read_peer_file(tmp_path) is None
