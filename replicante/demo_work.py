"""What the demo does to a cluster: write, follow, read back, compare. Called by `demo`.

Rule: these functions note what they saw; `demo_report` judges it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from replicante import errors, limits
from replicante.client import (
    Client,
    Consistency,
    Note,
    NoteKind,
    Read,
    Write,
)
from replicante.clock import Clock
from replicante.demo_report import EventsSeen, ReadBack, StateDigest, compare
from replicante.wire.events import Event
from replicante.wire.status import RaftStatus
from replicante.wire.values import Json

PREFIX = "demo/"
WRITE_PAUSE_MS = 60
FAST_WRITES_MAX = 400
SLOW_WRITE_PAUSE_MS = 1_000
"""After so many, a writer slows down: the state stays small enough to be hashed on request."""
WRITE_TIMEOUT_MS = 10_000
POLL_MS = 200
STATUS_MS_MAX = 2_000


@dataclass(slots=True, kw_only=True)
class Ledger:
    """What the writers were told. ack_times_ms: in order, monotonic."""

    acknowledged: dict[str, Json] = field(default_factory=dict)
    in_doubt: list[str] = field(default_factory=list)
    refused_count: int = 0
    ack_times_ms: list[int] = field(default_factory=list)
    newest_index: int = 0
    grew: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at every acknowledgement; whoever waits clears it first."""

    async def wait_after(self, moment_ms: int, *, count: int) -> None:
        """Until so many were acknowledged after a moment. Give it a time limit."""
        while self.count_after(moment_ms) < count:
            self.grew.clear()
            await self.grew.wait()

    def gap_ms(self, since_ms: int) -> int | None:
        """Longest time between two acknowledgements of which the second came after a moment."""
        times = self.ack_times_ms
        gaps = [later - earlier for earlier, later in itertools.pairwise(times) if later > since_ms]
        return max(gaps, default=None)

    def count_after(self, moment_ms: int) -> int:
        return sum(time_ms > moment_ms for time_ms in self.ack_times_ms)


async def write_on(
    endpoints: Sequence[str], *, name: str, ledger: Ledger, clock: Clock, stop: asyncio.Event
) -> None:
    """Writes a key after the other until told to stop; never the same key twice."""
    async with Client(endpoints) as client:
        for number in itertools.count(1):
            if stop.is_set():
                return
            key = f"{PREFIX}{name}/{number:05d}"
            value = {"writer": name, "number": number, "square": number * number}
            try:
                await client.kv.put(key, value, write=Write(timeout_ms=WRITE_TIMEOUT_MS))
            except errors.OutcomeUnknown:
                ledger.in_doubt.append(key)
            except errors.ReplicanteError as exc:
                ledger.refused_count += 1
                if not exc.definite:
                    ledger.in_doubt.append(key)
            else:
                ledger.acknowledged[key] = value
                ledger.ack_times_ms.append(clock.monotonic_ms())
                ledger.newest_index = max(ledger.newest_index, client.seen_index)
                ledger.grew.set()
            is_fast = number < FAST_WRITES_MAX
            await _pause(stop, WRITE_PAUSE_MS if is_fast else SLOW_WRITE_PAUSE_MS)


class Tail:
    """Follows the events of the demo's keys, and remembers which came how often."""

    def __init__(self, endpoints: Sequence[str], *, show: Callable[[Event], None]) -> None:
        self._endpoints = endpoints
        self._show = show
        self._grew = asyncio.Event()
        self.keys: Counter[str] = Counter()
        self.delivered_count = 0
        self.resumed_count = 0

    async def run(self) -> None:
        """Until it is cancelled. Raises when the log has a gap or is no longer kept."""
        async with (
            Client(self._endpoints, observe=self._note) as client,
            aclosing(client.events.follow(silence_ms=limits.STALE_STREAM_MS)) as events,
        ):
            async for event in events:
                self.delivered_count += 1
                if event.key is not None and event.key.startswith(PREFIX):
                    self.keys[event.key] += 1
                    self._grew.set()
                self._show(event)

    async def wait_for(self, keys: Sequence[str]) -> None:
        """Until every key was seen. Give it a time limit."""
        while any(key not in self.keys for key in keys):
            self._grew.clear()
            await self._grew.wait()

    def seen(self, acknowledged: Sequence[str]) -> EventsSeen:
        return EventsSeen(
            delivered_count=self.delivered_count,
            resumed_count=self.resumed_count,
            missing=tuple(key for key in acknowledged if key not in self.keys),
            repeated=tuple(key for key, count in self.keys.items() if count > 1),
        )

    def _note(self, note: Note) -> None:
        self.resumed_count += note.kind is NoteKind.STREAM_RESUMED


async def find_leader(urls: Sequence[str], *, not_: str | None = None) -> str:
    """Id of the peer that says itself that it leads, and is not `not_`. Give it a time limit."""
    async with Client(urls) as client:
        while True:
            for status in await statuses(client, urls):
                if status.role == "leader" and status.peer != not_:
                    return status.peer
            await asyncio.sleep(POLL_MS / 1000)


async def statuses(
    client: Client, urls: Sequence[str], *, has_digest_now: bool = False
) -> list[RaftStatus]:
    """Of the peers that answer, in the order of the URLs."""

    async def ask(url: str) -> RaftStatus | None:
        try:
            return await client.raft_status(
                url, has_digest_now=has_digest_now, timeout_ms=STATUS_MS_MAX
            )
        except errors.Conflict:  # too large to be hashed on request
            return await client.raft_status(url, timeout_ms=STATUS_MS_MAX)

    found = await asyncio.gather(*(ask(url) for url in urls), return_exceptions=True)
    for item in found:
        if isinstance(item, BaseException) and not isinstance(item, errors.ReplicanteError):
            raise item
    return [item for item in found if isinstance(item, RaftStatus)]


async def compare_digests(urls: Mapping[str, str], *, least_index: int) -> tuple[StateDigest, ...]:
    """Of every peer at one index, at least this one. Give it a time limit."""
    async with Client(list(urls.values())) as client:
        while True:
            found = await statuses(client, list(urls.values()), has_digest_now=True)
            digests = common_digests(found, least_index=least_index)
            if len(digests) == len(urls):
                return digests
            await asyncio.sleep(POLL_MS / 1000)


def common_digests(found: Sequence[RaftStatus], *, least_index: int) -> tuple[StateDigest, ...]:
    """The newest index at which all of them have a digest, and those digests; empty when there is
    none from least_index on."""
    known = [
        {it.index: it.value for it in (*status.digests, status.digest) if it is not None}
        for status in found
    ]
    common = set.intersection(*map(set, known)) if known else set()
    usable = [index for index in common if index >= least_index]
    if not usable:
        return ()
    index = max(usable)
    return tuple(
        StateDigest(peer=status.peer, index=index, value=digests[index])
        for status, digests in zip(found, known, strict=True)
    )


async def read_back(
    url: str, *, peer: str, acknowledged: Mapping[str, Json], consistency: Consistency
) -> ReadBack:
    """Reads all keys of the demo from this peer and no other. Never raises for what it finds."""
    found: dict[str, Json] = {}
    error: str | None = None
    # A client of its own: it has seen nothing, so a stale read shows what the peer really has.
    async with Client([url]) as client:
        read = Read(consistency=consistency, endpoint=url)
        try:
            async for item in client.kv.list(PREFIX, page_items=limits.PAGE_ITEMS_MAX, read=read):
                found[item.key] = item.value
        except errors.ReplicanteError as exc:
            error = exc.message
    return compare(acknowledged, found, peer=peer, consistency=consistency, error=error)


async def _pause(stop: asyncio.Event, pause_ms: int) -> None:
    try:
        async with asyncio.timeout(pause_ms / 1000):
            await stop.wait()
    except TimeoutError:
        return
