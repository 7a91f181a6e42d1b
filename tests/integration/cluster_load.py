"""Writers and readers that remember what they were told, and the check that the cluster kept it.

Used by the tests over real processes, while they do harm to peers. Three kinds of promises are
held against the event log, which names every change once:
- unique keys: acknowledged ones are there, definitely refused ones are not, none is there twice;
- a counter, raised by compare-and-set under idempotency keys: one step for each success;
- reads called linearizable: never older than what was acknowledged before they began.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cluster import Cluster
from cluster_http import Answer, NoAnswer
from cluster_peer import eventually

COUNTER = "counter"
DEADLINE_SECONDS = 4
GRACE_SECONDS = 4
"""What a busy machine may add to a deadline before a peer counts as hanging."""
PAUSE_SECONDS = 0.02
EVENTS_PAGE = 1_000


@dataclass(slots=True, kw_only=True)
class History:
    """What callers were told. acknowledged: key → revision."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    steps_count: int = 0
    """Of the counter, acknowledged."""
    reads_count: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    wrongs: list[str] = field(default_factory=list)
    """Promises that were seen broken on the way."""
    acknowledged_at: list[float] = field(default_factory=list)

    @property
    def longest_gap_ms(self) -> int:
        times = self.acknowledged_at
        gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
        return round(max(gaps, default=0) * 1000)

    def summary(self) -> str:
        return (
            f"{len(self.acknowledged)} acknowledged, {len(self.refused)} refused, "
            f"{len(self.unknown)} unknown, {self.steps_count} steps, {self.reads_count} reads, "
            f"longest gap {self.longest_gap_ms} ms, {dict(self.codes)}"
        )


class Load:
    """Callers that run until `stop`. Made by `load`."""

    def __init__(
        self, cluster: Cluster, *, through: Sequence[str], name: str, deadline_seconds: int
    ) -> None:
        self.cluster = cluster
        self.history = History()
        self._through = list(through)
        self._name = name
        self._deadline_seconds = deadline_seconds
        self._is_over = False

    async def acknowledged(self, more: int) -> None:
        """Until so many more writes were acknowledged than now."""
        wanted = len(self.history.acknowledged) + more
        await eventually(
            lambda: len(self.history.acknowledged) >= wanted, f"{more} more acknowledged writes"
        )

    def stop(self) -> None:
        self._is_over = True

    async def write_keys(self, number: int) -> None:
        count = 0
        while not self._is_over:
            peer = self._peer(number + count // 50)
            key = f"{self._name}/{number}/{count:06}"
            count += 1
            await self.write_key(peer, key, count)

    async def write_key(self, peer: str, key: str, value: int) -> None:
        history = self.history
        answer = await self._ask(peer, "PUT", key, json={"value": value})
        if isinstance(answer, NoAnswer) and not answer.was_sent:
            history.refused[key] = "not connected"
        elif isinstance(answer, NoAnswer) or not answer.definite:
            history.unknown.add(key)
        elif answer.status >= 400:
            history.refused[key] = answer.code or ""
        else:
            history.acknowledged[key] = answer.json["revision"]
            history.acknowledged_at.append(time.monotonic())
            if answer.status != 201:
                history.wrongs.append(f"{key} was there before its only write: {answer}")

    async def raise_counter(self, number: int) -> None:
        count = 0
        while not self._is_over:
            await self._raise_once(number + count)
            count += 1

    async def _raise_once(self, turn: int) -> None:
        history = self.history
        before = history.steps_count
        answer = await self._ask(self._peer(turn), "GET", COUNTER)
        if isinstance(answer, NoAnswer) or answer.status != 200:
            return
        value = answer.json["value"]
        history.reads_count += 1
        if value < before:
            history.wrongs.append(f"read {value} after {before} steps: {answer.headers}")
        headers = {
            "If-Match": f'"{answer.json["revision"]}"',
            "Idempotency-Key": f"{self._name}-{uuid.uuid4()}",
        }
        while True:  # until the fate of this step is known, whoever tells it
            answer = await self._ask(
                self._peer(turn), "PUT", COUNTER, json={"value": value + 1}, headers=headers
            )
            turn += 1
            if isinstance(answer, NoAnswer) or not answer.definite:
                continue
            if answer.status < 400:
                history.steps_count += 1
            if answer.status < 400 or answer.status == 412:
                return

    async def _ask(
        self,
        peer: str,
        method: str,
        key: str,
        *,
        json: object = None,
        headers: dict[str, str] | None = None,
    ) -> Answer | NoAnswer:
        history, cluster = self.history, self.cluster
        started = time.monotonic()
        deadline = self._deadline_seconds
        was_frozen = cluster[peer].is_frozen
        try:
            answer = await cluster.ask(
                peer,
                method,
                f"/api/v0/kv/{key}?timeout={deadline}s",
                json=json,
                headers=headers,
                seconds=deadline + GRACE_SECONDS,
            )
        except NoAnswer as lost:
            history.codes["no answer" if lost.was_sent else "not connected"] += 1
            took = time.monotonic() - started
            is_frozen = was_frozen or cluster[peer].is_frozen
            if took > deadline + GRACE_SECONDS - 0.1 and not is_frozen:
                history.wrongs.append(f"{peer} hung: {lost}")
            await asyncio.sleep(PAUSE_SECONDS)
            return lost
        if answer.status >= 400:
            history.codes[answer.code or ""] += 1
            await asyncio.sleep(PAUSE_SECONDS)
        return answer

    def _peer(self, turn: int) -> str:
        """A peer that a load balancer would still choose."""
        choice = [peer for peer in self._through if peer in self.cluster.awake] or self._through
        return choice[turn % len(choice)]


@asynccontextmanager
async def load(
    cluster: Cluster,
    *,
    through: Sequence[str] | None = None,
    writers: int = 6,
    counters: int = 3,
    name: str = "load",
    deadline_seconds: int = DEADLINE_SECONDS,
) -> AsyncIterator[Load]:
    """Callers that run in the body; afterwards all of them have their last answer."""
    made = Load(
        cluster, through=through or cluster.ids, name=name, deadline_seconds=deadline_seconds
    )
    if counters:
        await eventually(
            lambda: _has_counter(cluster, made._peer(0)), "a counter that may be raised"
        )
    async with asyncio.TaskGroup() as group:
        for number in range(writers):
            group.create_task(made.write_keys(number))
        for number in range(counters):
            group.create_task(made.raise_counter(number))
        try:
            yield made
        finally:
            made.stop()


async def _has_counter(cluster: Cluster, peer: str) -> bool:
    headers = {"If-None-Match": "*"}
    answer = await cluster.put(peer, COUNTER, 0, headers=headers)
    return answer.status in (201, 412)


async def all_events(cluster: Cluster, peer: str) -> list[dict]:
    """The event log as this peer has it; ids ascend and `seq` has no gap."""
    events: list[dict] = []
    after = ""
    while True:
        path = f"/api/v0/events?limit={EVENTS_PAGE}{after}"
        answer = await cluster.ask(peer, "GET", path)
        assert answer.status == 200, answer
        page = answer.json
        events += page["items"]
        if page["next"] == page["head"] and not page["items"]:
            break
        after = f"&after={page['next']}"
    check_order(events)
    return events


def check_order(events: Sequence[dict]) -> None:
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    ids = [event["id"] for event in events]
    assert ids == sorted(set(ids)), "ids ascend strictly"


async def check_history(cluster: Cluster, *histories: History) -> None:
    """Holds what callers were told against every peer that is awake. They are to be still."""
    await cluster.converged()
    logs = {peer: await all_events(cluster, peer) for peer in cluster.awake}
    first = next(iter(logs.values()))
    for peer, events in logs.items():
        assert events == first, f"{peer} has other events"
    for history in histories:
        print(history.summary())
        assert history.wrongs == []
        _check_keys(history, first)
    await _check_counter(cluster, first, steps=sum(it.steps_count for it in histories))
    for peer in cluster.awake:
        await _check_values(cluster, peer, histories)


def _check_keys(history: History, events: Sequence[dict]) -> None:
    written = history.acknowledged.keys() | history.refused.keys() | history.unknown
    happened: dict[str, list[str]] = {}
    for event in events:
        if event["code"] == "KV_PUT" and event["key"] in written:
            happened.setdefault(event["key"], []).append(event["payload"]["revision"])
    lost = {key for key in history.acknowledged if key not in happened}
    assert not lost, f"acknowledged and lost: {sorted(lost)[:5]} of {len(lost)}"
    twice = {key: revisions for key, revisions in happened.items() if len(revisions) > 1}
    assert not twice, f"applied twice: {twice}"
    liars = {key: code for key, code in history.refused.items() if key in happened}
    assert not liars, f"refused as definite, and happened: {liars}"
    for key, revision in history.acknowledged.items():
        assert happened[key] == [revision], key


async def _check_counter(cluster: Cluster, events: Sequence[dict], *, steps: int) -> None:
    values = [event["payload"]["value"] for event in events if event["key"] == COUNTER]
    assert values == list(range(len(values))), "the counter went up by one at a time"
    if values:
        assert values[-1] == steps, "as many steps as were acknowledged"
        answer = await cluster.get(cluster.awake[0], COUNTER)
        assert answer.json["value"] == steps


async def _check_values(cluster: Cluster, peer: str, histories: Sequence[History]) -> None:
    found: dict[str, str] = {}
    cursor = ""
    while True:
        path = f"/api/v0/kv?consistency=stale&limit=1000{cursor}"
        page = (await cluster.ask(peer, "GET", path)).json
        found |= {item["key"]: item["revision"] for item in page["items"]}
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    for history in histories:
        missing = history.acknowledged.items() - found.items()
        assert not missing, f"{peer} lacks {sorted(missing)[:5]} of {len(missing)}"
