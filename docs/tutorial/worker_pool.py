"""Three peers, three workers, ten thousand jobs; a worker and the leader are killed midway.

    python docs/tutorial/worker_pool.py [--jobs N] [--data-dir FOLDER]

Prints what it does and what it found, and ends with 1 when anything is missing or there twice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from replicante import limits
from replicante.client import Client, JobBody, Note, NoteKind
from replicante.clock import SystemClock
from replicante.demo.lookups import find_leader
from replicante.dev import LocalCluster, Voices
from replicante.dev_plan import plan_peers
from replicante.wire.events import Event

WORKER = Path(__file__).with_name("pool_worker.py")
NAMES = ("worker-1", "worker-2", "worker-3")
SECONDS_MAX = 900


class Follower:
    """Sees every event, and counts what it needs to know when to act."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.done_count = 0
        self.returned_count = 0
        self.resumed_count = 0
        self.held: dict[str, set[str]] = defaultdict(set)
        """Jobs under claim, by worker."""
        self._changed = asyncio.Event()

    async def run(self, endpoints: Sequence[str]) -> None:
        async with (
            Client(endpoints, observe=self._note) as client,
            aclosing(client.events.follow()) as events,
        ):
            async for event in events:
                self._take(event)

    async def until_done(self, count: int) -> None:
        while self.done_count < count:
            await self._change()

    async def until_seen(self, event_id: str) -> None:
        while not self.events or self.events[-1].id < event_id:
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _take(self, event: Event) -> None:
        self.events.append(event)
        job = event.payload
        match event.code:
            case "JOB_CLAIMED":
                self.held[job["worker"]].add(job["id"])
            case "JOB_ACKED":
                self.held[job["worker"]].discard(job["id"])
                self.done_count += 1
            case "JOB_RETURNED":
                self.held[job["worker"]].discard(job["id"])
                self.returned_count += 1
            case "JOB_DEAD":
                self.done_count += 1  # nothing to wait for; it is found at the end
        self._changed.set()

    def _note(self, note: Note) -> None:
        self.resumed_count += note.kind is NoteKind.STREAM_RESUMED


class Pool:
    """The worker processes, by name."""

    def __init__(self) -> None:
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, urls: list[str]) -> None:
        for number, name in enumerate(NAMES):
            endpoints = urls[number:] + urls[:number]  # each begins at another peer
            self.processes[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, str(WORKER), name, *endpoints),
                stdin=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for this process; the workers are told
            )

    async def kill_at_work(self, name: str, client: Client, follower: Follower) -> int:
        """SIGKILL, at a moment at which it holds claims: it is stopped to look. Their number."""
        process = self.processes[name]
        while True:
            process.send_signal(signal.SIGSTOP)
            await follower.until_seen(await client.events.head())
            if follower.held[name]:
                process.kill()
                await process.wait()
                return len(follower.held[name])
            process.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.01)

    async def end(self) -> list[int]:
        """Each ends what it has begun, and then itself. Their exit codes."""
        alive = [process for process in self.processes.values() if process.returncode is None]
        for process in alive:
            process.stdin.close()
        return [await process.wait() for process in alive]

    def end_now(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.kill()


async def story(cluster: LocalCluster, pool: Pool, jobs_count: int) -> None:
    urls = await cluster.wait_ready()
    leader = await find_leader(urls)
    first = urls.index(cluster.plans[leader].url)
    follower = Follower()
    # It begins at the peer that is going to be killed.
    async with asyncio.TaskGroup() as group, Client(urls) as client:
        following = group.create_task(follower.run(urls[first:] + urls[:first]))
        await send_orders(client, jobs_count)
        await pool.start(urls)
        await follower.until_done(jobs_count // 4)
        held_count = await pool.kill_at_work("worker-2", client, follower)
        say(f"killed worker-2 after {follower.done_count} jobs; it held {held_count}")
        await follower.until_done(jobs_count // 2)
        leader = await find_leader(urls)
        await cluster.kill_peer(leader)
        say(f"killed {leader}, the leader, after {follower.done_count} jobs")
        await follower.until_done(jobs_count * 3 // 4)
        await cluster.start_peer(leader)
        say(f"started {leader} again after {follower.done_count} jobs")
        await follower.until_done(jobs_count)
        await cluster.wait_ready()
        check(await pool.end() == [0, 0], "the other workers ended in good order")
        await check_effects(client, jobs_count)
        last = await client.events.head()
        await follower.until_seen(last)
        await check_logs(urls, follower, last)
        following.cancel()
    say(f"{follower.returned_count} claims were lost and their jobs came again")
    say(f"the follower went on at another peer {follower.resumed_count} time(s)")


async def send_orders(client: Client, jobs_count: int) -> None:
    step = limits.QUEUE_STEP_JOBS_MAX
    for start in range(0, jobs_count, step):
        numbers = range(start, min(start + step, jobs_count))
        await client.queues.send_many("orders", [JobBody(body={"order": n}) for n in numbers])
    say(f"{jobs_count} orders wait")


async def check_effects(client: Client, jobs_count: int) -> None:
    receipts: Counter[int] = Counter()
    cursor = None
    while True:
        page = await client.queues.peek("receipts", limit=limits.PAGE_ITEMS_MAX, cursor=cursor)
        receipts.update(item.body["order"] for item in page.items)
        cursor = page.next
        if cursor is None:
            break
    check(receipts == Counter(range(jobs_count)), "every order has exactly one receipt")
    check(await client.queues.find("orders") is None, "no order waits, is claimed, or is dead")


async def check_logs(urls: list[str], follower: Follower, last: str) -> None:
    logs = await asyncio.gather(*(read_log(url, last) for url in urls))
    check(logs[0] == logs[1] == logs[2], f"the logs of all peers are equal: {len(logs[0])} events")
    seen = [event for event in follower.events if event.id <= last]
    in_order = [event.seq for event in seen] == list(range(1, len(seen) + 1))
    check(in_order and seen == logs[0], "the follower saw every event once, and in order")


async def read_log(url: str, last: str) -> list[Event]:
    """Everything up to the event `last`, as this one peer has it."""
    events: list[Event] = []
    async with Client([url]) as client:
        after = None
        while not events or events[-1].id < last:
            page = await client.events.page(after=after, limit=limits.PAGE_ITEMS_MAX, wait_ms=1_000)
            events += page.items
            after = page.next
    return [event for event in events if event.id <= last]


def check(is_so: bool, claim: str) -> None:
    say(f"{'yes' if is_so else 'NO'}: {claim}")
    if not is_so:
        raise SystemExit(1)


def say(text: str) -> None:
    print(text, flush=True)


async def main(options: argparse.Namespace) -> None:
    if options.data_dir.exists() and any(options.data_dir.iterdir()):
        raise SystemExit(f"{options.data_dir} holds data of an earlier run: remove it first.")
    plans = plan_peers(
        peers_count=3,
        data_dir=options.data_dir,
        http_port=options.http_port,
        raft_port=options.raft_port,
        log_format="json",
    )
    voices = Voices(log=lambda _peer, _line: None, note=say)
    cluster, pool = LocalCluster(plans, voices=voices, clock=SystemClock()), Pool()
    try:
        async with asyncio.timeout(SECONDS_MAX):
            await cluster.start()
            await story(cluster, pool, options.jobs)
    finally:
        pool.end_now()
        await cluster.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--data-dir", type=Path, default=Path("pool-data"))
    parser.add_argument("--http-port", type=int, default=16_016)
    parser.add_argument("--raft-port", type=int, default=16_116)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args()))
