"""Runs the commands of one page as a reader would: in an empty folder, one after the other.

Called by test_docs_commands.py. Every process is started in a process group of its own and is gone
when the page is done, also those that a command left in the background.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docs_commands import Block, Step, output_matches, with_ports

HTTP_PORT, RAFT_PORT = 16016, 16116
PEERS = 3
STEP_SECONDS_MAX = 90
STOP_SECONDS_MAX = 30
STORY_LINES = 40
ENDPOINTS_VARIABLE = "REPLICANTE_ENDPOINTS"
"""How a reader tells the command line of peers at other ports than the default ones."""


@dataclass(slots=True, kw_only=True)
class Page:
    """One run of one page. `folder` is its working directory, `ports` default → used."""

    folder: Path
    ports: Mapping[int, int]
    started: list[subprocess.Popen] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)

    def run(self, block: Block) -> None:
        """Raises AssertionError with what was run, shown and printed."""
        for step in block.steps:
            where = f"{block.document}:{block.line} $ {step.command}"
            if block.stays_up:
                self._start(step, where)
            else:
                self._finish(step, where)

    def close(self) -> None:
        """Ends what still runs; a server has to end by itself when it is interrupted."""
        try:
            for server in reversed(self.servers):
                server.stop()
        finally:
            for process in self.started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=STOP_SECONDS_MAX)

    def _start(self, step: Step, where: str) -> None:
        command = with_ports(step.command, self.ports)
        if command.startswith("replicante dev") and "--http-port" not in command:
            http, raft = self.ports[HTTP_PORT], self.ports[RAFT_PORT]
            command += f" --http-port {http} --raft-port {raft}"
        server = Server(self._spawn(f"exec {command}", output=subprocess.PIPE), where=where)
        self.servers.append(server)
        server.wait_until_ready()

    def _finish(self, step: Step, where: str) -> None:
        # A file, not a pipe: a command that leaves a process behind must not hold this test up.
        # Both streams in one, as a terminal shows them.
        output = self.folder / ".output"
        with output.open("w") as both:
            process = self._spawn(with_ports(step.command, self.ports), output=both)
            code = process.wait(timeout=STEP_SECONDS_MAX)
        printed = output.read_text(encoding="utf-8")
        story = f"{where}\nexit code {code}\n{printed}\nservers:\n{self._servers_said()}"
        assert code == 0, story
        if step.shown is not None:
            shown = tuple(with_ports(line, self.ports) for line in step.shown)
            expected = "\n".join(shown)
            assert output_matches(shown, printed), f"{story}\nthe page shows:\n{expected}"

    def _servers_said(self) -> str:
        """What servers printed last: those that we read, and those that the page sent to files."""
        files = sorted(self.folder.glob("*.log"))
        return "".join(
            [server.story() for server in self.servers]
            + [f"{file.name}:\n{last_lines(file)}\n" for file in files]
        )

    def _spawn(self, command: str, *, output) -> subprocess.Popen:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def _environment(self) -> dict[str, str]:
        used = [self.ports[HTTP_PORT + offset] for offset in range(PEERS)]
        mine = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            ENDPOINTS_VARIABLE: ",".join(f"http://127.0.0.1:{port}" for port in used),
            "NO_COLOR": "1",
        }
        kept = {name: text for name, text in os.environ.items() if "REPLICANTE" not in name}
        return kept | mine


class Server:
    """A command that stays up; its output is read as it comes, so that it never blocks."""

    def __init__(self, process: subprocess.Popen, *, where: str) -> None:
        self.process, self.where = process, where
        self.lines: list[str] = []
        self.is_ready, self.is_over = threading.Event(), threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def wait_until_ready(self) -> None:
        """Until it printed a line that begins with `ready:`."""
        self.is_ready.wait(STEP_SECONDS_MAX)
        ready = self.is_ready.is_set() and not self.is_over.is_set()
        assert ready, f"{self.where} never became ready\n{self.story()}"

    def stop(self) -> None:
        """As Ctrl-C does: the whole group is interrupted, and everything ends by itself."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            code = self.process.wait(timeout=STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.where} ignores Ctrl-C\n{self.story()}") from None
        assert code in (0, 130), f"{self.where} ended with {code}\n{self.story()}"

    def story(self) -> str:
        return "".join(self.lines[-STORY_LINES:])

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                text = line.decode("utf-8", "replace")
                self.lines.append(text)
                if text.startswith("ready:"):
                    self.is_ready.set()
        self.is_over.set()
        self.is_ready.set()


def last_lines(file: Path) -> str:
    return "\n".join(file.read_text(encoding="utf-8", errors="replace").splitlines()[-STORY_LINES:])


@contextlib.contextmanager
def page(folder: Path) -> Iterator[Page]:
    opened = Page(folder=folder, ports=free_ports())
    try:
        yield opened
    finally:
        opened.close()


def free_ports() -> dict[int, int]:
    """Default port → a free one. Below the range that the system gives to outgoing connections;
    each worker of a parallel run begins elsewhere. A page may also count from the port before the
    first one: `$((16115 + n))` for n from 1."""
    worker = int("".join(filter(str.isdigit, os.environ.get("PYTEST_XDIST_WORKER", "0"))) or "0")
    first = 20_000 + worker * 1_000 + os.getpid() % 50 * 20
    for base in (first + offset for offset in range(0, 8_000, 20)):
        wanted = [base + offset for offset in range(2 * PEERS)]
        if all(_is_free(port) for port in wanted):
            return {
                default + offset: used + offset
                for default, used in ((HTTP_PORT, base), (RAFT_PORT, base + PEERS))
                for offset in range(-1, PEERS)
            }
    raise AssertionError("no free ports on this machine")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
