"""The runs of scripts on the disk: begun, looked at, ended. Called by `actions`.

A run is a folder that its keeper works in (`script_keeper`). Rule: how a run stands is read under
its lock, so that nobody begins or ends it in the same moment.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from replicante import script_keeper
from replicante.durable_file import write_durably
from replicante.limits import SCRIPT_GRACE_MS, SCRIPT_OUTPUT_BYTES_MAX
from replicante.model.codec import Value
from replicante.process_birth import process_birth


class RunState(enum.Enum):
    NOT_BEGUN = "not_begun"
    RUNNING = "running"
    ENDED = "ended"
    CUT_OFF = "cut_off"
    """It was begun, and nobody is left who could say how it ended."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    code: int | None
    """Negative: the number of the signal that ended it. None: it could not be started."""
    output: str
    why: str | None
    """`late` or `stopped`: it was ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All methods block for a moment.  They raise OSError, ValueError for a folder that is not what
    a keeper left."""

    folder: Path

    def begin(self, words: Sequence[str], *, stdin: Value, limit_ms: int) -> None:
        """Returns when it is written down that it was begun. Begun twice, it still runs once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        order = {
            "words": list(words),
            "limit_ms": limit_ms,
            "grace_ms": SCRIPT_GRACE_MS,
            "output_bytes": SCRIPT_OUTPUT_BYTES_MAX,
        }
        write_durably(self.folder / script_keeper.INPUT, json.dumps(stdin))
        write_durably(self.folder / script_keeper.ORDER, json.dumps(order))
        # What the agent knows in confidence, as the password of its store, stays with it.
        kept = {it: text for it, text in os.environ.items() if not it.startswith("REPLICANTE_")}
        keeper = subprocess.run(
            [sys.executable, "-P", "-m", script_keeper.__name__, str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=kept,
            start_new_session=True,
            check=False,
        )
        if keeper.returncode != 0:
            raise ChildProcessError(f"its keeper ended with code {keeper.returncode}")

    def state(self) -> RunState:
        if not self.folder.exists():
            return RunState.NOT_BEGUN
        with (self.folder / script_keeper.LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # What a script leaves running may hold the lock for ever.
                return RunState.ENDED if self._has(script_keeper.ENDED) else RunState.RUNNING
            if self._has(script_keeper.ENDED):
                return RunState.ENDED
            is_begun = self._has(script_keeper.BEGUN)
            return RunState.CUT_OFF if is_begun else RunState.NOT_BEGUN

    def ended(self) -> Ended:
        """Only of one that is ENDED."""
        return msgspec.json.decode(self._read(script_keeper.ENDED), type=Ended)

    def ask_to_stop(self) -> None:
        if self.folder.exists():
            (self.folder / script_keeper.STOP).touch()

    def is_kept(self) -> bool:
        """Whether its keeper lives, or may still be about to say who it is."""
        return not self._has(script_keeper.CHILD) or self._pid_of("keeper") is not None

    def kill(self) -> None:
        """Ends a script whose keeper does not, because it is gone itself."""
        pid = self._pid_of("script") if self._has(script_keeper.CHILD) else None
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def _pid_of(self, who: str) -> int | None:
        """None: it is gone, whoever has its number now."""
        found = json.loads(self._read(script_keeper.CHILD))[who]
        is_it = found["birth"] is not None and process_birth(found["pid"]) == found["birth"]
        return int(found["pid"]) if is_it else None

    def _has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def _read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


def forget_others(parent: Path, run_id: str) -> None:
    """Removes the runs of actions that ended: an agent carries out one at a time."""
    for folder in parent.iterdir() if parent.exists() else ():
        if folder.name != run_id and Run(folder=folder).state() is not RunState.RUNNING:
            shutil.rmtree(folder, ignore_errors=True)
