"""POST /batch: many operations of any kind in one log entry, each on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors
from replicante.api.batches import batched_command, outcome_item
from replicante.api.bodies import to_request
from replicante.api.call import Call, Reply
from replicante.api.routing import Access, Method, Route
from replicante.api.writes import write
from replicante.state.commands import Batch, BatchedCommand
from replicante.state.outcome import BatchApplied
from replicante.wire import paths
from replicante.wire.batch import BatchAnswer, BatchBody
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context


async def post_batch(ctx: Context, call: Call) -> Reply:
    written = await write(ctx, call, _build)
    outcome = written.outcome
    assert isinstance(outcome, BatchApplied), "a batch has one outcome for each operation"
    items = tuple(
        outcome_item(one, operation)
        for one, operation in zip(outcome.outcomes, written.built, strict=True)
    )
    return written.reply(BatchAnswer(items=items, index=written.index))


def _build(body: Json) -> tuple[Batch, tuple[BatchedCommand, ...]]:
    request = to_request(body, BatchBody)
    operations = tuple(
        batched_command(operation, where=f"operations[{i}]")
        for i, operation in enumerate(request.operations)
    )
    return Batch(operations), operations


ROUTES = (
    Route(
        method=Method.POST,
        path=paths.BATCH,
        access=Access.WRITE,
        handler=post_batch,
        summary="Carries out up to 1000 operations in order; each stands alone.",
        body=BatchBody,
        answer=BatchAnswer,
        refuses=(errors.NotFound,),
    ),
)
