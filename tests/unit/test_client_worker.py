"""The worker of the SDK over the real API: at least once, with effects exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from api_harness import LIMIT_S, running, until

from replicante import errors
from replicante.client import BatchAck, BatchEnqueue, BatchKvPut, Client
from replicante.client import worker as worker_module
from replicante.clock import Clock
from replicante.testing.fake_peer import FakePeer
from replicante.wire.batch import BatchItem
from replicante.wire.problems import Problem
from replicante.wire.queues import JobDone


@asynccontextmanager
async def client_of(clock: Clock | None = None) -> AsyncIterator[tuple[Client, FakePeer]]:
    peer = FakePeer()
    async with running(peer=peer) as api, Client([api.server.url], clock=clock) as client:
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


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ([BatchKvPut(key="k", value=float("nan"))], "Invalid: A number must be finite."),
        ([BatchKvPut(key="k", value={1: 2})], "Invalid: The key 1 is not a text."),
        ([BatchKvPut(key="k", value=b"x")], "Invalid: A value cannot hold a bytes."),
        ([BatchKvPut(key="k" * 1_000, value=1)], "Invalid: "),
        ([BatchEnqueue(queue="n", body="x" * (300 << 10))], "BodyTooLarge: "),
        ([object()], "Invalid: object is no operation here."),
        ([BatchAck(queue="q", id="0" * 19, token="0" * 19)], "Invalid: BatchAck is no operation"),
        (True, "Invalid: bool is no list of operations."),
        (False, "Invalid: bool is no list of operations."),
    ],
)
async def test_operations_that_are_refused_give_the_job_back_with_the_reason(returned, reason):
    async with client_of() as (client, peer):
        fates = []
        worker = client.worker("w", observe=lambda job, fate: fates.append(fate))

        @worker.handler("q")
        async def handle(job):
            return returned if job.attempt == 1 else [BatchKvPut(key="k", value="good")]

        added = await client.queues.send("q", 1)
        async with working(worker):
            await until(lambda: fates)
            assert fates == ["failed"]
            seen = await client.queues.job("q", added.id)
            assert (seen.state, seen.history[0].how) == ("waiting", "nack")
            assert seen.history[0].reason.startswith(reason)
            assert await client.kv.find("k") is None
            peer.pass_time(worker_module.BACKOFF_MS_MIN)
            await until(lambda: fates == ["failed", "done"])
        assert (await client.kv.get("k")).value == "good"


@pytest.mark.parametrize(
    "failure", [errors.Unreachable, errors.OutcomeUnknown, errors.NoLeader, errors.StaleToken]
)
async def test_an_acknowledgement_that_nobody_refused_leaves_the_claim_to_run_out(
    failure, monkeypatch
):
    async with client_of() as (client, _peer):
        fates = []
        worker = client.worker("w", observe=lambda job, fate: fates.append(fate))

        @worker.handler("q")
        async def handle(job):
            return [BatchKvPut(key="k", value=1)]

        async def lost(*_, **__):
            raise failure

        monkeypatch.setattr(client.queues, "ack", lost)
        added = await client.queues.send("q", 1)
        async with working(worker):
            await until(lambda: fates)
            assert fates == ["lost"]
            seen = await client.queues.job("q", added.id)
            assert (seen.state, seen.history) == ("claimed", ())


@pytest.mark.parametrize(
    "refusal",
    [
        errors.RevisionMismatch("there is one", path="operations[1]"),
        errors.StaleToken("the lease of the key is over", path="operations[1]"),
        errors.Invalid("no", path="operations[1].key"),
    ],
)
async def test_an_acknowledgement_that_is_refused_for_its_operations_gives_the_job_back(
    refusal, monkeypatch
):
    async with client_of() as (client, _):
        fates = []
        worker = client.worker("w", observe=lambda job, fate: fates.append(fate))

        @worker.handler("q")
        async def handle(job):
            return [BatchKvPut(key="a", value=1), BatchKvPut(key="k", value=1)]

        async def refuses(*_, **__):
            raise refusal

        monkeypatch.setattr(client.queues, "ack", refuses)
        added = await client.queues.send("q", 1)
        async with working(worker):
            await until(lambda: fates)
            assert fates == ["failed"]
            seen = await client.queues.job("q", added.id)
            assert (seen.state, seen.history[0].how) == ("waiting", "nack")
            assert seen.history[0].reason == f"{type(refusal).__name__}: {refusal}"


async def test_an_acknowledgement_that_left_out_an_operation_is_not_told_as_done(monkeypatch):
    async with client_of() as (client, _):
        fates = []
        worker = client.worker("w", observe=lambda job, fate: fates.append(fate))

        @worker.handler("q")
        async def handle(job):
            return [BatchKvPut(key="k", value=1, is_new=True)]

        async def partly(queue, job, token, *, operations):
            problem = Problem(
                type="t",
                title="t",
                status=412,
                detail="there is one",
                code="revision_mismatch",
                definite=True,
            )
            return JobDone(id=job, revision=token, items=(BatchItem(status=412, problem=problem),))

        monkeypatch.setattr(client.queues, "ack", partly)
        await client.queues.send("q", 1)
        async with working(worker):
            await until(lambda: fates)
        assert fates == ["failed"]


async def test_a_reason_that_has_no_encoding_gives_the_job_back_all_the_same():
    async with client_of() as (client, _):
        fates = []
        worker = client.worker("w", observe=lambda job, fate: fates.append(fate))

        @worker.handler("q")
        async def handle(job):
            raise ValueError("half a pair: \ud800")

        added = await client.queues.send("q", 1)
        async with working(worker):
            await until(lambda: fates)
        assert fates == ["failed"]
        seen = await client.queues.job("q", added.id)
        assert seen.history[0].reason == "ValueError: half a pair: ?"


async def test_an_acknowledgement_by_hand_refuses_what_would_be_bent():
    async with client_of() as (client, _):
        await client.queues.send("q", 1)
        (job,) = await client.queues.claim("q")
        with pytest.raises(errors.Invalid) as caught:
            operations = [BatchEnqueue(queue="n", body=[float("inf")])]
            await client.queues.ack("q", job.id, job.token, operations=operations)
        assert caught.value.path == "operations[0].body[0]"
        assert (await client.queues.get("q")).claimed == 1


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
