"""Agents as processes, each with what the contract needs to know of its store."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from agent_harness import WAIT_SECONDS, Caller

ROOT = Path(__file__).resolve().parents[2]
INIT = "agent.replicante.io/cluster.init"
CLUSTER_ID = "c1"


@dataclass
class AgentProcess:
    """command: printed as its last word is the URL of the agent, in its first line."""

    node_id: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    _process: asyncio.subprocess.Process | None = None

    async def start(self) -> str:
        """The URL."""
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            env={**os.environ, **self.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS):
            line = await self._process.stdout.readline()
        assert line, f"{self.command} ended without a word"
        return line.decode().split()[-1]

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it runs"
        self._process.send_signal(number)

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[Caller]:
        """Who calls the running agent; at the end it is killed."""
        url = await self.start()
        try:
            async with aiohttp.ClientSession() as session:
                yield Caller(session, url)
        finally:
            await self.kill()


def redis(folder: Path, *, node_id: str = "n1", port: int | None = None) -> AgentProcess:
    """The agent with its Redis server. The server outlives it: see `kill_redis`."""
    options = {
        "--node-id": node_id,
        "--cluster-id": CLUSTER_ID,
        "--data-dir": str(folder / node_id),
        "--redis-port": str(port or free_port()),
    }
    words = [word for pair in options.items() for word in pair]
    command = [sys.executable, "-m", "replicante", "agent", "redis", *words]
    return AgentProcess(node_id=node_id, command=command)


def kill_redis(folder: Path) -> None:
    """SIGKILL for every server below this folder that an agent started."""
    for pid_file in folder.glob("**/redis.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid_file.read_text()), signal.SIGKILL)
        pid_file.unlink()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def toy(folder: Path) -> AgentProcess:
    program = ROOT / "docs/tutorial/toy_agent.py"
    command = [sys.executable, str(program), "n1", str(folder / "lines"), "0"]
    return AgentProcess(node_id="n1", command=command)
