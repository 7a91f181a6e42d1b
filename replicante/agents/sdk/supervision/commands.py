"""A service that is started, stopped and looked at by commands of its operator. Called by `actions`
and by the agent's server.

Exit codes of the status command are those of init scripts (Linux Standard Base 5.0, chapter 22.2),
which `pg_ctl status` and `service NAME status` use too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from replicante.agents.sdk.supervision.programs import Ended, run_program, shown
from replicante.agents.sdk.supervision.settings import CommandSettings
from replicante.agents.sdk.supervision.values import (
    Service,
    ServiceState,
    SupervisionFailed,
    Supervisor,
)
from replicante.limits import SERVICE_STATUS_MS_MAX
from replicante.process_birth import process_birth

_RUNS = 0
_STOPPED = {
    1: "stopped; a file says that it runs",
    2: "stopped; a lock says that it runs",
    3: "stopped",
}


class Commands(Supervisor):
    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings

    async def status(self) -> Service:
        words = self._settings.status
        ended = await run_program(words, limit_ms=SERVICE_STATUS_MS_MAX, leaves_children=False)
        if ended.code in _STOPPED:
            return Service(state=ServiceState.STOPPED, detail=_STOPPED[ended.code])
        if ended.code != _RUNS:
            raise _failure(words, ended)
        pid = _pid_in(ended.output)
        if pid is None:
            return Service(state=ServiceState.RUNNING, detail="running")
        birth = process_birth(pid)
        if birth is None and not _is_hidden(pid):
            # What a file says of a process that was killed.
            return Service(state=ServiceState.STOPPED, detail=f"process {pid} is gone")
        run_id = None if birth is None else f"{pid}@{birth}"
        return Service(state=ServiceState.RUNNING, detail="running", pid=pid, run_id=run_id)

    async def start(self) -> None:
        await self._run(self._settings.start, leaves_children=True)

    async def stop(self) -> None:
        await self._run(self._settings.stop, leaves_children=False)

    async def _run(self, words: Sequence[str], *, leaves_children: bool) -> None:
        ended = await run_program(
            words, limit_ms=self._settings.limit_ms, leaves_children=leaves_children
        )
        if ended.code != 0:
            raise _failure(words, ended)


def _failure(words: Sequence[str], ended: Ended) -> SupervisionFailed:
    how = f"ended with code {ended.code}" if ended.code >= 0 else f"ended by signal {-ended.code}"
    message = f"{shown(words)} {how}"
    return SupervisionFailed(f"{message}: {ended.output}" if ended.output else message)


def _is_hidden(pid: int) -> bool:
    """Whether it lives as another user's, where /proc shows each user its own processes only."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False


def _pid_in(output: str) -> int | None:
    """Output that is a number and nothing else is that of the main process."""
    is_number = output.isascii() and output.isdigit() and len(output) < 10
    return int(output) if is_number and int(output) > 0 else None
