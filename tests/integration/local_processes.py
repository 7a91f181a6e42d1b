"""Commands of replicante as processes, on ports of their own. Not a test file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

SECONDS_MAX = 90


class Command:
    """A running `replicante …`; its output is read as it comes."""

    def __init__(self, *arguments: str, folder: Path, **environment: str) -> None:
        kept = {name: text for name, text in os.environ.items() if "REPLICANTE" not in name}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "replicante", *arguments],
            cwd=folder,
            env={**kept, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in (
                (self.process.stdout, self.out),
                (self.process.stderr, self.err),
            )
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, is_it: Callable[[str], bool]) -> str:
        """The first line, of stdout or stderr, that is it."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._find(is_it), SECONDS_MAX)
        assert found, f"it never came\n{self.story()}"
        return found

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> int:
        """Its exit code."""
        code = self.process.wait(SECONDS_MAX)
        for thread in self._threads:
            thread.join(SECONDS_MAX)
        return code

    def story(self) -> str:
        return "".join(f"{line}\n" for line in (*self.out[-60:], "--", *self.err[-60:]))

    def close(self) -> None:
        """Ends it the hard way; its peers notice and end as well."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(SECONDS_MAX)
        for thread in self._threads:
            thread.join(SECONDS_MAX)

    def _find(self, is_it: Callable[[str], bool]) -> str:
        return next((line for line in (*self.out, *self.err) if is_it(line)), "")

    def _read(self, stream, lines: list[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    lines.append(line.rstrip("\n"))
                    self._changed.notify_all()


@contextlib.contextmanager
def command(*arguments: str, folder: Path, **environment: str) -> Iterator[Command]:
    started = Command(*arguments, folder=folder, **environment)
    try:
        yield started
    finally:
        started.close()


def port_options(ports: dict[int, int]) -> list[str]:
    """ports: default → free, as `docs_runner.free_ports` gives them."""
    return ["--http-port", str(ports[16016]), "--raft-port", str(ports[16116])]
