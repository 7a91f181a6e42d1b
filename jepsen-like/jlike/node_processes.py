"""Processes of data store nodes that peers started below one folder: found, hurt, and ended.

Used by `jlike.workload.redis`; a `Lifeline` starts this file as a program. Nothing is known of how
they were started: an agent is what names a place below the folder in its command, a store is what
works below it and is none. A node's name is the second part of its path there. What was killed and
is to come back is started by the words that it was started with.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

AGENT, STORE = "agent", "store"
END_S = 30.0
POLL_S = 0.05
SETTLES_S = 2.0
"""After the suite is gone: so long a peer that is about to end may still be starting an agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProcess:
    """part: AGENT or STORE."""

    part: str
    node: str
    pid: int
    words: tuple[str, ...]
    cwd: str
    variables: tuple[tuple[str, str], ...]

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def kill(self) -> bool:
        """Whether it is gone."""
        self.signal(signal.SIGKILL)
        for _ in range(int(END_S / POLL_S)):
            if self.state in "-ZX":
                return True
            await asyncio.sleep(POLL_S)
        return False

    def start_again(self, log: Path) -> None:
        """As it was started; it belongs to nobody, as before."""
        with log.open("ab") as output:
            subprocess.Popen(
                ["/bin/sh", "-c", '"$@" & ', "sh", *self.words],
                cwd=self.cwd,
                env=dict(self.variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            ).wait()

    @property
    def state(self) -> str:
        """As the kernel names it: T is stopped, - is none."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return "-"
        return text.rpartition(")")[2].split()[0]


class Lifeline:
    """A process beside this one that ends those below the folder when this one is gone, however it
    was ended: they belong to nobody, so no kernel does."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(folder)],
            stdin=subprocess.PIPE,  # closes with whoever holds the other end
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def cut(self) -> None:
        """They are ended, and nobody need be. Harmless to repeat."""
        assert self._process.stdin is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()


def find(folder: Path) -> list[NodeProcess]:
    """Those that run now, agents first."""
    found = [it for pid in _pids() if (it := _read(pid, folder.resolve())) is not None]
    return sorted(found, key=lambda it: (it.part, it.node, it.pid))


async def end_all(folder: Path) -> None:
    """Agents first: they start stores. Until there are none, also of those that just began."""
    while running := find(folder):
        await running[0].kill()


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _read(pid: int, folder: Path) -> NodeProcess | None:
    try:
        words = tuple(_texts(pid, "cmdline"))
        cwd = os.readlink(f"/proc/{pid}/cwd")
        variables = tuple(it.partition("=")[::2] for it in _texts(pid, "environ"))
    except (OSError, ValueError):
        return None
    named = next((it for it in words if it.startswith(f"{folder}{os.sep}")), None)
    is_inside = cwd.startswith(f"{folder}{os.sep}")
    if pid == os.getpid() or not words or (named is None and not is_inside):
        return None
    # A shell that starts an agent names what it starts: it is gone in a moment, and no agent.
    if Path(words[0]).name == "sh":
        return None
    path = Path(cwd if is_inside else str(named)).relative_to(folder)
    if len(path.parts) < 2:
        return None
    return NodeProcess(
        part=STORE if is_inside else AGENT,
        node=path.parts[1],
        pid=pid,
        words=words,
        cwd=cwd,
        variables=variables,
    )


def _texts(pid: int, name: str) -> list[str]:
    raw = Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="surrogateescape")
    return raw.rstrip("\0").split("\0") if raw else []


async def _end_when_alone(folder: Path) -> None:
    """Returns when there is nobody left, after the input has closed."""
    sys.stdin.buffer.read()
    await end_all(folder)
    await asyncio.sleep(SETTLES_S)
    await end_all(folder)


if __name__ == "__main__":
    asyncio.run(_end_when_alone(Path(sys.argv[1])))
