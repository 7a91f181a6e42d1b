"""What the actions of this room share: a bound on their steps, and errors as reasons. Pure.
Called by `actions` and `through_sentinel`."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from replicante.agents.sdk import Step, SupervisionFailed, again, failed
from replicante.agents.stores.redis.talk import NoContact, Refused
from replicante.limits import REDIS_STEPS_MAX
from replicante.model.codec import Value

Handler = Callable[[Any, Value], Awaitable[Step]]


def step_again(
    before: Value, message: str, *, bound: int = REDIS_STEPS_MAX, pause_ms: int = 200
) -> Step:
    """Another step, until there were too many. What the last step left besides is kept."""
    kept = before if isinstance(before, dict) else {}
    count = int(kept.get("steps", 0)) + 1
    payload: Value = {**kept, "steps": count, "message": message}
    return failed(message, payload) if count > bound else again(payload, pause_ms=pause_ms)


def translated(handler: Handler) -> Handler:
    """A server that cannot be asked or refuses is a reason, not a defect."""

    @functools.wraps(handler)
    async def run(args: Any, before: Value) -> Step:
        try:
            return await handler(args, before)
        except (NoContact, Refused, SupervisionFailed, OSError, ValueError) as exc:
            return failed(str(exc) or type(exc).__name__, before)

    return run
