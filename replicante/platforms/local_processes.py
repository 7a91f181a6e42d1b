"""Finds, starts and ends the processes of local nodes. Called by `local`; blocks, none of it for
long. Reads /proc.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from replicante.clock import SystemClock
from replicante.durable_file import write_durably
from replicante.limits import LOCAL_DEATH_MS_MAX, LOCAL_START_MS_MAX
from replicante.process_birth import process_birth

_POLL_SECONDS = 0.005
_START = '"$@" >>"$0" 2>&1 </dev/null & echo $!'


def start(command: Sequence[str], *, log: Path) -> int:
    """Begins a process that belongs to nobody, through a shell that ends; its number.

    Raises OSError, subprocess.SubprocessError."""
    started = subprocess.run(
        ["/bin/sh", "-c", _START, str(log), *command],
        check=True,
        capture_output=True,
        start_new_session=True,
        timeout=LOCAL_START_MS_MAX / 1_000,
    )
    return int(started.stdout)


def with_words(words: Sequence[str]) -> list[int]:
    """Processes whose command line ends with all of these: also the shell that is about to begin
    one of them."""
    wanted = [word.encode() for word in words]

    def is_one(entry: Path) -> bool:
        said = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
        return said[-len(wanted) :] == wanted

    return list(_processes(is_one))


def working_in(folder: Path, names: Iterable[str]) -> list[int]:
    """Processes that work in the folder and name one of these: a shell that somebody has open there
    does not."""
    wanted = [name.encode() for name in names]

    def is_one(entry: Path) -> bool:
        words = (entry / "cmdline").read_bytes()
        return (entry / "cwd").readlink() == folder and any(it in words for it in wanted)

    return list(_processes(is_one))


def end(pids: Iterable[int]) -> None:
    """Returns when they are dead.  Raises TimeoutError for one that the system does not let go."""
    found = {pid: process_birth(pid) for pid in pids}
    alive = {pid: birth for pid, birth in found.items() if birth is not None}
    for pid in alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for _ in moments(LOCAL_DEATH_MS_MAX):
        alive = {pid: birth for pid, birth in alive.items() if process_birth(pid) == birth}
        if not alive:
            return
    raise TimeoutError(f"process {min(alive)} was killed and is not gone")


def moments(limit_ms: int) -> Iterator[None]:
    """One after another, until so long has passed."""
    clock = SystemClock()
    ends_ms = clock.monotonic_ms() + limit_ms
    yield
    while clock.monotonic_ms() < ends_ms:
        time.sleep(_POLL_SECONDS)
        yield


def keep_pid(path: Path, pid: int) -> None:
    """With the time of its birth: a number alone belongs to another process later."""
    write_durably(path, json.dumps([pid, process_birth(pid)]))


def living(path: Path) -> int | None:
    """The process that is written there, if it lives; None too when its number belongs to another
    one."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    pid, birth = (found[0], found[1]) if isinstance(found, list) else (found, None)
    now = process_birth(pid)
    return None if now is None or (birth is not None and now != birth) else int(pid)


def _processes(is_one: Callable[[Path], bool]) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            # Gone by now, or somebody else's.
            with contextlib.suppress(OSError):
                if is_one(entry) and process_birth(int(entry.name)) is not None:
                    yield int(entry.name)
