"""Whether all peers have one event log. Asks; changes nothing. Called by `events`.

The chain of an event covers every event before it. So two peers that have the same chain at one
event agree on everything before it, and where they part is found by halving. What a chain cannot
say is whether a peer's rows still are what was hashed: for that every event is hashed again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

from replicante import limits
from replicante.client.call import Call
from replicante.client.calls import Calls
from replicante.client.endpoints import Endpoints, normalise
from replicante.client.event_pages import page_before
from replicante.client.log_check import fault_between
from replicante.client.options import ALL_EVENTS, STALE, Read
from replicante.errors import HistoryGone, ReplicanteError, Unreachable
from replicante.ids import STAMP_MAX, format_stamp
from replicante.wire import paths
from replicante.wire.chain import FIRST_SEQ
from replicante.wire.events import Event, EventsPage
from replicante.wire.status import StatusAnswer

_Mark: TypeAlias = tuple[str, str] | None


class PeerLog(msgspec.Struct, frozen=True, kw_only=True):
    """What one peer's log is. endpoint: where it was asked."""

    endpoint: str
    peer: str | None = None
    """None when it did not answer."""
    error: str | None = None
    """Why it could not be asked, or not to the end."""
    floor: str | None = None
    head: str | None = None
    chain: str | None = None
    """At the common event."""
    checked_count: int = 0
    """Events that were hashed again, back from the common one."""
    fault: str | None = None
    """What is wrong with its own chain."""
    parts_after: str | None = None
    """Up to this event it agrees with the others, and with the next no more. The common floor,
    when nothing before was to be compared."""

    @property
    def is_faulty(self) -> bool:
        """It has another log than most, or rows that are not what was hashed."""
        return self.fault is not None or self.parts_after is not None


class LogReport(msgspec.Struct, frozen=True, kw_only=True):
    common: str | None
    """The newest event that all who answered have; None when there is none to compare."""
    peers: tuple[PeerLog, ...]
    is_equal: bool
    """At least two were compared, all of them have the same log, and every chain holds."""


async def verify_logs(calls: Calls, *, count_max: int | None, timeout_ms: int) -> LogReport:
    """As `events.verify`."""
    found = await _find_peers(calls, timeout_ms=timeout_ms)
    logs = [_Log(calls, it, timeout_ms=timeout_ms) for it in found if it.peer]
    if not logs:
        reasons = "; ".join(f"{it.endpoint}: {it.error}" for it in found)
        raise Unreachable(f"No peer answered ({reasons}).")
    await _each(logs, lambda log: log.look())
    standing = [log for log in logs if log.state.error is None]
    common = _common_place(standing)
    if common is not None:
        await _part(standing, common)
        await _each(standing, lambda log: log.walk(common, count_max=count_max))
    peers = (*(log.state for log in logs), *(it for it in found if not it.peer))
    compared = [it for it in peers if it.error is None and it.chain is not None]
    return LogReport(
        common=None if common is None else format_stamp(common),
        peers=peers,
        is_equal=len(compared) > 1 and not any(it.is_faulty for it in peers),
    )


class _Log:
    """The log of one peer, which alone is asked."""

    def __init__(self, calls: Calls, state: PeerLog, *, timeout_ms: int) -> None:
        # Of its own, so that a peer which is behind is not told to wait for what another has.
        self._calls = Calls(
            endpoints=Endpoints([state.endpoint]),
            transport=calls.transport,
            clock=calls.clock,
            entropy=calls.entropy,
            observe=calls.observe,
        )
        self._read = Read(consistency=STALE.consistency, timeout_ms=timeout_ms)
        self.state = state
        self.floor = self.head = 0

    def note(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)

    async def look(self) -> None:
        page = await self._page(None, limit=1)
        assert page is not None, "the end of a log is always kept"
        self.floor, self.head = int(page.floor), int(page.head)
        self.note(floor=page.floor, head=page.head)

    async def newest_up_to(self, place: int) -> Event | None:
        """None when it keeps none so old."""
        page = await self._page(min(place + 1, STAMP_MAX), limit=1)
        return page.items[0] if page is not None and page.items else None

    async def walk(self, start: int, *, count_max: int | None) -> None:
        """Hashes every event up to `start` again, newest first."""
        newer: Event | None = None
        checked_count, before = 0, min(start + 1, STAMP_MAX)
        while page := await self._page(before, limit=limits.PAGE_ITEMS_MAX):
            for event in page.items:
                if newer is not None:
                    fault = fault_between(event, newer)
                    checked_count += fault is None
                    if fault is not None or checked_count == count_max:
                        self.note(fault=fault, checked_count=checked_count)
                        return
                newer = event
            if page.next <= page.floor:
                break
            before = int(page.next)
        if newer is not None and newer.seq == FIRST_SEQ:
            self.note(fault=fault_between(None, newer))
            checked_count += self.state.fault is None
        self.note(checked_count=checked_count)

    async def _page(self, before: int | None, *, limit: int) -> EventsPage | None:
        """None when all of it was removed meanwhile."""
        place = None if before is None else format_stamp(before)
        try:
            return await page_before(
                self._calls, before=place, limit=limit, wanted=ALL_EVENTS, read=self._read
            )
        except HistoryGone:
            return None


async def _each(logs: Iterable[_Log], work: Callable[[_Log], Awaitable[None]]) -> None:
    """On all at once; one that fails is noted, and stops nobody."""

    async def one(log: _Log) -> None:
        try:
            await work(log)
        except ReplicanteError as exc:
            log.note(error=exc.message)

    async with asyncio.TaskGroup() as tasks:
        for log in logs:
            tasks.create_task(one(log))


def _common_place(logs: Sequence[_Log]) -> int | None:
    """The newest id up to which all have a log, if all keep something before it."""
    place = min((log.head for log in logs), default=0)
    return place if place > max((log.floor for log in logs), default=0) else None


async def _part(logs: Sequence[_Log], common: int) -> None:
    """Finds who has another log than most, and from where."""
    marks: dict[str, _Mark] = {}

    async def look(log: _Log) -> None:
        event = await log.newest_up_to(common)
        marks[log.state.endpoint] = _mark(event)
        log.note(chain=None if event is None else event.chain)

    await _each(logs, look)
    asked = [log for log in logs if log.state.endpoint in marks]
    if len(set(marks.values())) <= 1:
        return
    usual, count = Counter(marks.values()).most_common(1)[0]
    usual_log = next(log for log in asked if marks[log.state.endpoint] == usual)
    floor = max(log.floor for log in asked)
    places: list[str] = []

    async def seek(log: _Log) -> None:
        place = await _last_agreed(usual_log, log, floor=floor, common=common)
        places.append(place)
        log.note(parts_after=place)

    await _each([log for log in asked if marks[log.state.endpoint] != usual], seek)
    if 2 * count <= len(asked) and places:
        # Nobody can say who is right: those that happen to be first are no better.
        for log in asked:
            if marks[log.state.endpoint] == usual:
                log.note(parts_after=min(places))


async def _last_agreed(usual: _Log, other: _Log, *, floor: int, common: int) -> str:
    """id of the last event up to which two logs are the same; they differ at `common`."""
    low, high, agreed = floor, common, format_stamp(floor)
    while high - low > 1:
        middle = (low + high) // 2
        one, two = await usual.newest_up_to(middle), await other.newest_up_to(middle)
        if _mark(one) == _mark(two):
            low = middle
            agreed = agreed if one is None else one.id
        else:
            high = middle
    return agreed


def _mark(event: Event | None) -> _Mark:
    """Equal for two peers only if they have the same log up to there."""
    return None if event is None else (event.id, event.chain)


async def _find_peers(calls: Calls, *, timeout_ms: int) -> list[PeerLog]:
    """Every peer once: those at the endpoints of the client, and those that they know of."""
    asked = await asyncio.gather(
        *(_ask_name(calls, url, timeout_ms=timeout_ms) for url in calls.endpoints.urls)
    )
    found: dict[str, PeerLog] = {}
    for log, _ in asked:
        found.setdefault(log.peer or log.endpoint, log)
    others = {it.peer: it.url for _, status in asked if status for it in status.peers if it.url}
    unasked = [url for peer, url in sorted(others.items()) if peer not in found]
    for log, _ in await asyncio.gather(
        *(_ask_name(calls, url, timeout_ms=timeout_ms) for url in unasked)
    ):
        found.setdefault(log.peer or log.endpoint, log)
    return list(found.values())


async def _ask_name(
    calls: Calls, url: str, *, timeout_ms: int
) -> tuple[PeerLog, StatusAnswer | None]:
    try:
        call = Call(
            method="GET",
            path=paths.STATUS,
            timeout_ms=timeout_ms,
            endpoint=normalise(url),
            is_local=True,
        )
        status = await calls.run_as(StatusAnswer, call)
    except ReplicanteError as exc:
        return PeerLog(endpoint=url, error=exc.message), None
    return PeerLog(endpoint=normalise(url), peer=status.peer), status
