"""GET /requests/{id}: what became of a write whose answer was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors, limits
from replicante.api.batches import outcome_body, outcome_items, outcome_status
from replicante.api.call import Call, Reply
from replicante.api.reads import read
from replicante.api.routing import Access, Method, Route
from replicante.state import queries
from replicante.state.outcome import decode_outcome
from replicante.wire import paths
from replicante.wire.batch import RequestOutcome

if TYPE_CHECKING:
    from replicante.api.context import Context


async def get_request(ctx: Context, call: Call) -> Reply:
    key = call.arguments["id"]
    if not 1 <= len(key.encode()) <= limits.IDEMPOTENCY_KEY_BYTES_MAX:
        raise errors.Invalid(
            f"An Idempotency-Key is 1 to {limits.IDEMPOTENCY_KEY_BYTES_MAX} bytes.",
            path="id",
            limit=limits.IDEMPOTENCY_KEY_BYTES_MAX,
        )
    seen = await read(ctx, call, lambda view: queries.request_outcome(view, key))
    record = seen.value
    if record is None:
        raise errors.NotFound(
            "No write with this Idempotency-Key was applied up to this index, or its outcome is "
            "no longer remembered.",
            hints=("a write that is still on its way may be applied later: repeat it",),
            index=seen.index,
        )
    outcome = decode_outcome(record.outcome)
    return seen.reply(
        RequestOutcome(
            idempotency_key=key,
            status=outcome_status(outcome),
            index=record.index,
            items=outcome_items(outcome),
            body=outcome_body(outcome),
        )
    )


ROUTES = (
    Route(
        method=Method.GET,
        path=f"{paths.REQUESTS}/{{id}}",
        access=Access.READ,
        handler=get_request,
        summary="The outcome of a write, by its Idempotency-Key.",
        answer=RequestOutcome,
    ),
)
