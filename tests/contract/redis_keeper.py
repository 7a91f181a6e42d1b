"""A supervisor of one Redis server for tests: `redis_keeper.py PROGRAM FOLDER start|stop|status`.

What it started it starts again as soon as it ends, whoever ended it, until it is told to stop. Its
codes are those of init scripts.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

_LIMIT_SECONDS = 40


def main(program: str, folder: Path, verb: str) -> int:
    keeper, pid = folder / "keeper.pid", _pid(folder / "redis.pid")
    match verb:
        case "status" if _is_alive(pid):
            print(pid)
        case "status":
            return 3
        case "start" if not _is_alive(_pid(keeper)):
            words = [sys.executable, "-S", __file__, program, str(folder), "keep"]
            nothing = subprocess.DEVNULL
            process = subprocess.Popen(
                words, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
            )
            keeper.write_text(str(process.pid))
        case "keep":
            _keep([program, str(folder / "redis.conf")])
        case "stop" if _is_alive(_pid(keeper)):
            return _end(_pid(keeper))
    return 0


def _keep(words: list[str]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    while True:
        process = subprocess.Popen(words, cwd="/")
        try:
            process.wait()
        finally:
            _end_server(process)


def _end_server(process: subprocess.Popen) -> None:
    """A signal that arrives before it is Redis that runs is lost: so it is repeated."""
    while process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)


def _end(keeper: int) -> int:
    """0 when it ended, and its server before it."""
    held = os.pidfd_open(keeper)
    try:
        os.kill(keeper, signal.SIGTERM)
        ended, _, _ = select.select([held], [], [], _LIMIT_SECONDS)
        return int(not ended)
    finally:
        os.close(held)


def _pid(file: Path) -> int:
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return pid > 0 and stat.rpartition(")")[2].split()[0] not in "ZX"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
