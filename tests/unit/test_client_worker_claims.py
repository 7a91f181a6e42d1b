"""What a worker of the SDK may count on: claims that came late, a session that is lost, the end."""

from __future__ import annotations

import asyncio

import pytest
from api_harness import LIMIT_S, until
from test_client_worker import client_of, working

from replicante import errors
from replicante.client import worker as worker_module
from replicante.clock import SystemClock
from replicante.state import lease_admission
from replicante.testing.fake_peer import Trouble

VISIBILITY_MS = 2_000


class LeapingClock(SystemClock):
    """Time that nobody has to wait for."""

    leapt_ms = 0

    def monotonic_ms(self) -> int:
        return super().monotonic_ms() + self.leapt_ms


@pytest.fixture(autouse=True)
async def limit():
    async with asyncio.timeout(LIMIT_S):
        yield


def comes_after(wait_ms, client, clock, monkeypatch):
    """Each claim that finds a job was waited for so long."""
    claim = client.queues.claim

    async def late(*arguments, **options):
        claimed = await claim(*arguments, **options)
        clock.leapt_ms += wait_ms if claimed else 0
        return claimed

    monkeypatch.setattr(client.queues, "claim", late)


def told(verb, client, monkeypatch, steps):
    """Notes in `steps` that the worker asks for it."""
    ask = getattr(client.queues, verb)

    async def noted(*arguments, **options):
        steps.append(verb)
        return await ask(*arguments, **options)

    monkeypatch.setattr(client.queues, verb, noted)


async def test_a_claim_that_came_late_is_made_sure_of_before_its_job_is_handled(monkeypatch):
    clock = LeapingClock()
    async with client_of(clock) as (client, _):
        steps = []
        worker = client.worker("w", observe=lambda job, fate: steps.append(fate))
        comes_after(VISIBILITY_MS, client, clock, monkeypatch)
        told("extend", client, monkeypatch, steps)

        @worker.handler("q", visibility_ms=VISIBILITY_MS)
        async def handle(job):
            steps.append(f"handled {job.attempt}")
            await asyncio.sleep(0.01)

        await client.queues.send("q", 1)
        async with working(worker):
            await until(lambda: {"done", "lost"} & set(steps))
        assert steps == ["extend", "handled 1", "done"]


async def test_a_claim_that_came_at_once_costs_no_second_write(monkeypatch):
    async with client_of() as (client, _):
        steps = []
        worker = client.worker("w", observe=lambda job, fate: steps.append(fate))
        told("extend", client, monkeypatch, steps)

        @worker.handler("q")
        async def handle(job):
            pass

        await client.queues.send("q", 1)
        async with working(worker):
            await until(lambda: steps)
        assert steps == ["done"]


@pytest.mark.parametrize("refusal", [errors.StaleToken, errors.Unreachable])
async def test_a_late_claim_that_nobody_confirms_is_not_handled(refusal, monkeypatch):
    clock = LeapingClock()
    async with client_of(clock) as (client, _):
        fates, handled = [], []
        worker = client.worker("w", observe=lambda job, fate: fates.append(fate))
        comes_after(1_000, client, clock, monkeypatch)

        async def refused(*_, **__):
            raise refusal

        monkeypatch.setattr(client.queues, "extend", refused)

        @worker.handler("q", visibility_ms=1_000)
        async def handle(job):
            handled.append(job)

        await client.queues.send("q", 1)
        async with working(worker):
            await until(lambda: fates)
        assert (fates, handled) == (["lost"], [])


async def test_a_job_is_given_back_when_its_handler_has_ended_and_not_before(monkeypatch):
    async with client_of() as (client, _):
        steps = []
        begun = asyncio.Event()
        worker = client.worker("w", grace_ms=10)
        told("nack", client, monkeypatch, steps)

        @worker.handler("q")
        async def handle(job):
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                steps.append("ended")

        await client.queues.send("q", 1)
        async with working(worker):
            await begun.wait()
        assert steps == ["ended", "nack"]


async def test_a_claim_is_kept_while_its_cancelled_handler_ends(monkeypatch):
    async with client_of() as (client, _):
        steps = []
        begun = asyncio.Event()
        worker = client.worker("w", grace_ms=10)
        told("extend", client, monkeypatch, steps)
        told("nack", client, monkeypatch, steps)

        @worker.handler("q", visibility_ms=1_000)
        async def handle(job):
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                steps.append("ends")
                await until(lambda: "extend" in steps)

        await client.queues.send("q", 1)
        async with working(worker):
            await begun.wait()
        assert steps == ["ends", "extend", "nack"]


async def test_a_handler_that_does_not_end_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(worker_module, "HANDLER_END_MS_MAX", 20)
    async with client_of() as (client, _):
        steps = []
        begun, is_over = asyncio.Event(), asyncio.Event()
        worker = client.worker("w", grace_ms=10, observe=lambda job, fate: steps.append(fate))
        told("nack", client, monkeypatch, steps)

        @worker.handler("q")
        async def handle(job):
            begun.set()
            while not is_over.is_set():
                try:
                    await is_over.wait()
                except asyncio.CancelledError:
                    steps.append("went on")

        await client.queues.send("q", 1)
        async with working(worker):
            await begun.wait()
        is_over.set()
        # Nobody says that the job is free while somebody works on it.
        assert steps == ["went on", "lost"]


async def test_a_lost_session_cancels_the_handlers_and_asks_nobody(monkeypatch):
    monkeypatch.setattr(lease_admission, "LEASE_MS_MIN", 1)
    monkeypatch.setattr(worker_module, "SESSION_MS", 1_500)
    async with client_of() as (client, peer):
        steps = []
        begun = asyncio.Event()
        worker = client.worker("w")
        told("nack", client, monkeypatch, steps)

        @worker.handler("q")
        async def handle(job):
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                steps.append("ended")
                stop.set()

        await client.queues.send("q", 1)
        async with working(worker) as stop:
            await begun.wait()
            peer.trouble = Trouble.SILENT
            loop = asyncio.get_running_loop()
            begun_s = loop.time()
            await until(lambda: steps)
            assert loop.time() - begun_s < 5  # a nack that nobody answers takes ten
        assert steps == ["ended"]


async def test_a_worker_whose_session_is_lost_begins_another(monkeypatch):
    monkeypatch.setattr(lease_admission, "LEASE_MS_MIN", 1)
    monkeypatch.setattr(worker_module, "SESSION_MS", 1_000)
    monkeypatch.setattr(worker_module, "RETRY_MS", 10)
    async with client_of() as (client, peer):
        fates = []
        worker = client.worker("w", observe=lambda job, fate: fates.append(fate))

        @worker.handler("q")
        async def handle(job):
            if job.attempt == 1:
                peer.trouble = Trouble.NO_LEADER
                try:
                    await asyncio.Event().wait()
                finally:
                    peer.trouble = Trouble.NONE
                    peer.pass_time(1_000)

        await client.queues.send("q", 1)
        async with working(worker):
            await until(lambda: fates)
        assert fates == ["done"]


async def test_a_job_whose_handler_cancels_itself_has_failed():
    async with client_of() as (client, _):
        fates = []
        worker = client.worker("w", observe=lambda job, fate: fates.append(fate))

        @worker.handler("q")
        async def handle(job):
            raise asyncio.CancelledError

        added = await client.queues.send("q", 1)
        async with working(worker):
            await until(lambda: fates)
            seen = await client.queues.job("q", added.id)
        assert (fates, seen.state, seen.history[0].reason) == (
            ["failed"],
            "waiting",
            "CancelledError: ",
        )
