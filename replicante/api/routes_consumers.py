"""/events/consumers: named readers of the event log, whose places all peers keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors
from replicante.api import query as q
from replicante.api.bodies import to_request
from replicante.api.call import Call, Reply
from replicante.api.history import forked
from replicante.api.reads import read
from replicante.api.routing import Access, Method, Route
from replicante.api.writes import expectation, write
from replicante.ids import format_stamp
from replicante.state import queries
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.consumers import ConsumerRecord, consumer_get, consumer_list
from replicante.storage.kv import View
from replicante.wire import paths
from replicante.wire.consumers import Consumer, ConsumerBody, ConsumerGone, Consumers
from replicante.wire.durations import format_duration_ms
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context

_RESYNC = (
    "delete it: DELETE /api/v0/events/consumers/{name}",
    "make it anew: PUT the same path, without a position, and note Replicante-Index",
    "read what you need, then follow after the index of that answer: after=index:N",
)
_BELOW_FLOOR = (
    "events after this position are no longer kept: begin at the floor and accept the loss",
    "or put it without a position, read what you need, and follow from that index",
)


async def put_consumer(ctx: Context, call: Call) -> Reply:
    name = call.name("name")
    expect = expectation(call)

    def build(body: Json) -> tuple[PutConsumer, None]:
        text = to_request(body, ConsumerBody).position
        position = None if text is None else q.stamp(text, path="position")
        return PutConsumer(name, position, expect), None

    try:
        written = await write(ctx, call, build)
    except errors.ConsumerExpired as exc:
        raise errors.ConsumerExpired(hints=_RESYNC, **exc.details) from None
    except errors.HistoryForked as exc:
        raise forked(exc) from None
    except errors.HistoryGone as exc:
        raise errors.HistoryGone(hints=_BELOW_FLOOR, **exc.details) from None
    with ctx.state.view() as view:
        record = _get(view, name)
    if record is None:
        raise errors.NotFound(f"The consumer {name!r} was put, and deleted since.")
    status = 201 if written.applied.is_created else 200
    revision = format_stamp(written.applied.revision)
    return written.reply(_wire(record), status=status, revision=revision)


async def get_consumer(ctx: Context, call: Call) -> Reply:
    name = call.name("name")
    seen = await read(ctx, call, lambda view: (_get(view, name), queries.events_edge(view)))
    record, edge = seen.value
    if record is None:
        raise errors.NotFound(f"There is no consumer {name!r}.", index=seen.index)
    if record.is_expired:
        raise errors.ConsumerExpired(
            hints=_RESYNC,
            index=seen.index,
            position=format_stamp(record.position),
            floor=format_stamp(edge.floor),
            head=format_stamp(edge.head),
        )
    reply = seen.reply(_wire(record))
    reply.revision = format_stamp(record.revision)
    return reply


async def delete_consumer(ctx: Context, call: Call) -> Reply:
    name = call.name("name")
    expect = expectation(call)
    written = await write(ctx, call, lambda _: (DeleteConsumer(name, expect), None))
    gone = ConsumerGone(name=name, revision=format_stamp(written.applied.revision))
    return written.reply(gone)


async def list_consumers(ctx: Context, call: Call) -> Reply:
    seen = await read(ctx, call, lambda view: consumer_list(view, now=queries.counters(view)))
    return seen.reply(Consumers(items=tuple(map(_wire, seen.value))))


def _get(view: View, name: str) -> ConsumerRecord | None:
    return consumer_get(view, name, now=queries.counters(view))


def _wire(record: ConsumerRecord) -> Consumer:
    return Consumer(
        name=record.name,
        position=format_stamp(record.position),
        revision=format_stamp(record.revision),
        lag=record.lag_count,
        silent_for=format_duration_ms(record.silent_ms),
        expired=record.is_expired,
    )


_CONSUMER = f"{paths.CONSUMERS}/{{name}}"

ROUTES = (
    Route(
        method=Method.PUT,
        path=_CONSUMER,
        access=Access.WRITE,
        handler=put_consumer,
        summary="Makes a consumer, or says how far it is: what it has not read is kept for it.",
        body=ConsumerBody,
        answer=Consumer,
        statuses=(200, 201),
        refuses=(
            errors.ConsumerExpired,
            errors.HistoryForked,
            errors.HistoryGone,
            errors.NotFound,
            errors.TooManyConsumers,
        ),
        takes_match=True,
    ),
    Route(
        method=Method.GET,
        path=_CONSUMER,
        access=Access.READ,
        handler=get_consumer,
        summary="How far a consumer is; 410 consumer_expired when it holds nothing any more.",
        answer=Consumer,
        refuses=(errors.ConsumerExpired,),
    ),
    Route(
        method=Method.DELETE,
        path=_CONSUMER,
        access=Access.WRITE,
        handler=delete_consumer,
        summary="Ends a consumer: the event log is no longer kept for it.",
        answer=ConsumerGone,
        takes_match=True,
    ),
    Route(
        method=Method.GET,
        path=paths.CONSUMERS,
        access=Access.READ,
        handler=list_consumers,
        summary="Lists all consumers of events, by name, expired ones too.",
        answer=Consumers,
    ),
)
