"""The worker of the SDK over the real API: at least once, with effects exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api_harness import LIMIT_S, running, until

from replicante.client import BatchKvPut, Client
from replicante.client import worker as worker_module
from replicante.testing.fake_peer import FakePeer


@asynccontextmanager
async def client_of() -> AsyncIterator[tuple[Client, FakePeer]]:
    peer = FakePeer()
    async with running(peer=peer) as api, Client([api.server.url]) as client:
        yield client, peer


@asynccontextmanager
async def working(worker) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(stop))
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(LIMIT_S):
            await task


async def test_each_job_is_handled_and_its_effect_is_there_with_the_acknowledgement():
    async with client_of() as (client, _):
        fates = []
        worker = client.worker("w", concurrency=3, observe=lambda job, fate: fates.append(fate))

        @worker.handler("q")
        async def handle(job):
            return [BatchKvPut(key=f"done/{job.body}", value=job.attempt)]

        for number in range(10):
            await client.queues.send("q", number)
        async with working(worker):
            await until(lambda: len(fates) == 10)
        assert fates == ["done"] * 10
        page = await client.kv.page("done/")
        assert [item.value for item in page.items] == [1] * 10
        assert await client.queues.find("q") is None


async def test_no_more_jobs_run_at_a_time_than_it_was_told():
    async with client_of() as (client, _):
        running_now, most = 0, 0
        go_on = asyncio.Event()
        worker = client.worker("w", concurrency=2)

        @worker.handler("q")
        async def handle(job):
            nonlocal running_now, most
            running_now += 1
            most = max(most, running_now)
            await go_on.wait()
            running_now -= 1

        for number in range(5):
            await client.queues.send("q", number)
        async with working(worker):
            await until(lambda: running_now == 2)
            await asyncio.sleep(0.02)
            go_on.set()
            async with asyncio.timeout(LIMIT_S):
                while await client.queues.find("q") is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert most == 2


async def test_a_job_that_fails_comes_again_later_and_knows_why():
    async with client_of() as (client, peer):
        fates = []
        worker = client.worker("w", observe=lambda job, fate: fates.append(fate))

        @worker.handler("q")
        async def handle(job):
            if job.attempt == 1:
                raise ValueError("the relay is down")

        added = await client.queues.send("q", 1)
        async with working(worker):
            await until(lambda: fates == ["failed"])
            seen = await client.queues.job("q", added.id)
            assert seen.history[0].reason == "ValueError: the relay is down"
            peer.pass_time(worker_module.BACKOFF_MS_MIN)
            await until(lambda: fates == ["failed", "done"])


async def test_a_stopped_worker_gives_back_what_does_not_end_in_time():
    async with client_of() as (client, _):
        was_cancelled = False
        begun = asyncio.Event()
        worker = client.worker("w", grace_ms=10)

        @worker.handler("q")
        async def handle(job):
            nonlocal was_cancelled
            begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                was_cancelled = True
                raise

        added = await client.queues.send("q", 1)
        async with working(worker):
            await begun.wait()
        assert was_cancelled
        seen = await client.queues.job("q", added.id)
        assert (seen.state, seen.history[0].how) == ("waiting", "nack")


async def test_a_handler_whose_claim_is_lost_is_cancelled():
    async with client_of() as (client, peer):
        fates = []
        begun = asyncio.Event()
        worker = client.worker("w", observe=lambda job, fate: fates.append(fate))

        @worker.handler("q", visibility_ms=1_000)
        async def handle(job):
            begun.set()
            if job.attempt == 1:
                await asyncio.sleep(60)

        await client.queues.send("q", 1)
        async with working(worker):
            await begun.wait()
            peer.pass_time(1_000)
            await until(lambda: sorted(fates) == ["done", "lost"])


async def test_a_dead_workers_claims_return_with_its_lease():
    async with client_of() as (client, peer):
        await client.queues.send("q", 1)
        grant = await client.leases.acquire("worker/w", duration_ms=5_000)
        (claimed,) = await client.queues.claim("q", visibility_ms=60_000, lease=grant.token)
        peer.pass_time(5_000)
        (again,) = await client.queues.claim("q")
        assert (again.id, again.attempt) == (claimed.id, 2)
