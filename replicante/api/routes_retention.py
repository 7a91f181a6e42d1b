"""/events/retention: how much of the event log all peers keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors, limits
from replicante.api.bodies import to_request
from replicante.api.call import Call, Reply
from replicante.api.reads import read
from replicante.api.routing import Access, Method, Route
from replicante.api.writes import write
from replicante.ids import format_stamp
from replicante.state.commands import SetEventRetention
from replicante.state.retention import retention_status
from replicante.wire import paths
from replicante.wire.durations import format_duration_ms, parse_duration_ms
from replicante.wire.events import Retention, RetentionBody, RetentionSet
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context


async def get_retention(ctx: Context, call: Call) -> Reply:
    seen = await read(ctx, call, retention_status)
    found = seen.value
    return seen.reply(
        Retention(
            count=found.bounds.count_max,
            bytes=found.bounds.bytes_max,
            age=format_duration_ms(found.bounds.age_ms_max),
            kept_count=found.kept_count,
            kept_bytes=found.kept_bytes,
            floor=format_stamp(found.floor),
            head=format_stamp(found.head),
            held_by=found.held_by,
        )
    )


async def put_retention(ctx: Context, call: Call) -> Reply:
    def build(body: Json) -> tuple[SetEventRetention, RetentionBody]:
        asked = to_request(body, RetentionBody)
        return _command(asked), asked

    written = await write(ctx, call, build)
    revision = format_stamp(written.applied.revision)
    asked = written.built
    answer = RetentionSet(count=asked.count, bytes=asked.bytes, age=asked.age, revision=revision)
    return written.reply(answer)


def _command(asked: RetentionBody) -> SetEventRetention:
    """Raises Invalid: less than a minute of events would turn away every reader."""
    age_ms = parse_duration_ms(asked.age)
    if age_ms is None:
        raise errors.Invalid(
            f"{asked.age[:50]!r} is no duration; write it as 30d, 12h or 90m.", path="age"
        )
    least_age = format_duration_ms(limits.EVENTS_KEPT_MS_MIN)
    for name, value, least, shown in (
        ("count", asked.count, limits.EVENTS_KEPT_COUNT_MIN, str(limits.EVENTS_KEPT_COUNT_MIN)),
        ("bytes", asked.bytes, limits.EVENTS_KEPT_BYTES_MIN, str(limits.EVENTS_KEPT_BYTES_MIN)),
        ("age", age_ms, limits.EVENTS_KEPT_MS_MIN, least_age),
    ):
        if value < least:
            raise errors.Invalid(
                f"At least {shown}: with less, readers fall out of the log while they read.",
                path=name,
            )
    return SetEventRetention(count_max=asked.count, bytes_max=asked.bytes, age_ms_max=age_ms)


ROUTES = (
    Route(
        method=Method.GET,
        path=paths.RETENTION,
        access=Access.READ,
        handler=get_retention,
        summary="How much of the event log is kept, how much there is, and who holds it.",
        answer=Retention,
    ),
    Route(
        method=Method.PUT,
        path=paths.RETENTION,
        access=Access.WRITE,
        handler=put_retention,
        summary="Sets how much of the event log is kept, on all peers: by count, bytes and age.",
        body=RetentionBody,
        answer=RetentionSet,
    ),
)
