"""One real peer as a child process: its ports, its flags, its log, its end.

Used by `cluster`. Rules: a process is ended by its own pid, also while it is stopped, also when
the test process is killed; waiting is always for a condition, with a limit (`eventually`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

HOST = "127.0.0.1"
WAIT_SECONDS = 30
STOP_SECONDS = 20
POLL_SECONDS = 0.02
PORTS_PER_BLOCK = 40
FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Below the ports that the system gives to clients, so that no connection takes one of ours."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


async def eventually(
    check: Callable[[], object | Awaitable[object]], what: str, *, seconds: float = WAIT_SECONDS
):
    """The first true result of `check`, asked again and again. An AssertionError of `check` counts
    as no, and is told when the time runs out."""
    deadline = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            last = check()
            if asyncio.iscoroutine(last):
                last = await last
            if last:
                return last
        except AssertionError as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what} (last: {last!r})")
        await asyncio.sleep(POLL_SECONDS)


class Ports:
    """Free loopback ports that no other test process on this machine takes: a block of them is
    locked until this process ends."""

    def __init__(self) -> None:
        self._locks: list[IO[str]] = []
        self._free: list[int] = []

    def take(self) -> int:
        while not self._free:
            self._lock_block()
        port = self._free.pop()
        return port if _is_free(port) else self.take()

    def _lock_block(self) -> None:
        folder = Path(tempfile.gettempdir()) / "replicante-test-ports"
        folder.mkdir(mode=0o777, exist_ok=True)
        blocks = list(range(FIRST_PORT, LAST_PORT, PORTS_PER_BLOCK))
        random.shuffle(blocks)
        for first in blocks:
            lock = (folder / str(first)).open("w")
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._locks.append(lock)
                self._free = list(range(first, first + PORTS_PER_BLOCK))
                return
            lock.close()
        raise AssertionError("no free ports")


PORTS = Ports()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _end_with_parent() -> None:
    """Between fork and exec: also a stopped peer goes when the test process is killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass(slots=True, kw_only=True)
class PeerProcess:
    """One peer of a test: its settings as flags, and its process while there is one."""

    id: str
    http_port: int
    raft_port: int
    data_dir: Path
    log_path: Path
    members: str
    cluster_name: str = "default"
    raft_host: str = HOST
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None
    is_frozen: bool = False
    log_start: int = 0
    """Where the lines of the present process begin."""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def command(self) -> list[str]:
        listen = f"{self.raft_host}:{self.raft_port}"
        settings = {
            "--peer-id": self.id,
            "--peer-data-dir": str(self.data_dir),
            "--peer-cluster": self.cluster_name,
            "--raft-listen": listen,
            "--raft-peers": self.members,
            "--storage-log-reserve-bytes": "0",  # folders of many tests are kept
            "--http-listen": f"{HOST}:{self.http_port}",
        }
        pairs = [part for pair in settings.items() for part in pair]
        return [sys.executable, "-m", "replicante", "server", *pairs, *self.flags]

    def spawn(self) -> None:
        assert not self.is_alive, f"{self.id} runs"
        kept = {name: text for name, text in os.environ.items() if "REPLICANTE" not in name}
        with self.log_path.open("ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(
                [*self.command, "--until-stdin-closes"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=kept | self.environment,
                preexec_fn=_end_with_parent,
            )
        self.is_frozen = False

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.is_frozen = number is signal.SIGSTOP or (
            self.is_frozen and number is not signal.SIGCONT
        )

    async def ended(self, *, seconds: float = STOP_SECONDS) -> int:
        """The exit code, once there is one; the process is forgotten then."""
        process = self.process
        assert process is not None
        await eventually(
            lambda: process.poll() is not None, f"the end of {self.id}", seconds=seconds
        )
        self._forget()
        return process.returncode

    def end_now(self) -> None:
        """Whatever state it is in."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(timeout=STOP_SECONDS)
            self._forget()

    def _forget(self) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process, self.is_frozen = None, False

    def text(self) -> str:
        """What the present process, or the last one, printed."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self.log_start)
            return log.read().decode("utf-8", "replace")

    def lines(self) -> list[dict]:
        """Its log lines, oldest first; what is no JSON is left out."""
        found = []
        for line in self.text().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]
