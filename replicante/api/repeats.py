"""Whether a write that waits repeats one that was answered. Called by `routes_leases` and
`routes_queues` before they wait: a repeat must not wait for what its first attempt has already."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from replicante.api.writes import Prepared
from replicante.state import queries

if TYPE_CHECKING:
    from replicante.api.context import Context

T = TypeVar("T")


async def was_answered(ctx: Context, prepared: Prepared[T]) -> bool:
    """The barrier shows what was committed before the repeat began, at whatever peer. What is
    remembered may be too old to be answered again: then the proposal says so, at once."""
    key = prepared.sender.idempotency_key
    if key is None:
        return False
    await ctx.peer.read_barrier(timeout_ms=prepared.timeout_ms)
    with ctx.state.view() as view:
        return queries.request_outcome(view, key) is not None
