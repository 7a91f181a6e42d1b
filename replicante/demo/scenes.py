"""The scenes of the demo, one after the other, over peers that are ready. Called by `cli`.

Rules: every scene has a time limit, and its failure is a finding, not an end without a word; the
verdict is derived from the report, which holds what was seen.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from replicante import errors, limits
from replicante.client import Client
from replicante.clock import Clock
from replicante.demo import plan
from replicante.demo.ground import Ground
from replicante.demo.lookups import Copy, find_leader, wait_formed
from replicante.demo.report import (
    DemoReport,
    Formed,
    LeaderKill,
    PrimaryKill,
    Writes,
    judged,
    ranges,
)
from replicante.demo.sightings import Sightings
from replicante.demo.writer import Ledger, RedisError, Writer, read_back, takes_writes
from replicante.dev import LocalCluster
from replicante.wire.events import Event

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the demo speaks. say: a sentence of the story. show: an event, and its lines."""

    say: Callable[[str], None]
    show: Callable[[Event, tuple[str, ...]], None]


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What was seen so far."""

    sightings: Sightings = field(default_factory=Sightings)
    ledger: Ledger = field(default_factory=Ledger)
    formed: Formed | None = None
    leader_kill: LeaderKill | None = None
    primary_kill: PrimaryKill | None = None
    found: tuple[int, ...] | None = None
    counter: int | None = None
    failed_steps: list[str] = field(default_factory=list)


class Demo:
    """One run. Use `run` once."""

    def __init__(
        self, cluster: LocalCluster, ground: Ground, *, stage: Stage, clock: Clock
    ) -> None:
        self._cluster = cluster
        self._ground = ground
        self._stage = stage
        self._clock = clock
        self._seen = _Seen()
        self._urls = {plan.id: plan.url for plan in cluster.plans.values()}
        self._stop_writing = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._began_ms = clock.monotonic_ms()

    async def run(self) -> DemoReport:
        """The judged report. Raises nothing for what goes wrong: it is in the report."""
        async with self._in_background(), Client(list(self._urls.values())) as client:
            primary = await self._form(client)
            if primary is not None:
                killed = await self._kill_the_leader()
                primary = await self._kill_the_primary(client, primary) or primary
                if killed is not None:
                    await self._restart(killed)
                await self._write_some(plan.WRITES_AFTER_COUNT)
                await self._count(primary)
        return judged(self._report())

    @asynccontextmanager
    async def _in_background(self) -> AsyncIterator[None]:
        """Runs the writer and the reader of the events."""
        urls = list(self._urls.values())
        writer = Writer(urls, ledger=self._seen.ledger, clock=self._clock)
        self._writing = asyncio.create_task(writer.run(self._stop_writing))
        tasks = {
            "write": self._writing,
            "follow the events": asyncio.create_task(self._follow(urls)),
        }
        try:
            yield
        finally:
            # Both: a client library may swallow a cancellation that meets an answer.
            self._stop_writing.set()
            for task in tasks.values():
                task.cancel()
            for name, task in tasks.items():
                await self._end_of(task, name)

    async def _follow(self, urls: list[str]) -> None:
        """Raises when the log has a gap or is no longer kept."""
        async with (
            Client(urls) as client,
            aclosing(client.events.follow(silence_ms=limits.STALE_STREAM_MS)) as events,
        ):
            async for event in events:
                lines = self._seen.sightings.take(event)
                if lines:
                    self._stage.show(event, lines)

    async def _end_of(self, task: asyncio.Task[None], name: str) -> None:
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
        except errors.ReplicanteError as exc:
            self._fail(name, exc.message)

    async def _form(self, client: Client) -> Copy | None:
        began_ms = self._clock.monotonic_ms()
        self._stage.say(
            f"declaring a {plan.STORE} cluster of {plan.NODES_COUNT} nodes; a client writes to it "
            "from now on, as soon as there is somebody to write to"
        )
        declared = await self._step("declare", plan.LEADER_SECONDS_MAX, self._declare(client))
        if declared is None:
            return None
        primary = await self._step(
            "make the declared cluster", plan.FORMED_SECONDS_MAX, wait_formed(client)
        )
        if primary is None:
            return None
        seconds = (self._clock.monotonic_ms() - began_ms) / 1_000
        self._seen.formed = Formed(
            primary=primary.node_id, replicas_count=plan.NODES_COUNT - 1, seconds=seconds
        )
        self._stage.say(
            f"the cluster is as declared: {primary.node_id} is primary, two replicas follow it"
        )
        await self._write_some(plan.WRITES_BEFORE_COUNT)
        return primary

    async def _declare(self, client: Client) -> bool:
        for document in plan.documents(self._ground.platform.directory):
            await client.objects.apply(document)
        return True

    async def _write_some(self, count: int) -> None:
        acks = self._seen.ledger.acks
        wanted = self._seen.ledger.wait_for(count, after_ms=self._clock.monotonic_ms())
        if await self._step("write", plan.WRITES_SECONDS_MAX, _done(wanted)):
            self._stage.say(f"{len(acks)} writes are acknowledged so far")

    async def _kill_the_leader(self) -> str | None:
        """Who was killed."""
        urls = list(self._urls.values())
        leader = await self._step("find the leader", plan.LEADER_SECONDS_MAX, find_leader(urls))
        pid = None if leader is None else self._cluster.pid(leader)
        if leader is None or pid is None:
            return None
        killed_ms = self._clock.monotonic_ms()
        await self._cluster.kill_peer(leader)
        self._stage.say(f"killed {leader}, who leads the control plane, with SIGKILL")
        others = [url for peer, url in self._urls.items() if peer != leader]
        successor = await self._step(
            "find the new leader", plan.LEADER_SECONDS_MAX, find_leader(others, not_=leader)
        )
        now_ms = self._clock.monotonic_ms()
        await self._write_some(plan.WRITES_BETWEEN_COUNT)
        pause_ms = self._seen.ledger.longest_pause_ms(
            since_ms=killed_ms, until_ms=self._clock.monotonic_ms()
        )
        self._seen.leader_kill = LeaderKill(
            before=leader,
            pid=pid,
            after=successor,
            to_leader_ms=None if successor is None else now_ms - killed_ms,
            longest_pause_ms=pause_ms,
        )
        self._stage.say(
            f"{successor or 'nobody'} leads now; Redis did not notice: its longest pause between "
            f"writes was {pause_ms} ms"
        )
        return leader

    async def _kill_the_primary(self, client: Client, primary: Copy) -> Copy | None:
        """The new primary, once the old one follows it."""
        victim, ledger = primary.node_id, self._seen.ledger
        killed_ms, killed_wall_ms = self._clock.monotonic_ms(), self._clock.wall_ms()
        kill = asyncio.to_thread(self._ground.platform.signal_store, victim, signal.SIGKILL)
        if not await self._step("kill the primary", plan.LEADER_SECONDS_MAX, _done(kill)):
            return None
        self._stage.say(f"killed {victim}, the Redis primary, with SIGKILL")
        self._seen.primary_kill = PrimaryKill(node_id=victim, killed_ms=killed_wall_ms)
        safe = ledger.wait_for(1, after_ms=killed_ms, not_by=victim)
        if not await self._step("write after the kill", plan.WRITES_SECONDS_MAX, _done(safe)):
            return None
        taken = ledger.first_taken(after_ms=killed_ms, not_by=victim)
        assert taken is not None, "what is acknowledged was taken before"
        first_safe = next(it for it in ledger.acks if it.at_ms > killed_ms and it.node_id != victim)
        self._seen.primary_kill = msgspec.structs.replace(
            self._seen.primary_kill,
            successor=taken.node_id,
            to_writable_ms=taken.at_ms - killed_ms,
            to_safe_ms=first_safe.at_ms - killed_ms,
        )
        self._stage.say(f"{taken.node_id} takes the writes, {taken.at_ms - killed_ms} ms later")
        formed = await self._step(
            "have the old primary back",
            plan.REJOIN_SECONDS_MAX,
            wait_formed(client, without=victim),
        )
        if formed is None:
            return None
        is_taking = await self._step(
            "try the old primary", plan.READ_SECONDS_MAX, takes_writes(primary.address)
        )
        self._seen.primary_kill = msgspec.structs.replace(
            self._seen.primary_kill,
            to_rejoin_ms=self._clock.monotonic_ms() - killed_ms,
            takes_writes=is_taking,
        )
        manner = "takes writes!" if is_taking else "takes no write"
        self._stage.say(f"{victim} is back as a replica of {formed.node_id}, and {manner}")
        return formed

    async def _restart(self, peer: str) -> None:
        self._stage.say(f"starting {peer} again")
        is_back = await self._step("restart", plan.RETURN_SECONDS_MAX, self._start(peer))
        if is_back and self._seen.leader_kill is not None:
            self._seen.leader_kill = msgspec.structs.replace(
                self._seen.leader_kill, is_restarted=True
            )
            self._stage.say(f"{peer} is back and takes requests")

    async def _start(self, peer: str) -> bool:
        await self._cluster.start_peer(peer)
        await self._cluster.wait_ready()
        if self._cluster.pid(peer) is None:
            raise errors.StartRefused(f"{peer} ended again; its log says why")
        return True

    async def _count(self, primary: Copy) -> None:
        """Ends the writing, and reads everything back."""
        assert self._writing is not None, "it is in the background"
        self._stop_writing.set()
        ended = asyncio.wait({self._writing})
        await self._step("let the last write end", plan.READ_SECONDS_MAX, ended)
        found = await self._step(
            "read everything back", plan.READ_SECONDS_MAX, read_back(primary.address)
        )
        if found is not None:
            self._seen.found, self._seen.counter = found

    async def _step(self, name: str, seconds: float, work: Awaitable[T]) -> T | None:
        """The result of the work, or None and a note when it failed or took too long."""
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError:
            self._fail(name, f"not done within {seconds:g} s")
        except errors.ReplicanteError as exc:
            self._fail(name, exc.message)
        except (RedisError, OSError) as exc:
            self._fail(name, str(exc))
        return None

    def _fail(self, name: str, reason: str) -> None:
        self._seen.failed_steps.append(f"{name}: {reason}")
        self._stage.say(f"FAILED to {name}: {reason}")

    def _report(self) -> DemoReport:
        seen = self._seen
        ledger, sightings = seen.ledger, seen.sightings
        return DemoReport(
            peers=tuple(self._urls),
            formed=seen.formed,
            leader_kill=seen.leader_kill,
            primary_kill=_timed(seen.primary_kill, sightings),
            writes=Writes(
                acknowledged=ranges(it.number for it in ledger.acks),
                in_doubt=ranges(ledger.in_doubt),
                found=None if seen.found is None else ranges(seen.found),
                counter=seen.counter,
            ),
            decisions=tuple(sightings.decisions),
            promotions=tuple(sightings.promotions),
            events_count=sightings.events_count,
            failed_steps=tuple(seen.failed_steps),
            seconds=round((self._clock.monotonic_ms() - self._began_ms) / 1_000, 1),
        )


def _timed(kill: PrimaryKill | None, sightings: Sightings) -> PrimaryKill | None:
    """With the times that stand in the events."""
    if kill is None:
        return None
    downs = [
        it.at_ms
        for it in sightings.downs
        if it.node_id == kill.node_id and it.at_ms >= kill.killed_ms
    ]
    promoted = [it.at_ms for it in sightings.promotions if it.replaces == kill.node_id]
    return msgspec.structs.replace(
        kill,
        to_detect_ms=downs[0] - kill.killed_ms if downs else None,
        to_decide_ms=promoted[-1] - kill.killed_ms if promoted else None,
    )


async def _done(work: Awaitable[object]) -> bool:
    await work
    return True
