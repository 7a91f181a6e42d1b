"""A service that is a unit of systemd. Called by `actions` and by the agent's server.

Rules: the state is read from `systemctl show`, whose output is made for programs; `is-active` says
"inactive" of a unit that does not exist and one exit code of three states. Nothing waits for
systemd: a job that was put on its list goes on without us, and the next look sees how far it is.
"""

from __future__ import annotations

from replicante.agents.sdk.supervision.programs import Ended, run_program, shown
from replicante.agents.sdk.supervision.settings import SystemdSettings
from replicante.agents.sdk.supervision.values import (
    Service,
    ServiceState,
    SupervisionFailed,
    Supervisor,
)
from replicante.limits import SERVICE_STATUS_MS_MAX, SERVICE_SYSTEMD_MS_MAX

_PROPERTIES = "LoadState,ActiveState,SubState,Result,MainPID,InvocationID,Job"
_STATES = {
    "active": ServiceState.RUNNING,
    "reloading": ServiceState.RUNNING,
    "refreshing": ServiceState.RUNNING,
    "inactive": ServiceState.STOPPED,
    "failed": ServiceState.FAILED,
}
"""Of ActiveState; every other one is on its way to one of these."""


class Systemd(Supervisor):
    def __init__(self, settings: SystemdSettings) -> None:
        self._settings = settings

    async def status(self) -> Service:
        ended = await self._systemctl(
            "show", f"--property={_PROPERTIES}", limit_ms=SERVICE_STATUS_MS_MAX
        )
        found = dict(line.partition("=")[::2] for line in ended.output.splitlines())
        try:
            return self._read(found)
        except (KeyError, ValueError) as exc:
            message = f"systemctl show does not tell what it is asked for: {ended.output[:300]}"
            raise SupervisionFailed(message) from exc

    async def start(self) -> None:
        await self._systemctl("start", "--no-block", limit_ms=SERVICE_SYSTEMD_MS_MAX)

    async def stop(self) -> None:
        await self._systemctl("stop", "--no-block", limit_ms=SERVICE_SYSTEMD_MS_MAX)

    def _read(self, found: dict[str, str]) -> Service:
        """Raises KeyError, ValueError, SupervisionFailed."""
        loaded, active = found["LoadState"], found["ActiveState"]
        state = _STATES.get(active, ServiceState.CHANGING)
        if loaded != "loaded" and state.is_down:
            raise SupervisionFailed(f"the unit {self._settings.unit} is {loaded}")
        if found["Job"] not in ("", "0"):
            # Asked for and not begun: the state is still that of before.
            state = ServiceState.CHANGING
        pid = int(found["MainPID"])
        result = found["Result"]
        return Service(
            state=state,
            detail=f"{active} ({found['SubState']})"
            + ("" if result == "success" else f", result {result}"),
            pid=pid or None,
            run_id=found["InvocationID"] or None,
        )

    async def _systemctl(self, verb: str, *options: str, limit_ms: int) -> Ended:
        settings = self._settings
        scope = ("--user",) if settings.is_user else ()
        words = (
            *(*settings.systemctl, *scope, "--no-ask-password", "--no-pager"),
            *(verb, *options, "--", settings.unit),
        )
        ended = await run_program(words, limit_ms=limit_ms, leaves_children=False)
        if ended.code != 0:
            said = ended.output or f"{shown(words)} ended with code {ended.code}"
            raise SupervisionFailed(f"systemctl {verb} {settings.unit}: {said}")
        return ended
