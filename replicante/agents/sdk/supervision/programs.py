"""Runs one program to its end, without a shell and within a time limit. Called by `systemd` and
`commands`.

Rule: its output is a file, never a pipe: what a program leaves running, as a start command does,
keeps its output open, and would hold up whoever waits for the end of a pipe.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from replicante.agents.sdk.supervision.values import SupervisionFailed
from replicante.limits import SERVICE_OUTPUT_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    code: int
    """Negative: the number of the signal that ended it."""
    output: str
    """The beginning of what it wrote to both streams, without blanks at its ends."""


async def run_program(words: Sequence[str], *, limit_ms: int, leaves_children: bool) -> Ended:
    """words: the program and its arguments.
    leaves_children: when its time is over, what it started goes on; otherwise that ends with it.

    Raises SupervisionFailed when it cannot be started or does not end in time.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:
            raise SupervisionFailed(f"{words[0]} cannot be started: {exc}") from exc
        try:
            async with asyncio.timeout(limit_ms / 1_000):
                code = await process.wait()
        except TimeoutError as exc:
            said = _beginning(output.fileno())
            message = f"{shown(words)} did not end within {limit_ms} ms"
            raise SupervisionFailed(f"{message}: {said}" if said else message) from exc
        finally:
            if process.returncode is None:
                await _end(process, leaves_children=leaves_children)
        return Ended(code=code, output=_beginning(output.fileno()))


def shown(words: Sequence[str]) -> str:
    """A command in a message; arguments may be long."""
    text = " ".join(words)
    return text if len(text) <= 200 else f"{text[:200]}…"


async def _end(process: asyncio.subprocess.Process, *, leaves_children: bool) -> None:
    try:
        if leaves_children:
            process.kill()
        else:
            # Its own session is a group of its own: nobody else is in it.
            os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:
        # It became another user, as sudo does, and ends when it wants to.
        return
    await process.wait()


def _beginning(descriptor: int) -> str:
    # By its place, not from where the file stands: the program and we share one position.
    raw = os.pread(descriptor, SERVICE_OUTPUT_BYTES_MAX, 0)
    return raw.decode(errors="replace").strip()
