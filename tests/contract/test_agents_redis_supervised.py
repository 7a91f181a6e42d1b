"""The Redis agent beside a supervisor that starts the server again whenever it ends, behind the
agent's back: a primary that was ended comes back as a copy and takes no write until it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agent_processes import INIT
from test_agents_redis import Node, accepts_writes, until

from replicante.agents.stores.redis.program import find_program
from replicante.model import action_kinds as kinds

pytestmark = pytest.mark.processes

KEEPER = Path(__file__).with_name("redis_keeper.py")
SCRIPT = "scripts.example.com/greet"


def keeper(node: Node, verb: str) -> list[str]:
    return [sys.executable, "-S", str(KEEPER), find_program(), str(node.pid_file.parent), verb]


def configure(folder: Path, node: Node) -> None:
    """Has its agent take a supervisor and a script."""
    words = {verb: keeper(node, verb) for verb in ("status", "start", "stop")}
    lines = [f"{verb} = {json.dumps(it)}" for verb, it in words.items()]
    greet = {"description": "Greet.", "command": ["echo", "hello {name}"]}
    lines += [f'[scripts."{SCRIPT}"]', *(f"{it} = {json.dumps(of)}" for it, of in greet.items())]
    file = folder / f"{node.process.node_id}.toml"
    file.write_text("\n".join(["[supervision.commands]", *lines, "args.name = {}"]) + "\n")
    node.process.command += ["--config", str(file)]


@contextlib.asynccontextmanager
async def supervised(folder: Path, *node_ids: str) -> AsyncIterator[tuple[Node, ...]]:
    """The first is the primary, the others follow it."""
    nodes = tuple(Node(folder, it) for it in node_ids)
    try:
        async with contextlib.AsyncExitStack() as stack:
            for node in nodes:
                configure(folder, node)
                node.agent = await stack.enter_async_context(node.process.calling())
                await until(lambda node=node: answers(node))
            await nodes[0].succeeds(INIT)
            for node in nodes[1:]:
                await node.succeeds(kinds.CLUSTER_JOIN, node=nodes[0].member)
            yield nodes
    finally:
        for node in nodes:
            with contextlib.suppress(ValueError, OSError):
                node.signal(signal.SIGKILL)
            await asyncio.to_thread(subprocess.run, keeper(node, "stop"), check=False)


async def answers(node: Node) -> bool:
    return (await node.says())["contact"] == "answers"


async def comes_back(node: Node, before: str) -> None:
    """As another process."""

    async def is_another() -> bool:
        with contextlib.suppress(OSError):
            return node.pid_file.read_text() not in ("", before) and await answers(node)
        return False

    await until(is_another)


async def test_a_primary_that_is_started_behind_its_agents_back_takes_no_write(tmp_path):
    async with supervised(tmp_path, "n1", "n2") as (n1, n2):
        await n1.command("SET", "kept", "1")
        await n1.command("WAIT", 1, 0)
        before = n1.pid_file.read_text()
        n1.signal(signal.SIGKILL)
        await comes_back(n1, before)
        assert not await accepts_writes(n1)
        assert (await n1.shard())["role"] == "secondary"

        await n2.succeeds(kinds.STORE_PROMOTE, shard_id="all", replaces="n1")
        await n1.succeeds(kinds.STORE_REJOIN, node=n2.member)
        before = n1.pid_file.read_text()
        n1.signal(signal.SIGKILL)
        await comes_back(n1, before)
        assert (await n1.shard())["upstream"]["address"] == n2.member
        assert await n1.command("GET", "kept") == "1"


async def test_a_silent_primary_that_is_ended_comes_back_as_a_copy(tmp_path):
    async with supervised(tmp_path, "n1") as (n1,):
        before = n1.pid_file.read_text()
        n1.signal(signal.SIGSTOP)
        await n1.succeeds(kinds.STORE_FENCE, shard_id="all", replaces="n1")
        await comes_back(n1, before)
        assert not await accepts_writes(n1)
        assert "it answers" in await n1.fails(kinds.STORE_FENCE)


async def test_a_server_is_stopped_and_started_through_its_supervisor(tmp_path):
    async with supervised(tmp_path, "n1") as (n1,):
        await n1.says()
        await n1.succeeds(kinds.SERVICE_STOP)
        says = await n1.says()
        assert (says["contact"], says["attributes"]["replicante.io/service.state"]) == (
            "refused",
            "stopped",
        )
        assert says["attributes"]["redis.io/last.role"] == "primary"
        assert says["attributes"]["redis.io/last.memory.used"] > 0
        settings = {"maxmemory": 50_000_000}
        await n1.succeeds(kinds.SERVICE_START)
        await n1.succeeds(kinds.STORE_CONFIGURE, settings=settings)
        before = n1.pid_file.read_text()
        await n1.succeeds(kinds.SERVICE_RESTART)
        assert n1.pid_file.read_text() != before
        assert await n1.command("CONFIG", "GET", "maxmemory") == {"maxmemory": "50000000"}
        assert not await accepts_writes(n1)
        ended = await n1.does(SCRIPT, name="you")
        assert ended["state"]["payload"]["output"] == "hello you"


async def test_settings_are_those_of_a_server_that_somebody_else_starts_next(tmp_path):
    async with supervised(tmp_path, "n1") as (n1,):
        await n1.succeeds(kinds.STORE_CONFIGURE, settings={"maxmemory": 60_000_000})
        before = n1.pid_file.read_text()
        n1.signal(signal.SIGKILL)
        await comes_back(n1, before)
        assert await n1.command("CONFIG", "GET", "maxmemory") == {"maxmemory": "60000000"}
