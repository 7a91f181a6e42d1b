"""Keeps one run of a script: starts it at most once, bounds its time, writes down how it ended. A
process of its own, begun by `agents.sdk.scripts`: it outlives the agent that asked for it.

Rules: that a script was begun is on the disk before it begins; how it ended is on the disk before
anybody can see it. Whoever holds the lock of the folder may still do something: the keeper, the
script, and what that left running with the descriptor that all of them inherit.

    python -P -m replicante.script_keeper FOLDER
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from replicante.clock import SystemClock
from replicante.durable_file import write_durably
from replicante.process_birth import process_birth

ORDER, INPUT, LOCK, BEGUN, CHILD, STOP, ENDED = (
    *("order.json", "input.json", "lock", "begun"),
    *("child.json", "stop", "ended.json"),
)
"""Files of a run, by who writes them: the first two and STOP the agent, the others the keeper."""
_POLL_SECONDS = 0.02


def main(folder: Path) -> None:
    order = json.loads((folder / ORDER).read_text())
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if (folder / BEGUN).exists():
            return
        write_durably(folder / BEGUN, "")
        # The agent waits until here. The lock goes on to the child without a gap.
        if os.fork() > 0:
            os._exit(0)
        ended = _run(folder, order, lock.fileno())
        write_durably(folder / ENDED, json.dumps(ended))


def _run(folder: Path, order: dict[str, Any], lock: int) -> dict[str, Any]:
    """{code, output, why}: the exit code (negative: a signal; null: it did not start), the end of
    what it printed, and why it was ended, if it was: `late` or `stopped`."""
    with (folder / INPUT).open("rb") as stdin:
        try:
            process = subprocess.Popen(
                order["words"],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock,),
            )
        except (OSError, ValueError) as exc:
            return {"code": None, "output": str(exc), "why": None}
    child = {"pid": process.pid, "birth": process_birth(process.pid)}
    keeper = {"pid": os.getpid(), "birth": process_birth(os.getpid())}
    write_durably(folder / CHILD, json.dumps({"script": child, "keeper": keeper}))
    assert process.stdout is not None, "it was asked for"
    output = _Tail(process.stdout.fileno(), order["output_bytes"])
    clock, why = SystemClock(), None
    ends_ms = clock.monotonic_ms() + order["limit_ms"]
    while process.poll() is None:
        output.read(_POLL_SECONDS)
        now_ms = clock.monotonic_ms()
        if why is None and ((folder / STOP).exists() or now_ms >= ends_ms):
            why = "stopped" if (folder / STOP).exists() else "late"
            ends_ms = now_ms + order["grace_ms"]
            _signal(process.pid, signal.SIGTERM)
        elif why is not None and now_ms >= ends_ms:
            _signal(process.pid, signal.SIGKILL)
    if why is not None:
        # What it started ends with it.
        _signal(process.pid, signal.SIGKILL)
    output.read(0)
    return {"code": process.returncode, "output": output.text(), "why": why}


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        # Gone, or another user's, as behind sudo: it ends when it wants to.
        return


class _Tail:
    """The last bytes of what a process prints. All of it is read, so that it is never held up."""

    def __init__(self, descriptor: int, bytes_max: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._bytes_max = bytes_max
        self._kept, self._is_open = b"", True
        self._selector = selectors.DefaultSelector()
        self._selector.register(descriptor, selectors.EVENT_READ)

    def read(self, wait_seconds: float) -> None:
        """What is there, waiting so long for it."""
        self._selector.select(wait_seconds)
        while self._is_open:
            try:
                found = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return
            if not found:
                # Closed by all writers: only the end of the process is waited for.
                self._selector.unregister(self._descriptor)
                self._is_open = False
                return
            self._kept = (self._kept + found)[-self._bytes_max :]

    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
