"""Carries out the agent's actions, one at a time, a step at a time. Run by `agent`.

A step is recorded before the next begins, and RUNNING before the first: an agent that comes back
goes on with the last payload. It is woken by submissions and by wishes to cancel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from replicante.agents.sdk.action_store import ActionStore
from replicante.agents.sdk.catalogue import Catalogue, arguments
from replicante.agents.sdk.metrics import AgentMetrics
from replicante.agents.sdk.values import KeptAction, Phase, Step, failed
from replicante.clock import Clock
from replicante.limits import AGENT_STEP_MS_MAX
from replicante.model.codec import Value

_log = logging.getLogger(__name__)


class Runner:
    def __init__(
        self, *, store: ActionStore, catalogue: Catalogue, clock: Clock, metrics: AgentMetrics
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._clock = clock
        self._metrics = metrics
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled. sqlite3.Error ends it, and with it the agent: what cannot be recorded
        must not be done."""
        while True:
            self._woken.clear()
            action = await self._store.next()
            if action is None:
                await self._woken.wait()
                continue
            pause_ms = await self._advance(action)
            if pause_ms > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_ms / 1_000):
                        await self._woken.wait()

    async def _advance(self, action: KeptAction) -> int:
        """One step; the pause after it."""
        action_id = action.order.action_id
        if action.phase is Phase.NEW:
            step = self._begin(action)
            action = await self._store.record(action_id, step, now_ms=self._clock.wall_ms())
        if action.phase is Phase.RUNNING and action.is_cancel_asked:
            step = await self._cancel(action)
            action = await self._store.record(action_id, step, now_ms=self._clock.wall_ms())
        if action.phase is not Phase.RUNNING:
            self._metrics.ended(action.order.kind, action.phase)
            return 0
        step = await self._step(action)
        action = await self._store.record(action_id, step, now_ms=self._clock.wall_ms())
        if action.phase.is_final:
            self._metrics.ended(action.order.kind, action.phase)
            return 0
        return 0 if action.is_cancel_asked else step.pause_ms

    def _begin(self, action: KeptAction) -> Step:
        deadline_ms = action.order.deadline_wall_ms
        if deadline_ms is not None and self._clock.wall_ms() >= deadline_ms:
            return failed("its deadline passed before it began")
        return Step(phase=Phase.RUNNING)

    async def _cancel(self, action: KeptAction) -> Step:
        kind = self._catalogue.find(action.order.kind)
        error: Value = None
        if kind is not None and kind.cancel is not None:
            try:
                async with asyncio.timeout(AGENT_STEP_MS_MAX / 1_000):
                    await kind.cancel(action.payload)
            except (OSError, ValueError, TimeoutError) as exc:
                error = {"error_msg": f"what it began may go on: {type(exc).__name__}: {exc}"}
        return Step(phase=Phase.CANCELLED, payload=action.payload, error=error)

    async def _step(self, action: KeptAction) -> Step:
        order = action.order
        kind = self._catalogue.find(order.kind)
        if kind is None:
            # Kept from an earlier version of this agent.
            return failed(f"this agent has no action of the kind {order.kind}")
        try:
            async with asyncio.timeout(AGENT_STEP_MS_MAX / 1_000):
                return await kind.run(arguments(kind, order.args), action.payload)
        except Exception as exc:  # noqa: BLE001 - a supervisor: allowed.toml says why
            _log.exception("action %s of kind %s failed", order.action_id, order.kind)
            message = f"{type(exc).__name__}: {exc}"
            return failed(message[:1_000], action.payload)
