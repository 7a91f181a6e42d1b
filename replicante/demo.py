"""The demo: a local cluster under load loses its leader, and nothing that was acknowledged.

Called by the command line. Rules: every step has a time limit and its failure is a finding, not an
end without a word; the verdict is derived from the report, which holds what was seen.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from replicante import errors
from replicante.clock import Clock
from replicante.demo_report import (
    READ_BACK,
    DemoReport,
    EventsSeen,
    Kill,
    ReadBack,
    StateDigest,
    judged,
)
from replicante.demo_work import (
    Ledger,
    Tail,
    compare_digests,
    find_leader,
    read_back,
    write_on,
)
from replicante.dev import LocalCluster, check_ports
from replicante.dev_plan import PeerPlan
from replicante.peer_file import read_peer_file
from replicante.wire.events import Event

T = TypeVar("T")

WRITE_SECONDS_BEFORE = 4.0
WRITE_SECONDS_DOWN = 4.0
"""The killed peer stays down for at least so long."""
WRITE_SECONDS_AFTER = 2.0
LEADER_SECONDS_MAX = 30.0
WRITES_GO_ON_SECONDS_MAX = 30.0
RETURN_SECONDS_MAX = 60.0
DRAIN_SECONDS_MAX = 20.0
DIGEST_SECONDS_MAX = 30.0
READ_SECONDS_MAX = 60.0
EVENTS_SECONDS_MAX = 30.0
KEPT_NAMES = ("logs",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the demo speaks. say: a sentence of the story. show: an event that was delivered."""

    say: Callable[[str], None]
    show: Callable[[Event], None]


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What was seen so far."""

    ledger: Ledger = field(default_factory=Ledger)
    kill: Kill | None = None
    read_backs: list[ReadBack] = field(default_factory=list)
    digests: tuple[StateDigest, ...] = ()
    events: EventsSeen | None = None
    failed_steps: list[str] = field(default_factory=list)


def prepare_folder(data_dir: Path, plans: Sequence[PeerPlan]) -> None:
    """An empty data directory. Raises `AddressInUse` while another demo may use it, `StartRefused`
    for a directory that holds anything but the data of a demo."""
    check_ports(plans)
    known = {plan.id for plan in plans} | set(KEPT_NAMES)
    try:
        foreign = sorted({path.name for path in data_dir.iterdir()} - known)
        if foreign:
            raise errors.StartRefused(
                f"{data_dir} holds {foreign[0]}, which is no data of a demo, so nothing in it is "
                "removed.",
                hints=["Choose another directory with --data-dir."],
            )
        shutil.rmtree(data_dir)
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise errors.StartRefused(f"{data_dir} cannot be emptied: {exc.strerror}.") from exc


class Demo:
    """One run over a cluster that is ready. Use `run` once."""

    def __init__(self, cluster: LocalCluster, *, stage: Stage, clock: Clock) -> None:
        self._cluster = cluster
        self._stage = stage
        self._clock = clock
        self._seen = _Seen()
        self._urls = {plan.id: plan.url for plan in cluster.plans.values()}
        self._stop_writing = asyncio.Event()

    async def run(self) -> DemoReport:
        """The judged report. Raises nothing for what goes wrong: it is in the report."""
        began_ms = self._clock.monotonic_ms()
        urls = list(self._urls.values())
        leader = await self._step("find the leader", LEADER_SECONDS_MAX, find_leader(urls))
        # The reader of the events begins at the peer that will be killed: it has to move.
        first = urls.index(self._urls[leader]) if leader is not None else 0
        tail = Tail(urls[first:] + urls[:first], show=self._stage.show)
        async with self._in_background(tail, urls) as writers:
            await self._step("write", WRITE_SECONDS_BEFORE + 10, self._first_writes(leader))
            await self._kill_and_restart()
            self._stop_writing.set()
            await self._step("let the last writes end", DRAIN_SECONDS_MAX, _all(writers))
            await self._check_states()
            await self._check_events(tail)
        seconds = (self._clock.monotonic_ms() - began_ms) / 1000
        return judged(self._report(seconds))

    @asynccontextmanager
    async def _in_background(
        self, tail: Tail, urls: list[str]
    ) -> AsyncIterator[list[asyncio.Task[None]]]:
        """Runs one writer a peer, each beginning at its own, and the reader of the events."""
        writers = [
            asyncio.create_task(
                write_on(
                    urls[number:] + urls[:number],
                    name=peer,
                    ledger=self._seen.ledger,
                    clock=self._clock,
                    stop=self._stop_writing,
                )
            )
            for number, peer in enumerate(self._urls)
        ]
        reader = asyncio.create_task(tail.run())
        try:
            yield writers
        finally:
            for task in (*writers, reader):
                task.cancel()
            for task, name in [(reader, "follow the events"), *((it, "write") for it in writers)]:
                await self._end_of(task, name)

    async def _end_of(self, task: asyncio.Task[None], name: str) -> None:
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
        except errors.ReplicanteError as exc:
            self._fail(name, exc.message)

    async def _first_writes(self, leader: str | None) -> None:
        peers = ", ".join(self._urls)
        self._stage.say(f"writing through {peers}, and following the events at {leader}, who leads")
        await asyncio.sleep(WRITE_SECONDS_BEFORE)
        count = len(self._seen.ledger.acknowledged)
        self._stage.say(f"{count} writes are acknowledged so far")

    async def _kill_and_restart(self) -> None:
        urls = list(self._urls.values())
        leader = await self._step("find the leader", LEADER_SECONDS_MAX, find_leader(urls))
        if leader is None:
            return
        pid = self._cluster.pid(leader)
        noted = read_peer_file(self._cluster.plans[leader].data_dir)
        if pid is None or noted is None or noted.pid != pid:
            self._fail("kill the leader", f"peer.json of {leader} does not name its process {pid}")
            return
        ledger = self._seen.ledger
        killed_ms = self._clock.monotonic_ms()
        await self._cluster.kill_peer(leader)
        self._stage.say(f"killed the leader {leader} with SIGKILL (process {pid})")
        kill = Kill(leader_before=leader, pid=pid)
        others = [url for peer, url in self._urls.items() if peer != leader]
        successor = await self._step(
            "find the new leader", LEADER_SECONDS_MAX, find_leader(others, not_=leader)
        )
        await self._step(
            "write after the kill", WRITES_GO_ON_SECONDS_MAX, ledger.wait_after(killed_ms, count=3)
        )
        kill = msgspec.structs.replace(kill, leader_after=successor)
        self._stage.say(f"{successor or 'nobody'} leads now, and writes go on without {leader}")
        await asyncio.sleep(WRITE_SECONDS_DOWN)
        self._stage.say(f"starting {leader} again")
        is_back = await self._step("restart", RETURN_SECONDS_MAX, self._restart(leader))
        await asyncio.sleep(WRITE_SECONDS_AFTER)
        self._seen.kill = msgspec.structs.replace(
            kill,
            is_restarted=is_back is not None,
            acknowledged_after_count=ledger.count_after(killed_ms),
            write_gap_ms=ledger.gap_ms(killed_ms),
        )
        self._stage.say(f"the longest pause between writes was {self._seen.kill.write_gap_ms} ms")

    async def _restart(self, peer: str) -> bool:
        await self._cluster.start_peer(peer)
        await self._cluster.wait_ready()
        if self._cluster.pid(peer) is None:
            raise errors.StartRefused(f"{peer} ended again; its log says why")
        self._stage.say(f"{peer} is back and takes writes")
        return True

    async def _check_states(self) -> None:
        seen = self._seen
        count = len(seen.ledger.acknowledged)
        self._stage.say("comparing the digests of all states at one index")
        digests = await self._step(
            "compare digests",
            DIGEST_SECONDS_MAX,
            compare_digests(self._urls, least_index=seen.ledger.newest_index),
        )
        seen.digests = digests or ()
        self._stage.say(f"reading {count} acknowledged values back from every peer, twice")
        for peer, url in self._urls.items():
            for consistency in READ_BACK:
                found = await self._step(
                    f"read back from {peer}",
                    READ_SECONDS_MAX,
                    read_back(
                        url,
                        peer=peer,
                        acknowledged=seen.ledger.acknowledged,
                        consistency=consistency,
                    ),
                )
                if found is not None:
                    seen.read_backs.append(found)

    async def _check_events(self, tail: Tail) -> None:
        keys = list(self._seen.ledger.acknowledged)
        await self._step("follow the events", EVENTS_SECONDS_MAX, tail.wait_for(keys))
        self._seen.events = tail.seen(keys)

    async def _step(self, name: str, seconds: float, work: Awaitable[T]) -> T | None:
        """The result of the work, or None and a note when it failed or took too long."""
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError:
            self._fail(name, f"not done within {seconds:g} s")
        except errors.ReplicanteError as exc:
            self._fail(name, exc.message)
        return None

    def _fail(self, name: str, reason: str) -> None:
        self._seen.failed_steps.append(f"{name}: {reason}")
        self._stage.say(f"FAILED to {name}: {reason}")

    def _report(self, seconds: float) -> DemoReport:
        seen = self._seen
        return DemoReport(
            peers=tuple(self._urls),
            acknowledged=dict(seen.ledger.acknowledged),
            in_doubt=tuple(seen.ledger.in_doubt),
            refused_count=seen.ledger.refused_count,
            kill=seen.kill,
            read_backs=tuple(seen.read_backs),
            digests=seen.digests,
            events=seen.events,
            failed_steps=tuple(seen.failed_steps),
            seconds=round(seconds, 1),
        )


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)
