"""The main job on real Redis servers: a declared cluster is made, begun, expanded; its primary is
killed, replaced, and comes back as a replica that takes no write, although the leader of the
control plane is killed in the same instant. A node that is gone for good is replaced by another,
and one that is asked for no more leaves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from cluster_peer import HOST, PORTS

from replicante.agents.by_hand import AgentsByHand
from replicante.client import Client
from replicante.errors import Unreachable
from replicante.platforms.local import LocalNode, LocalPlatform

pytestmark = pytest.mark.processes

WAIT_SECONDS = 40
EXAMPLE = Path(__file__).parents[2] / "docs/examples/redis-cluster.yaml"
DIRECTORY = "./playground-data"
"""Where the example puts its nodes."""


def ports_in_a_row(count: int) -> int:
    """The first of them."""
    ports = sorted(PORTS.take() for _ in range(count))
    return ports[0] if ports[-1] - ports[0] == count - 1 else ports_in_a_row(count)


@contextmanager
def control_plane(folder: Path, *, peers: int) -> Iterator[str]:
    """Peers whose data is in `folder/peers`; their URLs, with commas. Ends with the test."""
    http, raft = ports_in_a_row(peers), ports_in_a_row(peers)
    words = ["--peers", str(peers), "--data-dir", str(folder / "peers")]
    ports = ["--http-port", str(http), "--raft-port", str(raft)]
    with (folder / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "replicante", "dev", *words, *ports],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield ",".join(f"http://{HOST}:{http + number}" for number in range(peers))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


async def kill_the_leader(urls: str, folder: Path) -> None:
    """With SIGKILL."""
    async with Client(urls.split(",")) as client:
        leader = (await client.status()).leader
    assert leader is not None
    facts = json.loads((folder / "peers" / leader / "peer.json").read_text())
    os.kill(facts["pid"], signal.SIGKILL)


async def applied(url: str, file: Path) -> None:
    """Repeated until the peer is ready."""
    command = [sys.executable, "-m", "replicante", "apply", "-f", str(file), "--endpoints", url]
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            process = await asyncio.create_subprocess_exec(*command)
            if await process.wait() == 0:
                return


async def roles(agents: AgentsByHand, nodes: list[LocalNode]) -> dict[str, tuple[str, str | None]]:
    """Node → role and whom it follows, of those that tell."""
    found = {}
    for node in nodes:
        try:
            said = await agents.get(node.agent_address, "info/shards")
        except Unreachable:
            continue
        if said is not None:
            (shard,) = said["shards"]
            upstream = shard["upstream"] or {}
            found[node.node_id] = (shard["role"], upstream.get("address"))
    return found


async def formed(
    agents: AgentsByHand, platform: LocalPlatform, *, without: str = "", replicas: int = 2
) -> LocalNode:
    """The primary, once there are no other nodes than one primary and so many replicas that follow
    it, and it is not `without`."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            nodes = platform.nodes()
            seen = await roles(agents, nodes)
            primaries = [it for it in nodes if seen.get(it.node_id, ("", None))[0] == "primary"]
            if len(primaries) == 1 and primaries[0].node_id != without:
                follows = ("secondary", primaries[0].store_address)
                are_all = len(nodes) == replicas + 1
                if are_all and list(seen.values()).count(follows) == replicas:
                    return primaries[0]
            await asyncio.sleep(0.1)


@asynccontextmanager
async def explained(url: str) -> AsyncIterator[None]:
    """A wait in vain fails with what the control plane has to say."""
    try:
        yield
    except TimeoutError:
        words = ["explain", "cluster", "default", "c1", "--endpoints", url]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "replicante", *words, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        pytest.fail(said.decode())


def speak(address: str, words: str) -> str:
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as link:
        link.sendall(f"{words}\r\n".encode())
        return link.recv(4_096).decode()


def write_declaration(file: Path, platform: LocalPlatform, **changes: str) -> None:
    """changes: word of the example → what stands there instead."""
    text = EXAMPLE.read_text()
    for word, other in {DIRECTORY: str(platform.directory), **changes}.items():
        assert word in text
        text = text.replace(word, other)
    file.write_text(text)


SETTING = "CONFIG GET min-replicas-to-write"
PROTECTED = {"graces: {": "policies: {protect_writes: true}\n    graces: {"}


async def protects_writes(node: LocalNode) -> None:
    """Returns when it does."""
    async with asyncio.timeout(WAIT_SECONDS):
        while "\r\n1\r\n" not in speak(node.store_address, SETTING):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_declared_redis_is_made_and_survives_its_primary(tmp_path):
    platform = LocalPlatform(tmp_path / "nodes")
    file = tmp_path / "cluster.yaml"
    write_declaration(file, platform)
    try:
        with control_plane(tmp_path, peers=3) as urls:
            await applied(urls, file)
            async with AgentsByHand() as agents, explained(urls):
                primary = await formed(agents, platform)
                assert speak(primary.store_address, "SET kept yes").startswith("+OK")
                assert speak(primary.store_address, "WAIT 2 0").startswith(":2")
                write_declaration(file, platform, **PROTECTED)
                await applied(urls, file)
                await protects_writes(primary)
                platform.signal_store(primary.node_id, signal.SIGKILL)
                await kill_the_leader(urls, tmp_path)
                successor = await formed(agents, platform, without=primary.node_id)
                assert successor.node_id != primary.node_id
                await protects_writes(successor)
                assert "yes" in speak(successor.store_address, "GET kept")
                assert "READONLY" in speak(primary.store_address, "SET stray 1")
    finally:
        platform.clean()


def kill_the_machine(platform: LocalPlatform, node: LocalNode) -> None:
    """Agent and store, for good."""
    folder = platform.directory / node.cluster_id / node.node_id
    pid, _birth = json.loads((folder / "agent.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    platform.signal_store(node.node_id, signal.SIGKILL)


async def test_a_node_that_is_gone_is_replaced_and_one_too_many_leaves(tmp_path):
    platform = LocalPlatform(tmp_path / "nodes")
    file = tmp_path / "cluster.yaml"
    leaving = {
        "graces: {": "steps: {replace_node: true, scale_down: true}\n"
        "    policies: {quiet_period: 0s}\n"
        "    graces: {scale_down: 1s, replace_node: 2s, "
    }
    write_declaration(file, platform, **leaving)
    try:
        with control_plane(tmp_path, peers=1) as urls:
            await applied(urls, file)
            async with AgentsByHand() as agents, explained(urls):
                primary = await formed(agents, platform)
                assert speak(primary.store_address, "SET kept yes").startswith("+OK")
                lost = next(it for it in platform.nodes() if it.node_id != primary.node_id)
                kill_the_machine(platform, lost)
                assert await formed(agents, platform) == primary
                assert lost not in platform.nodes()
                write_declaration(file, platform, **leaving, **{"count: 3": "count: 2"})
                await applied(urls, file)
                assert await formed(agents, platform, replicas=1) == primary
                assert "yes" in speak(primary.store_address, "GET kept")
                (copy,) = [it for it in platform.nodes() if it != primary]
                assert "yes" in speak(copy.store_address, "GET kept")
    finally:
        platform.clean()
