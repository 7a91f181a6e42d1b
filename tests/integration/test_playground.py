"""The playground as its user runs it: real Redis servers under agents, made and removed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicante.errors import Conflict, Invalid
from replicante.platforms.local import LocalPlatform

pytestmark = pytest.mark.processes


def request(*, count: int, cluster_id: str = "c", store: str = "redis", group: str = "g") -> dict:
    cluster = {"cluster_id": cluster_id, "store": store, "nodes": {"g": {"node_class": "small"}}}
    return {"cluster": cluster, "provision": {"node_group_id": group, "count": count}}


@pytest.fixture
def platform(tmp_path) -> Iterator[LocalPlatform]:
    made = LocalPlatform(tmp_path / "nodes")
    try:
        yield made
    finally:
        made.clean()


def playground(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "replicante", "playground", *words, "--dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(text: str) -> dict[str, list[str]]:
    """Node → status, role, store address, agent address, …"""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def speak(address: str, *words: str) -> str:
    """One command to a Redis server, in its own words."""
    host, port = address.split(":")
    parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.create_connection((host, int(port)), timeout=30) as link:
        link.sendall(f"*{len(words)}\r\n{parts}".encode())
        return link.recv(4_096).decode().strip()


def lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_a_playground_is_made_hurt_ended_and_begun_again_with_its_data(tmp_path, platform):
    folder = tmp_path / "nodes"
    seen = rows(playground(folder, "up", "redis", "--nodes", "3"))
    assert sorted(row[1] for row in seen.values()) == ["primary", "secondary", "secondary"]
    primary = next(name for name, row in seen.items() if row[1] == "primary")
    address = seen[primary][2]
    assert speak(address, "SET", "kept", "yes") == "+OK"
    victim = next(name for name in seen if name != primary)
    playground(folder, "kill", victim)
    assert rows(playground(folder, "list"))[victim][0] == "UNAVAILABLE"
    pids = [int(path.read_text()) for path in folder.glob("**/redis.pid")]
    playground(folder, "down")
    assert not [pid for pid in pids if lives(pid)]
    again = rows(playground(folder, "up", "redis", "--nodes", "3"))
    assert set(again) == set(seen)
    assert again[primary][1] == "primary"
    assert speak(address, "GET", "kept").endswith("yes")
    playground(folder, "clean")
    assert playground(folder, "list") == ""
    assert not list(folder.glob("*/*"))


def test_a_repeat_of_a_request_makes_nothing_twice_and_a_new_process_sees_the_same(platform):
    first = platform.provision(request(count=1), request_id="a")
    assert platform.provision(request(count=1), request_id="a") == first
    second = platform.provision(request(count=1), request_id="b")
    assert first["node_ids"] != second["node_ids"]
    (cluster,) = LocalPlatform(platform.directory).discover()["clusters"]
    assert [node["node_id"] for node in cluster["nodes"]] == ["c-1", "c-2"]
    assert cluster["nodes"][0]["node_class"] == "small"
    assert all(platform.is_agent_alive(node) for node in platform.nodes())


def test_a_node_that_was_removed_stays_away_and_its_id_is_not_given_again(platform):
    platform.provision(request(count=1), request_id="a")
    for _ in range(2):
        platform.deprovision({"cluster_id": "c", "node_id": "c-1"})
    assert platform.discover() == {"clusters": []}
    assert platform.provision(request(count=1), request_id="b")["node_ids"] == ["c-2"]


def test_the_process_of_another_program_is_never_signalled(platform):
    platform.provision(request(count=1), request_id="a")
    (node,) = platform.nodes()
    platform.stop()
    (platform.directory / "c" / "c-1" / "agent.pid").write_text(f'[{os.getpid()}, "1"]')
    assert not platform.is_agent_alive(node)
    (platform.directory / "c" / "c-1" / "data" / "redis").mkdir(parents=True, exist_ok=True)
    (platform.directory / "c" / "c-1" / "data" / "redis" / "redis.pid").write_text(str(os.getpid()))
    with pytest.raises(Conflict):
        platform.signal_store("c-1", signal.SIGKILL)
    platform.stop()


@pytest.mark.parametrize(
    "bad",
    [
        None,
        {},
        request(count=0),
        request(count=1, group="other"),
        request(count=1, store="unknown"),
        request(count=1, cluster_id="../c"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused_and_makes_nothing(platform, bad):
    with pytest.raises(Invalid):
        platform.provision(bad, request_id="a")
    assert platform.discover() == {"clusters": []}


async def test_a_store_that_wrote_no_number_down_yet_ends_with_its_node(platform):
    platform.provision(request(count=1), request_id="r")
    (node,) = platform.nodes()
    folder = platform.directory / "c" / node.node_id / "data/redis"
    while not (folder / "redis.pid").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    pid = int((folder / "redis.pid").read_text())
    (folder / "redis.pid").unlink()
    shell = subprocess.Popen(["sleep", "60"], cwd=folder)
    try:
        platform.deprovision({"cluster_id": "c", "node_id": node.node_id})
        assert not lives(pid)
        assert lives(shell.pid)
    finally:
        shell.kill()
        shell.wait()
