"""Locks and elections of the SDK, over the real API and a state whose clock the test moves."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from api_harness import LIMIT_S, running, until
from test_client_over_api import cluster

from replicante import errors
from replicante.client import Client, Leader
from replicante.client import locks as locks_module
from replicante.client.sync import SyncClient
from replicante.state import lease_admission
from replicante.state.lease_commands import LeaseForceRelease, LeaseRelease
from replicante.testing.fake_peer import Trouble

SHORT_MS = 1_000
"""Of leases that are to be lost."""
LIVE_MS = 1_500
"""Of leases that are to be kept: renewed three times within it, on a busy machine too."""


@pytest.fixture(autouse=True)
def short_leases(monkeypatch):
    """Holders live by the real clock here; no test waits longer than it must."""
    monkeypatch.setattr(lease_admission, "LEASE_MS_MIN", 1)


@pytest.fixture(autouse=True)
async def limit():
    async with asyncio.timeout(LIMIT_S):
        yield


def forever():
    return asyncio.Event().wait()


async def test_a_lock_is_held_while_its_block_runs_and_given_back():
    async with cluster() as (client, _, _second):
        async with client.lock("l", owner={"host": "a"}) as lock:
            held = await client.leases.get("l")
            assert (held.token, held.owner) == (lock.token, {"host": "a"})
            first = lock.token
        assert await client.leases.find("l") is None
        with pytest.raises(RuntimeError, match="not held"):
            _ = lock.token
        async with lock:
            assert lock.token > first


async def test_a_lock_that_somebody_holds_is_refused_without_waiting():
    async with cluster() as (client, _, _second):
        async with client.lock("l", owner={"host": "a"}):
            with pytest.raises(errors.LeaseHeld) as caught:
                async with client.lock("l", wait_ms=0):
                    pytest.fail("two holders")
        assert caught.value.details["owner"] == {"host": "a"}


async def test_a_lock_is_waited_for():
    async with cluster() as (client, first, _):
        async with client.lock("l") as lock:
            token = lock.token

            async def second():
                async with client.lock("l") as other:
                    return other.token

            waiting = asyncio.create_task(second())
            await until(lambda: waiting.done() or first.proposals_count >= 1)
        assert await waiting > token


async def test_a_lock_that_was_waited_for_is_renewed_before_it_is_relied_on(monkeypatch):
    async with cluster() as (client, first, _):
        renewals = []
        renew = client.leases.renew

        async def counted(name, token, **options):
            renewals.append(token)
            return await renew(name, token, **options)

        monkeypatch.setattr(client.leases, "renew", counted)
        grant = await client.leases.acquire("l", duration_ms=10_000)
        lock = client.lock("l", duration_ms=LIVE_MS)
        entering = asyncio.create_task(lock.__aenter__())
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        await until(lambda: loop.time() > begun_s + LIVE_MS / 900)
        first.do(LeaseRelease("l", int(grant.token)))
        await entering
        assert renewals[:1] == [lock.token]
        await lock.__aexit__(None, None, None)


async def test_the_lease_is_renewed_in_the_background():
    async with cluster() as (client, first, _), client.lock("l", duration_ms=LIVE_MS):
        before = first.proposals_count
        await until(lambda: first.proposals_count >= before + 1)
        first.pass_time(LIVE_MS - 1)
        await until(lambda: first.proposals_count >= before + 2)
        first.pass_time(LIVE_MS - 1)
        assert await client.leases.find("l") is not None


@pytest.mark.parametrize("trouble", [Trouble.NO_LEADER, Trouble.SILENT, Trouble.LOST_BEFORE])
async def test_the_block_is_cancelled_when_the_lease_must_be_counted_lost(trouble):
    async with cluster() as (client, first, second):
        loop = asyncio.get_running_loop()
        with pytest.raises(errors.LeaseLost) as caught:
            async with client.lock("l", duration_ms=SHORT_MS) as lock:
                token = lock.token
                first.trouble = second.trouble = trouble
                begun = loop.time()
                await forever()
        assert loop.time() - begun < 10
        assert caught.value.details["token"] == token
        assert not caught.value.definite
        assert lock.is_lost
        assert asyncio.current_task().cancelling() == 0


async def test_renewals_that_fail_for_a_while_do_no_harm():
    async with cluster() as (client, first, second), client.lock("l", duration_ms=2_000):
        first.trouble = second.trouble = Trouble.LOST_BEFORE
        before = first.proposals_count + second.proposals_count
        await until(lambda: first.proposals_count + second.proposals_count > before)
        first.trouble = second.trouble = Trouble.NONE
        before = first.proposals_count + second.proposals_count
        await until(lambda: first.proposals_count + second.proposals_count > before)


async def test_a_lock_that_is_taken_away_cancels_its_block():
    async with cluster() as (client, first, _):
        with pytest.raises(errors.LeaseLost, match="taken away"):
            async with client.lock("l", duration_ms=SHORT_MS):
                first.do(LeaseForceRelease("l", "stuck"))
                await forever()


async def test_a_block_that_ends_after_its_lock_was_taken_away_is_told():
    async with cluster() as (client, first, _):
        with pytest.raises(errors.LeaseLost):
            async with client.lock("l"):
                first.do(LeaseForceRelease("l", "stuck"))


async def test_a_fault_of_the_block_is_not_hidden_and_the_lease_is_given_back():
    async with cluster() as (client, first, _):
        with pytest.raises(ZeroDivisionError):
            async with client.lock("l"):
                raise ZeroDivisionError
        assert await client.leases.find("l") is None
        with pytest.raises(ZeroDivisionError):
            async with client.lock("l"):
                first.do(LeaseForceRelease("l", "stuck"))
                raise ZeroDivisionError


async def test_a_cancellation_from_outside_stays_one():
    async with cluster() as (client, _, _second):
        entered = asyncio.Event()

        async def work():
            async with client.lock("l"):
                entered.set()
                await forever()

        task = asyncio.create_task(work())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await client.leases.find("l") is None


async def test_a_lease_that_cannot_be_given_back_runs_out(monkeypatch):
    monkeypatch.setattr(locks_module, "RELEASE_MS_MAX", 50)
    async with cluster() as (client, first, second):
        async with client.lock("l"):
            first.trouble = second.trouble = Trouble.NO_LEADER
        first.trouble = second.trouble = Trouble.NONE
        assert await client.leases.find("l") is not None
        first.pass_time(10_000)
        assert await client.leases.find("l") is None


async def test_one_lock_object_is_not_entered_twice():
    async with cluster() as (client, _, _second), client.lock("l") as lock:
        with pytest.raises(RuntimeError, match="by this object"):
            await lock.__aenter__()


async def test_an_election_shows_every_leader_in_order():
    async with running() as api, Client([api.server.url]) as client:
        election = client.election("main")
        seen = []
        async with aclosing(election.observe()) as stream:
            assert await anext(stream) is None
            async with election.campaign(owner={"host": "a"}) as leadership:
                seen.append(await anext(stream))
                assert seen[0] == Leader(token=leadership.token, owner={"host": "a"})
            assert await anext(stream) is None
            await client.leases.acquire("main2", duration_ms=1_000)
            async with election.campaign(owner={"host": "b"}):
                seen.append(await anext(stream))
        assert seen[1].owner == {"host": "b"}
        assert seen[1].token > seen[0].token


async def test_an_observer_that_comes_late_sees_the_present_leader_first():
    async with running() as api, Client([api.server.url]) as client:
        grant = await client.leases.acquire("main", duration_ms=10_000)
        async with aclosing(client.election("main").observe()) as stream:
            assert (await anext(stream)).token == grant.token
            api.peer.pass_time(10_000)
            assert await anext(stream) is None


async def test_a_defect_of_the_renewal_ends_the_block_too(monkeypatch):
    async with cluster() as (client, _, _second):

        async def broken(*_, **_options):
            raise ZeroDivisionError

        monkeypatch.setattr(client.leases, "renew", broken)
        with pytest.raises(errors.LeaseLost) as caught:
            async with client.lock("l", duration_ms=SHORT_MS):
                await forever()
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_leases_are_managed_call_by_call():
    async with cluster() as (client, first, _):
        grant = await client.leases.acquire("a/b", duration_ms=10_000, owner={"n": 1})
        assert grant.expires_in == "10s"
        renewed = await client.leases.renew("a/b", grant.token, duration_ms=20_000)
        assert renewed.expires_in == "20s"
        item = await client.kv.put("k", 1, lease=grant.token)
        assert item.lease == grant.token
        await client.leases.acquire("c", duration_ms=10_000)
        assert [one.name async for one in client.leases.list()] == ["a/b", "c"]
        assert [one.name for one in (await client.leases.page("c")).items] == ["c"]
        await client.leases.release("a/b", grant.token)
        assert await client.kv.find("k") is None
        with pytest.raises(errors.StaleToken):
            await client.leases.renew("a/b", grant.token)
        await client.leases.force_release("c", reason="stuck & gone")
        with pytest.raises(errors.NotFound):
            await client.leases.get("c")
        assert first.lone.machine.deadline_ms() is None


async def test_an_acquire_whose_answer_is_lost_happens_once():
    async with cluster() as (client, first, _):
        first.trouble = Trouble.LOST_AFTER
        grant = await client.leases.acquire("l", duration_ms=10_000)
        assert (await client.leases.get("l")).token == grant.token


async def test_a_waiting_acquire_whose_answer_is_lost_does_not_wait_for_its_own_grant():
    async with cluster() as (client, first, _):
        first.trouble = Trouble.LOST_AFTER
        grant = await client.leases.acquire("l", duration_ms=10_000, wait_ms=60_000)
        assert (await client.leases.get("l")).token == grant.token


async def test_an_owner_that_no_body_carries_is_refused():
    async with cluster() as (client, _, _second):
        with pytest.raises(errors.Invalid) as caught:
            await client.leases.acquire("l", duration_ms=10_000, owner={"a": [float("nan")]})
        assert caught.value.path == "owner.a[0]"


def test_the_blocking_client_has_leases_and_says_what_it_cannot_do():
    client = SyncClient()
    with pytest.raises(AttributeError, match="event loop"):
        client.lock("l")
    assert "lock" not in dir(client)
    assert "leases" in dir(client)
