"""Named readers of the event log, whose places all peers keep. Reached as `client.consumers`."""

from __future__ import annotations

from replicante.client.calls import Calls
from replicante.client.encoding import encode_body, path_text, precondition, read_call, write_call
from replicante.client.options import DEFAULT_WRITE, LINEARIZABLE, Read, Write
from replicante.wire import paths
from replicante.wire.consumers import Consumer, ConsumerBody, ConsumerGone
from replicante.wire.consumers import Consumers as ConsumerItems


class Consumers:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def put(
        self,
        name: str,
        position: str | None = None,
        *,
        expect_revision: str | None = None,
        must_not_exist: bool = False,
        write: Write = DEFAULT_WRITE,
    ) -> Consumer:
        """Says that everything up to an event was handled, or makes the consumer. Events after its
        position are kept for it, up to 1 GiB and 7 days of silence.

        position: id of the last event that was handled; None says only that the consumer is alive,
        and lets a new one begin at the head. Handle first, put then: after a crash you see again
        what was not put, and nothing is lost. Put every few seconds, not for every event.
        expect_revision: only when nobody else has put meanwhile. Durable on a majority when it
        returns. Raises `ConsumerExpired` when it holds nothing any more, `HistoryGone` for a
        position below the floor, `TooManyConsumers`, and as `kv.put`.
        """
        condition = precondition(expect_revision=expect_revision, must_not_exist=must_not_exist)
        body = encode_body(ConsumerBody(position=position), path="position")
        path = path_text(paths.consumer_path, name)
        call = write_call("PUT", path, body, headers=condition, write=write)
        return await self._calls.write_as(Consumer, call)

    async def get(self, name: str, *, read: Read = LINEARIZABLE) -> Consumer:
        """How far a consumer is. Raises `ConsumerExpired`, `NotFound`, and as `kv.get`."""
        call = read_call(path_text(paths.consumer_path, name), read)
        return await self._calls.run_as(Consumer, call)

    async def delete(
        self, name: str, *, expect_revision: str | None = None, write: Write = DEFAULT_WRITE
    ) -> ConsumerGone:
        """The event log is no longer kept for it. Raises `NotFound` when there is none, and as
        `kv.put`."""
        condition = precondition(expect_revision=expect_revision, must_not_exist=False)
        path = path_text(paths.consumer_path, name)
        call = write_call("DELETE", path, None, headers=condition, write=write)
        return await self._calls.write_as(ConsumerGone, call)

    async def list(self, *, read: Read = LINEARIZABLE) -> tuple[Consumer, ...]:
        """All consumers by name, expired ones too; there are at most 100. Raises as `kv.get`."""
        call = read_call(paths.CONSUMERS, read)
        return (await self._calls.run_as(ConsumerItems, call)).items
