"""The actions that start, stop and restart the service of a store. Called by `Agent`.

Each is a wish for a state. Which run of the service a restart is to end is on the disk before it is
asked for: an agent that comes back in the middle neither stops what was started again since, nor
leaves stopped what it had stopped.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from replicante.agents.sdk.catalogue import ActionKind, NoArgs
from replicante.agents.sdk.supervision.values import (
    Service,
    ServiceState,
    SupervisionFailed,
    Supervisor,
)
from replicante.agents.sdk.values import Phase, Step, again, done, failed
from replicante.limits import SERVICE_STEP_PAUSE_MS, SERVICE_STEPS_MAX
from replicante.model import action_kinds
from replicante.model.codec import Value


class ServiceActions:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def kinds(self) -> list[ActionKind]:
        rows = [
            (action_kinds.SERVICE_START, "Start the service of the store.", self._start),
            (action_kinds.SERVICE_STOP, "Stop the service of the store.", self._stop),
            (action_kinds.SERVICE_RESTART, "Stop and start the service of the store.",
             self._restart),
        ]  # fmt: skip
        return [
            ActionKind(kind=kind, description=about, run=_translated(run))
            for kind, about, run in rows
        ]

    async def _start(self, _args: NoArgs, before: Value) -> Step:
        now = await self._supervisor.status()
        if now.state is ServiceState.RUNNING:
            return done(_payload(before, now))
        if not _was_asked(before) and now.state.is_down:
            await self._supervisor.start()
            return _again(before, now, was_asked=True)
        if _was_asked(before) and now.state is ServiceState.FAILED:
            return failed(f"it did not start: {now.detail}", _payload(before, now))
        return _again(before, now, was_asked=_was_asked(before))

    async def _stop(self, _args: NoArgs, before: Value) -> Step:
        now = await self._supervisor.status()
        if now.state.is_down:
            return done(_payload(before, now))
        if not _was_asked(before):
            # Also while it changes: a supervisor that is about to start it once more is to stop.
            await self._supervisor.stop()
        return _again(before, now, was_asked=True)

    async def _restart(self, args: NoArgs, before: Value) -> Step:
        state = before if isinstance(before, dict) else {}
        match state.get("part"):
            case "stop":
                return await self._end_run(args, state)
            case "start":
                step = await self._start(args, state.get("step"))
                return _inside("start", step, state)
        now = await self._supervisor.status()
        return again({"part": "stop", "run": now.run_id, "step": None}, pause_ms=0)

    async def _end_run(self, args: NoArgs, state: dict[str, Any]) -> Step:
        """Until the run is over that the restart found; then its other half begins."""
        run, now = state["run"], await self._supervisor.status()
        is_another = run is not None and now.run_id is not None and now.run_id != run
        if not is_another:
            step = await self._stop(args, state["step"])
            if step.phase is not Phase.DONE:
                return _inside("stop", step, state)
        return again({"part": "start", "run": run, "step": None}, pause_ms=0)


def _inside(part: str, step: Step, state: dict[str, Any]) -> Step:
    """A step of one half as a step of the whole."""
    payload: Value = {"part": part, "run": state["run"], "step": step.payload}
    return Step(phase=step.phase, error=step.error, payload=payload, pause_ms=step.pause_ms)


def _again(before: Value, now: Service, *, was_asked: bool) -> Step:
    """Another step, until there were too many."""
    payload = {**_payload(before, now), "asked": was_asked}
    if payload["attempt"] >= SERVICE_STEPS_MAX:
        return failed(f"the wanted state is not reached: {now.detail}", payload)
    return again(payload, pause_ms=SERVICE_STEP_PAUSE_MS)


def _payload(before: Value, now: Service) -> dict[str, Any]:
    """The fields of the original, for whoever watches the action."""
    count = before["attempt"] if isinstance(before, dict) else 0
    return {"attempt": count + 1, "message": now.detail, "pid": now.pid}


def _was_asked(before: Value) -> bool:
    return isinstance(before, dict) and bool(before.get("asked"))


def _translated(
    handler: Callable[[NoArgs, Value], Awaitable[Step]],
) -> Callable[[NoArgs, Value], Awaitable[Step]]:
    """A supervisor that refuses is a reason, not a defect."""

    @functools.wraps(handler)
    async def run(args: NoArgs, before: Value) -> Step:
        try:
            return await handler(args, before)
        except SupervisionFailed as exc:
            return failed(str(exc), before)

    return run
