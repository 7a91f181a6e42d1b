"""Tells an agent that waits for its store from one that answers nobody. Called by client.

A store that hangs keeps its agent from an answer for seconds, and a look has patience with that. An
agent whose machine hung, or that is cut off, answers nothing at all, not even a call that needs no
store: a failover need not wait for the end of that patience.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from replicante.agents import protocol
from replicante.agents.calls import AgentCalls, Failed
from replicante.limits import AGENT_BREATH_MS_MAX, AGENT_BREATH_WAIT_MS
from replicante.model.observation import AgentAnswer

Found = TypeVar("Found")


async def while_it_breathes(agent: AgentCalls, look: Coroutine[Any, Any, Found]) -> Found:
    """What `look` finds. Raises Failed when the agent answered no call at all within
    AGENT_BREATH_MS_MAX; else as `look` does."""
    looking = asyncio.ensure_future(look)
    breath: asyncio.Task[None] | None = None
    try:
        await asyncio.wait({looking}, timeout=AGENT_BREATH_WAIT_MS / 1_000)
        if not looking.done() and not agent.has_answered:
            breath = asyncio.create_task(_breathe(agent))
            rest_s = (AGENT_BREATH_MS_MAX - AGENT_BREATH_WAIT_MS) / 1_000
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait({looking, breath}, timeout=rest_s, return_when=first)
            if not looking.done() and not agent.has_answered:
                raise Failed(
                    AgentAnswer.TIMEOUT, f"no answer to any call within {AGENT_BREATH_MS_MAX} ms"
                )
        return await looking
    finally:
        for task in (looking, breath):
            if task is not None and not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, TimeoutError, Failed):
                    await task


async def _breathe(agent: AgentCalls) -> None:
    with contextlib.suppress(TimeoutError, Failed):
        await agent.call("GET", protocol.ACTIONS_QUEUE, None)
