"""GET /events: a page, either way, a long poll, or a stream for as long as the reader reads."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import web

from replicante import errors, limits
from replicante.api import query as q
from replicante.api.call import Call, Reply
from replicante.api.event_lines import wire_event
from replicante.api.event_stream import StreamOrder, stream
from replicante.api.history import forked
from replicante.api.negotiate import PLAIN, STREAMING
from replicante.api.reads import ReadOptions, Seen, reach, read_options, read_with
from replicante.api.routing import Access, Method, Parameter, Route
from replicante.ids import ORDINAL_MAX, STAMP_MAX, format_stamp, make_stamp, stamp_index
from replicante.state import queries
from replicante.state.eventlog import EventFilter
from replicante.storage.kv import View
from replicante.wire import headers, paths
from replicante.wire.events import EventsPage
from replicante.wire.headers import Consistency

if TYPE_CHECKING:
    from replicante.api.context import Context

AFTER_HEAD = "head"
"""`after=head`: only what is to come."""
AFTER_INDEX = "index:"
"""`after=index:184233`: what came after a state that was read at this index."""
_RESYNC = (
    "read what you need with GET /api/v0/kv and GET /api/v0/list, and note Replicante-Index",
    "then follow from there with after=index:N, N being that index: nothing is missed",
    "or accept the loss and go on from the floor",
)
_BACKWARDS = "Backwards (before) there are pages only, without after, wait and Last-Event-ID."


async def get_events(ctx: Context, call: Call) -> Reply | web.StreamResponse:
    options = replace(
        read_options(call.query, default=Consistency.STALE), wait_ms=_timeout_ms(call)
    )
    where = _filter(call)
    limit = q.page_limit(call.query, headers.Q_LIMIT)
    if headers.Q_BEFORE in call.query:
        return await _page_back(ctx, call, options, where=where, limit=limit)
    await reach(ctx, options)
    after = _after(ctx, call)
    try:
        if call.media in PLAIN or call.request.method == "HEAD":
            return await _page(ctx, call, options, after=after, where=where, limit=limit)
        items_max = limit if headers.Q_LIMIT in call.query else None
        return await stream(ctx, call, StreamOrder(after=after, where=where, items_max=items_max))
    except errors.HistoryGone as exc:
        raise _gone(exc) from exc


async def _page_back(
    ctx: Context, call: Call, options: ReadOptions, *, where: EventFilter, limit: int
) -> Reply:
    """Newest first."""
    foreign = [name for name in (headers.Q_AFTER, headers.Q_WAIT) if name in call.query]
    if foreign or call.header(headers.LAST_EVENT_ID) or call.media not in PLAIN:
        raise errors.Invalid(_BACKWARDS, path=f"?{headers.Q_BEFORE}")
    text = call.query[headers.Q_BEFORE]
    is_end = text == headers.BEFORE_END
    before = STAMP_MAX if is_end else q.stamp(text, path=f"?{headers.Q_BEFORE}")

    def look(view: View) -> queries.EventsPage:
        return queries.events_before(view, before, limit=limit, where=where)

    try:
        return _reply(await read_with(ctx, options, look), call)
    except errors.HistoryGone as exc:
        raise errors.HistoryGone(
            f"What came before {format_stamp(before)} was removed: all events that are kept come "
            f"after {exc.details['floor']}.",
            hints=("what is kept, newest first: before=end",),
            **exc.details,
        ) from exc


async def _page(
    ctx: Context,
    call: Call,
    options: ReadOptions,
    *,
    after: int,
    where: EventFilter,
    limit: int,
) -> Reply:
    """Waits for the first event that passes the filter, when asked to."""
    wait_ms = q.duration_ms(
        call.query, headers.Q_WAIT, default_ms=0, max_ms=limits.BLOCKING_WAIT_MS_MAX
    )
    # What was asked for is reached already; from here on every look is at what this peer has.
    options = replace(options, consistency=_local(options.consistency))
    place = after

    def look(view: View) -> queries.EventsPage:
        return queries.events_after(view, place, limit=limit, where=where)

    deadline_ms = ctx.clock.monotonic_ms() + wait_ms
    seen = await read_with(ctx, options, look)
    if seen.value.items or wait_ms == 0:
        return _reply(seen, call)
    with ctx.feed.reader():
        ctx.metrics.streams.labels("poll").inc()
        try:
            while not seen.value.items and not ctx.feed.is_stopping:
                rest_ms = deadline_ms - ctx.clock.monotonic_ms()
                if rest_ms <= 0:
                    break
                if seen.value.is_more:
                    await asyncio.sleep(0)
                else:
                    await ctx.feed.wait_beyond(seen.value.next, timeout_ms=rest_ms)
                place = seen.value.next
                seen = await read_with(ctx, options, look)
        finally:
            ctx.metrics.streams.labels("poll").dec()
    return _reply(seen, call)


def _reply(seen: Seen[queries.EventsPage], call: Call) -> Reply:
    page = seen.value
    body = EventsPage(
        items=tuple(wire_event(event) for event in page.items),
        next=format_stamp(page.next),
        floor=format_stamp(page.floor),
        head=format_stamp(page.head),
    )
    reply = seen.reply(body)
    asked = q.choice(call.query, headers.Q_CONSISTENCY, Consistency, default=Consistency.STALE)
    reply.consistency = asked
    return reply


def _local(consistency: Consistency) -> Consistency:
    """After the barrier, the rest of a linearizable read is local."""
    return Consistency.STALE if consistency is Consistency.LINEARIZABLE else consistency


def _timeout_ms(call: Call) -> int:
    """`wait` is for events here; `after_index` waits as long as the request's time limit."""
    return q.strict_duration_ms(
        call.query,
        headers.Q_TIMEOUT,
        default_ms=limits.REQUEST_DEADLINE_MS_DEFAULT,
        max_ms=limits.REQUEST_DEADLINE_MS_MAX,
    )


def _after(ctx: Context, call: Call) -> int:
    """Last-Event-ID (a browser that comes back) wins over `after`."""
    asked = _asked_after(ctx, call)
    resumed = call.header(headers.LAST_EVENT_ID)
    return q.stamp(resumed, path=headers.LAST_EVENT_ID) if resumed else asked


def _asked_after(ctx: Context, call: Call) -> int:
    text = call.query.get(headers.Q_AFTER)
    if text is not None and text.startswith(AFTER_INDEX):
        index = q.whole_number(
            {headers.Q_AFTER: text.removeprefix(AFTER_INDEX)},
            headers.Q_AFTER,
            default=0,
            minimum=0,
            maximum=stamp_index(STAMP_MAX),
        )
        return make_stamp(index, ORDINAL_MAX)
    if text is not None and text != AFTER_HEAD:
        return q.stamp(text, path=f"?{headers.Q_AFTER}")
    with ctx.state.view() as view:
        edge = queries.events_edge(view)
    return edge.head if text == AFTER_HEAD else edge.floor


def _filter(call: Call) -> EventFilter:
    text = call.query.get(headers.Q_CODE, "")
    codes = tuple(code for code in text.split(",") if code)
    if len(codes) > limits.EVENT_FILTER_CODES_MAX:
        raise errors.Invalid(
            f"At most {limits.EVENT_FILTER_CODES_MAX} codes.",
            path=f"?{headers.Q_CODE}",
            limit=limits.EVENT_FILTER_CODES_MAX,
        )
    return EventFilter(
        codes=codes,
        ns=call.query.get(headers.Q_NS),
        cluster=call.query.get(headers.Q_CLUSTER),
        key_prefix=call.query.get(headers.Q_KEY),
    )


def _gone(error: errors.HistoryGone) -> errors.HistoryGone:
    """The same, with what to do about it."""
    if isinstance(error, errors.HistoryForked):
        return forked(error)
    return errors.HistoryGone(
        f"Events are kept after {error.details['floor']} only; those asked for were removed.",
        hints=_RESYNC,
        **error.details,
    )


ROUTES = (
    Route(
        method=Method.GET,
        path=paths.EVENTS,
        access=Access.STREAM,
        handler=get_events,
        summary="The event log: a page, a long poll (wait), NDJSON or server-sent events.",
        answer=EventsPage,
        offered=STREAMING,
        parameters=(
            Parameter(
                name=headers.Q_AFTER,
                meaning="Only events with a greater id; `head`: only new ones; `index:N`: only "
                "those of entries after N. Default: all that are kept.",
            ),
            Parameter(
                name=headers.Q_BEFORE,
                meaning="Instead of after: events with a lower id, newest first; `end`: from the "
                "newest on. Pages only; next = floor says that this was all.",
            ),
            Parameter(
                name=headers.Q_LIMIT,
                meaning="Items of a page, 1 to 1000, default 100. A stream ends after so many.",
            ),
            Parameter(
                name=headers.Q_WAIT,
                meaning="Wait for the first event of an empty page, at most 10m. Default: 0s.",
            ),
            Parameter(
                name=headers.Q_CODE,
                meaning="Only codes that begin with this; several with commas.",
            ),
            Parameter(name=headers.Q_NS, meaning="Only events of this namespace."),
            Parameter(name=headers.Q_CLUSTER, meaning="Only events of this cluster."),
            Parameter(name=headers.Q_KEY, meaning="Only events whose key begins with this."),
            Parameter(
                name=headers.Q_CONSISTENCY,
                meaning="stale (default: the log of this peer), bounded or linearizable.",
            ),
            Parameter(name=headers.Q_MAX_STALE_MS, meaning="With bounded. Default 5000."),
            Parameter(
                name=headers.Q_AFTER_INDEX,
                meaning="Answer only when this peer has applied at least this index.",
            ),
            Parameter(
                name=headers.Q_TIMEOUT,
                meaning="For after_index and linearizable. Default 10s, at most 60s.",
            ),
        ),
    ),
)
