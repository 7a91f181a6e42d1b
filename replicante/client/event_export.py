"""Copies the event log into a sink, each event once and in order, and proves it while it does so.

Called by `events`. What the sink holds decides where to go on. Unfiltered, every event must follow
the one before by seq and chain, so a peer that lies, or a log that is another one, is found before
anything of it is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec

from replicante import limits
from replicante.client.event_file import EventSink
from replicante.client.log_check import fault_between, order_fault
from replicante.errors import BadAnswer, ReplicanteError
from replicante.wire.events import Event, EventsPage

Ask = Callable[[str | None], Awaitable[EventsPage]]
"""The page after an id; None: after the floor."""


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What an export did. last: id of the last event in the sink, None when it holds none."""

    written_count: int
    last: str | None


class Export:
    """One run: `catch_up` once, then perhaps `go_on`."""

    def __init__(self, sink: EventSink, *, is_whole: bool) -> None:
        """is_whole: no filter, so that seq and chain are checked."""
        self._sink = sink
        self._fault_of = fault_between if is_whole else order_fault
        self._last = sink.last
        self._written_count = 0

    @property
    def exported(self) -> Exported:
        last = None if self._last is None else self._last.id
        return Exported(written_count=self._written_count, last=last)

    async def catch_up(self, ask: Ask, *, after: str | None) -> str:
        """Everything up to the head as the first answer tells it; where to go on from. A page is
        durable in the sink before the next is asked for. after: for an empty sink."""
        place = after if self._last is None else self._last.id
        head: str | None = None
        while True:
            page = await ask(place)
            head = head or page.head
            await self._keep(page.items)
            if page.next >= head or page.next == place:
                return page.next
            place = page.next

    async def go_on(self, events: AsyncIterator[Event]) -> None:
        """Until the events end or fail, or it is cancelled. One fsync makes durable whatever came
        during the one before."""
        waiting: asyncio.Queue[Event | ReplicanteError | None] = asyncio.Queue(
            limits.EXPORT_QUEUED_ITEMS_MAX
        )
        async with asyncio.TaskGroup() as tasks:
            feeding = tasks.create_task(_feed(events, waiting))
            failure = await self._drain(waiting)
            feeding.cancel()
        if failure is not None:
            raise failure

    async def _drain(
        self, waiting: asyncio.Queue[Event | ReplicanteError | None]
    ) -> Exception | None:
        """Why it ended."""
        batch: list[Event] = []
        while True:
            found = await waiting.get()
            if isinstance(found, Event):
                batch.append(found)
                if not waiting.empty():
                    continue
            try:
                await self._keep(batch)
            except (ReplicanteError, OSError) as exc:
                return exc
            if not isinstance(found, Event):
                return found
            batch = []

    async def _keep(self, events: Sequence[Event]) -> None:
        if not events:
            return
        for before, event in zip((self._last, *events), events, strict=False):
            fault = self._fault_of(before, event)
            if fault is not None:
                raise BadAnswer(f"The event log cannot be exported further: {fault}.")
        work = asyncio.ensure_future(asyncio.to_thread(self._write, events))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await work  # whoever cancels closes the sink next
            raise
        finally:
            self._last = self._sink.last
        self._written_count += len(events)

    def _write(self, events: Sequence[Event]) -> None:
        self._sink.append(events)
        self._sink.sync()


async def _feed(
    events: AsyncIterator[Event], waiting: asyncio.Queue[Event | ReplicanteError | None]
) -> None:
    """The last thing that it hands over says why there is no more."""
    try:
        async for event in events:
            await waiting.put(event)
    except ReplicanteError as exc:
        await waiting.put(exc)
    else:
        await waiting.put(None)
