"""An election: a lease that one campaigner holds and everybody may watch. Reached as
`client.election`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from replicante.client.calls import Calls, read_as
from replicante.client.encoding import path_text, read_call
from replicante.client.events import Events
from replicante.client.leases import Leases
from replicante.client.locks import Lock
from replicante.client.options import LINEARIZABLE, EventFilter
from replicante.errors import HistoryGone, NotFound
from replicante.ids import ORDINAL_MAX, format_stamp, make_stamp
from replicante.wire import paths
from replicante.wire.events import Event
from replicante.wire.leases import LeaseItem
from replicante.wire.values import Json

_ACQUIRED = "LEASE_ACQUIRED"
_LEASE_EVENTS = "LEASE_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """Who won. token: greater than that of any leader before."""

    token: str
    owner: dict[str, Json]


class Election:
    def __init__(self, calls: Calls, leases: Leases, events: Events, name: str) -> None:
        self.name = name
        self._calls = calls
        self._leases = leases
        self._events = events

    def campaign(
        self,
        *,
        owner: Mapping[str, Json] | None = None,
        duration_ms: int = 10_000,
        wait_ms: int | None = None,
    ) -> Lock:
        """`async with election.campaign(owner={"host": …}) as leadership:` waits until this
        campaigner leads, and leads while the block runs; see `Lock`. owner: what observers see.
        Raises, and is as consistent, as `Client.lock`."""
        return Lock(
            self._leases,
            self._calls.clock,
            self.name,
            duration_ms=duration_ms,
            owner=owner,
            wait_ms=wait_ms,
        )

    async def observe(self) -> AsyncGenerator[Leader | None, None]:
        """Who leads now (None: nobody), and every change from then on, in order and without a gap,
        for ever. A leader of the past may be seen late, never out of order: who acts on it
        compares tokens. Who leads now is a linearizable read. Raises as `kv.get`. Close it
        (`contextlib.aclosing`) when you stop."""
        while True:
            leader, index = await self._present()
            yield leader
            # A change within the entry that was read is part of what was read.
            after = format_stamp(make_stamp(index, ORDINAL_MAX))
            wanted = EventFilter(code=_LEASE_EVENTS, key=self.name)
            try:
                async with aclosing(self._events.follow(after=after, wanted=wanted)) as stream:
                    async for event in stream:
                        if event.key == self.name:
                            yield _leader_of(event)
            except HistoryGone:
                continue  # what is no longer kept is read off the lease itself

    async def _present(self) -> tuple[Leader | None, int]:
        call = read_call(path_text(paths.lease_path, self.name), LINEARIZABLE)
        try:
            reply = await self._calls.run(call)
        except NotFound as exc:
            index = exc.details.get("index")
            if exc.code != NotFound.code or not isinstance(index, int):
                raise
            return None, index
        item = read_as(LeaseItem, reply)
        return Leader(token=item.token, owner=item.owner), reply.index or 0


def _leader_of(event: Event) -> Leader | None:
    if event.code != _ACQUIRED:
        return None
    return Leader(token=event.payload["token"], owner=event.payload["owner"])
