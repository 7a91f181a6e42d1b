"""Peers of one run as child processes: ports, folders, logs, and their certain end.

Used by `jlike.runner`. A process ends with this one, however this one ends: its stdin closes, and
the kernel kills it. Only the command line of what is tested is known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from jlike.links import Links

HOST = "127.0.0.1"
COMMAND = (sys.executable, "-m", "replicante", "server")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass(slots=True, kw_only=True)
class Peer:
    """One peer: where it is, and its process while there is one."""

    id: str
    url: str
    command: tuple[str, ...] = ()
    log_path: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def state(self) -> str:
        """Of the process, as the kernel names it: T is stopped, - is none."""
        if not self.is_alive or self.process is None:
            return "-"
        text = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        return text.rpartition(")")[2].split()[0]

    def start(self) -> None:
        assert self.log_path is not None
        if self.is_alive:
            return
        environment = {name: text for name, text in os.environ.items() if "REPLICANTE" not in name}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--until-stdin-closes"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                preexec_fn=_end_with_parent,
            )
        self.starts += 1

    def signal(self, number: signal.Signals) -> None:
        if self.is_alive and self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """It is gone, whatever state it was in."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


@dataclass(slots=True, kw_only=True)
class Peers:
    """All peers of a run and the links between them. links: none when others started the peers."""

    by_id: dict[str, Peer] = field(default_factory=dict)
    links: Links | None = None

    @property
    def ids(self) -> list[str]:
        return sorted(self.by_id)

    def __getitem__(self, peer_id: str) -> Peer:
        return self.by_id[peer_id]

    def pids(self) -> dict[str, int]:
        return {it.id: it.process.pid for it in self.by_id.values() if it.process and it.is_alive}

    async def lay_out(self, folder: Path, *, count: int) -> None:
        """Plans p1, p2, … behind relays; starts nothing."""
        self.links = Links(self.pids)
        ids = [f"p{number}" for number in range(1, count + 1)]
        ports = _free_ports(2 * count)
        raft, http = dict(zip(ids, ports, strict=False)), dict(zip(ids, ports[count:], strict=True))
        relays = {it: await self.links.relay(it, port=raft[it]) for it in ids}
        members = ",".join(f"{it}={HOST}:{relays[it]}" for it in ids)
        for it in ids:
            home = folder / "peers" / it
            home.mkdir(parents=True)
            settings = {
                "--peer-id": it,
                "--peer-data-dir": str(home / "data"),
                "--peer-cluster": "jlike",
                "--raft-listen": f"{HOST}:{raft[it]}",
                "--raft-advertise": f"{HOST}:{relays[it]}",
                "--raft-peers": members,
                "--http-listen": f"{HOST}:{http[it]}",
            }
            pairs = [part for setting in settings.items() for part in setting]
            self.by_id[it] = Peer(
                id=it,
                url=f"http://{HOST}:{http[it]}",
                command=(*COMMAND, *pairs),
                log_path=home / "log",
            )

    async def end(self) -> None:
        for peer in self.by_id.values():
            peer.kill()
        if self.links is not None:
            await self.links.close()

    async def end_gently(self, peer: Peer, *, seconds: float) -> bool:
        """SIGTERM. Whether it ended by itself in this time; it is killed otherwise."""
        peer.signal(signal.SIGTERM)
        for _ in range(int(seconds * 20)):
            if not peer.is_alive:
                return True
            await asyncio.sleep(0.05)
        peer.kill()
        return False


def _free_ports(count: int) -> list[int]:
    """Held all at once, so that they differ; below those that the system gives to clients there is
    no lock that all programs share, so a rare clash ends the run as broken, never as invalid."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for it in sockets:
            it.bind((HOST, 0))
        return [it.getsockname()[1] for it in sockets]


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
