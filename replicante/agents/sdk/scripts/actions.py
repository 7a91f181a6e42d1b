"""Makes actions of scripts. Called by the program of an agent, through `Agent`.

Which run an action waits for is on the disk before the script begins, so an agent that comes back
goes on waiting for that one: a script outlives its agent and is never begun twice by mistake.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from replicante.agents.sdk.catalogue import ActionKind
from replicante.agents.sdk.scripts.runs import Ended, Run, RunState, forget_others
from replicante.agents.sdk.scripts.settings import ScriptSettings
from replicante.agents.sdk.values import Step, again, done, failed
from replicante.entropy import Entropy
from replicante.limits import (
    SCRIPT_GRACE_MS,
    SCRIPT_LOOK_MS,
    SCRIPT_RUNS_MAX,
    SCRIPT_STEP_MS,
)
from replicante.model.codec import Value

_FOLDER = "scripts"
_MARGIN_MS = 2 * SCRIPT_GRACE_MS
"""A keeper that lives has ended its script by then."""


class ScriptActions:
    def __init__(
        self, scripts: Mapping[str, ScriptSettings], *, folder: Path, entropy: Entropy
    ) -> None:
        """scripts: by kind.  folder: the agent's own."""
        self._scripts = scripts
        self._folder = folder.resolve() / _FOLDER
        self._entropy = entropy

    def kinds(self) -> list[ActionKind]:
        return [
            ActionKind(
                kind=kind,
                description=script.description,
                run=_translated(functools.partial(self._run, kind, script)),
                cancel=self._cancel,
                args=script.arguments(),
            )
            for kind, script in self._scripts.items()
        ]

    async def _run(
        self, kind: str, script: ScriptSettings, args: msgspec.Struct, before: Value
    ) -> Step:
        if not isinstance(before, dict):
            return again(self._new_run(1), pause_ms=0)
        run_id, given = str(before["run"]), msgspec.structs.asdict(args)
        run = Run(folder=self._folder / run_id)
        match await self._settled(run):
            case RunState.NOT_BEGUN:
                await asyncio.to_thread(forget_others, self._folder, run_id)
                begin = functools.partial(run.begin, limit_ms=script.limit_ms)
                stdin: Value = {"kind": kind, "args": given}
                await asyncio.to_thread(begin, script.words(given), stdin=stdin)
                return again(before, pause_ms=0)
            case RunState.RUNNING:
                return self._waited(run, script, before)
            case RunState.ENDED:
                return _result(run.ended(), before)
            case RunState.CUT_OFF:
                return self._begun_anew(script, before)

    async def _cancel(self, before: Value) -> None:
        if not isinstance(before, dict):
            return
        run = Run(folder=self._folder / str(before["run"]))
        await asyncio.to_thread(run.ask_to_stop)
        for _ in range(_MARGIN_MS // SCRIPT_STEP_MS):
            if await self._settled(run) is not RunState.RUNNING:
                return
            if not run.is_kept():
                break
        run.kill()

    async def _settled(self, run: Run) -> RunState:
        """How it stands, when it ended or a step is over."""
        for _ in range(SCRIPT_STEP_MS // SCRIPT_LOOK_MS):
            state = await asyncio.to_thread(run.state)
            if state is not RunState.RUNNING:
                return state
            await asyncio.sleep(SCRIPT_LOOK_MS / 1_000)
        return RunState.RUNNING

    def _waited(self, run: Run, script: ScriptSettings, before: dict[str, Any]) -> Step:
        waited_ms = before["waited_ms"] + SCRIPT_STEP_MS
        payload: Value = {**before, "waited_ms": waited_ms}
        if waited_ms <= script.limit_ms + _MARGIN_MS:
            return again(payload, pause_ms=0)
        run.kill()
        return failed("it ran beyond its time, without its keeper, and was killed", payload)

    def _begun_anew(self, script: ScriptSettings, before: dict[str, Any]) -> Step:
        if not script.is_repeatable:
            return failed("it was cut off, and nobody knows how far it came", before)
        if before["runs"] >= SCRIPT_RUNS_MAX:
            return failed(f"it was cut off {SCRIPT_RUNS_MAX} times", before)
        return again(self._new_run(before["runs"] + 1), pause_ms=0)

    def _new_run(self, number: int) -> dict[str, Value]:
        return {"run": self._entropy.token(), "runs": number, "waited_ms": 0}


def _result(ended: Ended, before: dict[str, Any]) -> Step:
    payload: Value = {**before, "code": ended.code, "output": ended.output}
    match ended.why, ended.code:
        case "late", _:
            return failed("it did not end in its time and was ended", payload)
        case "stopped", _:
            return failed("it was told to end", payload)
        case _, None:
            return failed(f"it cannot be started: {ended.output}", payload)
        case _, 0:
            return done(payload)
        case _, code:
            how = f"code {code}" if code > 0 else f"signal {-code}"
            return failed(f"it ended with {how}: {ended.output}", payload)


def _translated(
    handler: Callable[[Any, Value], Awaitable[Step]],
) -> Callable[[Any, Value], Awaitable[Step]]:
    """A disk that refuses is a reason, not a defect."""

    async def run(args: Any, before: Value) -> Step:
        try:
            return await handler(args, before)
        except (OSError, ValueError) as exc:
            return failed(str(exc) or type(exc).__name__, before)

    return run
