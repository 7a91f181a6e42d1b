"""The one way to read the tables: as fresh as asked, at one index, within the time limit.

Called by every handler that reads. Order: confirm with a majority when asked, wait until this peer
has applied what the caller has seen, check the age when a bound is given, then take a view, ask,
and close it without an await in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from replicante import errors, limits
from replicante.api import query as q
from replicante.api.call import Reply
from replicante.api.guard import refuse_quarantined
from replicante.storage.kv import View
from replicante.wire import headers
from replicante.wire.headers import Consistency

if TYPE_CHECKING:
    from replicante.api.call import Call
    from replicante.api.context import Context

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    consistency: Consistency
    max_stale_ms: int
    after_index: int
    """0: none."""
    timeout_ms: int
    """For the confirmation by a majority."""
    wait_ms: int
    """For after_index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen(Generic[T]):
    """value: what the query gave, at `index`. staleness_ms: the age of the view, None unknown."""

    value: T
    index: int
    staleness_ms: int | None
    consistency: Consistency

    def reply(self, body: object, *, revision: str | None = None) -> Reply:
        return Reply(
            body=body,
            index=self.index,
            staleness_ms=self.staleness_ms,
            consistency=self.consistency,
            revision=revision,
        )


def read_options(
    query: Mapping[str, str], *, default: Consistency = Consistency.LINEARIZABLE
) -> ReadOptions:
    """Raises Invalid."""
    consistency = q.choice(query, headers.Q_CONSISTENCY, Consistency, default=default)
    if headers.Q_MAX_STALE_MS in query and consistency is not Consistency.BOUNDED:
        raise errors.Invalid(
            "max_stale_ms goes with consistency=bounded.", path=f"?{headers.Q_MAX_STALE_MS}"
        )
    timeout_ms = q.strict_duration_ms(
        query,
        headers.Q_TIMEOUT,
        default_ms=limits.REQUEST_DEADLINE_MS_DEFAULT,
        max_ms=limits.REQUEST_DEADLINE_MS_MAX,
    )
    return ReadOptions(
        consistency=consistency,
        max_stale_ms=q.whole_number(
            query,
            headers.Q_MAX_STALE_MS,
            default=headers.MAX_STALE_MS_DEFAULT,
            minimum=0,
            maximum=headers.MAX_STALE_MS_MAX,
        ),
        after_index=q.index(query, headers.Q_AFTER_INDEX),
        timeout_ms=timeout_ms,
        wait_ms=q.duration_ms(
            query,
            headers.Q_WAIT,
            default_ms=timeout_ms,
            max_ms=limits.BLOCKING_WAIT_MS_MAX,
        ),
    )


async def read(ctx: Context, call: Call, query: Callable[[View], T]) -> Seen[T]:
    """Raises Invalid for bad parameters; NoLeader, ReadTimeout, StaleRead, Quarantined; and
    whatever `query` raises."""
    options = read_options(call.query)

    def noted(view: View) -> T:
        call.seen_as = options.consistency
        return query(view)

    return await read_with(ctx, options, noted)


async def read_with(ctx: Context, options: ReadOptions, query: Callable[[View], T]) -> Seen[T]:
    name = options.consistency.value
    try:
        await reach(ctx, options)
        refuse_quarantined(ctx.presence.status())
        staleness_ms = ctx.peer.staleness_ms()
        if options.consistency is Consistency.BOUNDED:
            _check_age(staleness_ms, options)
    except errors.ConsensusError:
        ctx.metrics.reads.labels(name, "refused").inc()
        raise
    with ctx.state.view() as view:
        value = query(view)
        index = view.applied_index
    ctx.metrics.reads.labels(name, "answered").inc()
    return Seen(
        value=value, index=index, staleness_ms=staleness_ms, consistency=options.consistency
    )


async def reach(ctx: Context, options: ReadOptions) -> None:
    """Returns when this peer has applied what the options ask for."""
    if options.consistency is Consistency.LINEARIZABLE:
        await ctx.peer.read_barrier(timeout_ms=options.timeout_ms)
    if options.after_index <= ctx.peer.applied_index:
        return
    if not await ctx.peer.wait_applied(options.after_index, timeout_ms=options.wait_ms):
        raise errors.ReadTimeout(
            f"This peer has not applied index {options.after_index} in time; it is at "
            f"{ctx.peer.applied_index}.",
            hints=("ask another peer", "wait longer with ?wait="),
            applied_index=ctx.peer.applied_index,
        )


def _check_age(staleness_ms: int | None, options: ReadOptions) -> None:
    if staleness_ms is not None and staleness_ms <= options.max_stale_ms:
        return
    age = "unknown" if staleness_ms is None else f"up to {staleness_ms} ms"
    raise errors.StaleRead(
        f"The age of this peer's copy is {age}; asked was at most {options.max_stale_ms} ms.",
        hints=("ask another peer", "use consistency=linearizable", "raise max_stale_ms"),
        staleness_ms=staleness_ms,
        max_stale_ms=options.max_stale_ms,
    )
