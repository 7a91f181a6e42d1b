from __future__ import annotations

import asyncio

import pytest
from api_harness import LIMIT_S, running, until

from replicante import limits
from replicante.ids import parse_stamp
from replicante.model.codec import encode_value
from replicante.state.lease_commands import LeaseAcquire, LeaseRelease
from replicante.wire.paths import lease_path


async def acquire(api, name="l", **fields):
    return await api.post(f"/leases/{name}/acquire", {"duration": "10s", **fields})


async def test_a_lease_is_acquired_renewed_looked_at_and_released():
    async with running() as api:
        grant = await acquire(api, owner={"host": "a"})
        assert grant.status == 200
        token = grant.json["token"]
        assert grant.json == {"name": "l", "token": token, "expires_in": "10s"}
        api.peer.pass_time(4_000)
        seen = await api.get("/leases/l")
        assert seen.json == {
            "name": "l",
            "token": token,
            "owner": {"host": "a"},
            "duration": "10s",
            "expires_in": "6s",
            "held_for": "4s",
        }
        renewed = await api.post("/leases/l/renew", {"token": token})
        assert renewed.json == grant.json
        longer = await api.post("/leases/l/renew", {"token": token, "duration": "1m"})
        assert longer.json["expires_in"] == "1m"
        released = await api.post("/leases/l/release", {"token": token})
        assert released.json["revision"] > token
        (await api.get("/leases/l")).problem("not_found", 404)


async def test_a_held_lease_says_who_holds_it():
    async with running() as api:
        token = (await acquire(api, owner={"host": "a"})).json["token"]
        api.peer.pass_time(1_000)
        problem = (await acquire(api)).problem("lease_held", 409)
        assert problem["definite"]
        assert problem["details"] == {
            "owner": {"host": "a"},
            "token": token,
            "expires_in": "9s",
        }


async def test_an_old_token_is_refused_with_the_present_one():
    async with running() as api:
        old = (await acquire(api)).json["token"]
        api.peer.pass_time(10_000)
        new = (await acquire(api)).json["token"]
        assert new > old
        for verb in ("renew", "release"):
            answer = await api.post(f"/leases/l/{verb}", {"token": old})
            assert answer.problem("stale_token", 409)["details"] == {"held": new}


async def test_a_forced_release_needs_a_reason_and_leaves_an_event():
    async with running() as api:
        token = (await acquire(api)).json["token"]
        assert (await api.delete("/leases/l")).problem("invalid", 400)["path"] == "?reason"
        assert (await api.delete("/leases/l?reason=stuck%20host")).status == 200
        (await api.delete("/leases/l?reason=again")).problem("not_found", 404)
        page = await api.get("/events?code=LEASE_FORCE")
        (event,) = page.json["items"]
        assert event["key"] == "l"
        assert event["payload"]["reason"] == "stuck host"
        assert event["payload"]["token"] == token


async def test_leases_are_listed_in_pages():
    async with running() as api:
        for name in ("b", "a%2Fx", "a%2Fy"):
            await acquire(api, name)
        first = await api.get("/leases?limit=2")
        assert [one["name"] for one in first.json["items"]] == ["a/x", "a/y"]
        rest = await api.get(f"/leases?cursor={first.json['next']}")
        assert ([one["name"] for one in rest.json["items"]], rest.json["next"]) == (["b"], None)
        found = await api.get("/leases?prefix=b")
        assert [one["name"] for one in found.json["items"]] == ["b"]
        (await api.get("/leases?cursor=x")).problem("invalid", 400)


async def test_any_name_works():
    async with running() as api:
        for name in ("..", ".", "a/b", "é x", "%2F", "acquire"):
            path = lease_path(name, "acquire")
            answer = await api.ask("POST", path, value={"duration": "1s"})
            assert answer.json["name"] == name
            assert (await api.ask("GET", lease_path(name))).json["name"] == name


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/leases/l/acquire", {}, "duration"),
        ("/leases/l/acquire", {"duration": "10"}, "duration"),
        ("/leases/l/acquire", {"duration": "999ms"}, "duration"),
        ("/leases/l/acquire", {"duration": "25h"}, "duration"),
        ("/leases/l/acquire", {"duration": "1s", "wait": "x"}, "wait"),
        ("/leases/l/acquire", {"duration": "1s", "wait": "11m"}, "wait"),
        ("/leases/l/acquire", {"duration": "1s", "owner": "me"}, "owner"),
        ("/leases/l/acquire", {"duration": "1s", "owner": {"a": 1 << 64}}, "owner.a"),
        ("/leases/" + "l" * 129 + "/acquire", {"duration": "1s"}, "name"),
        ("/leases//acquire", {"duration": "1s"}, "name"),
        ("/leases/l/renew", {"token": "x"}, "token"),
        ("/leases/l/renew", {"token": "0"}, "token"),
        ("/leases/l/renew", {"token": "5", "duration": "0s"}, "duration"),
        ("/leases/l/release", {"token": 5}, "token"),
    ],
)
async def test_a_fault_is_refused_with_its_path(path, body, place):
    async with running() as api:
        assert (await api.post(path, body)).problem("invalid", 400)["path"] == place
        assert api.peer.proposals_count == 0


async def test_an_owner_beyond_the_bound_is_refused():
    async with running() as api:
        answer = await acquire(api, owner={"a": "x" * limits.LEASE_OWNER_BYTES_MAX})
        problem = answer.problem("body_too_large", 413)
        assert problem["details"]["limit"] == limits.LEASE_OWNER_BYTES_MAX


async def test_a_repeat_under_the_same_key_tells_the_time_that_is_left():
    async with running() as api:
        body, headers = {"duration": "10s"}, {"Idempotency-Key": "k"}
        first = await api.post("/leases/l/acquire", body, headers=headers)
        api.peer.pass_time(4_000)
        again = await api.post("/leases/l/acquire", body, headers=headers)
        assert again.json == {**first.json, "expires_in": "6s"}
        api.peer.pass_time(6_000)
        late = await api.post("/leases/l/acquire", body, headers=headers)
        assert late.json == {**first.json, "expires_in": "0s"}


async def test_a_waiting_acquire_writes_nothing_until_the_lease_is_free():
    async with running() as api:
        token = (await acquire(api)).json["token"]
        proposals = api.peer.proposals_count
        waiting = asyncio.create_task(acquire(api, wait="1m"))
        await until(lambda: api.api.ctx.lease_waits.count == 1)
        api.peer.pass_time(1)
        await asyncio.sleep(0.01)
        assert api.peer.proposals_count == proposals
        api.peer.do(LeaseRelease("l", parse_stamp(token)))
        async with asyncio.timeout(LIMIT_S):
            grant = await waiting
        assert grant.json["token"] > token
        assert api.peer.proposals_count == proposals + 1
        assert api.api.ctx.lease_waits.count == 0


async def test_a_waiting_acquire_gets_a_lease_that_runs_out():
    async with running() as api:
        await acquire(api)
        waiting = asyncio.create_task(acquire(api, wait="1m"))
        await until(lambda: api.api.ctx.lease_waits.count == 1)
        api.peer.pass_time(10_000)
        async with asyncio.timeout(LIMIT_S):
            assert (await waiting).status == 200


async def test_a_wait_that_is_over_is_refused_without_a_proposal():
    async with running() as api:
        await acquire(api, owner={"host": "a"})
        proposals = api.peer.proposals_count
        problem = (await acquire(api, wait="20ms")).problem("lease_held", 409)
        assert problem["details"]["owner"] == {"host": "a"}
        assert api.peer.proposals_count == proposals


async def test_one_release_wakes_one_of_many_and_the_oldest():
    async with running() as api:
        token = (await acquire(api)).json["token"]
        waiting = []
        for number in range(5):
            waiting.append(asyncio.create_task(acquire(api, wait="1m", owner={"n": number})))
            await until(lambda: api.api.ctx.lease_waits.count == len(waiting))
        proposals = api.peer.proposals_count
        for task in waiting:
            api.peer.do(LeaseRelease("l", parse_stamp(token)))
            async with asyncio.timeout(LIMIT_S):
                token = (await task).json["token"]
        assert api.peer.proposals_count == proposals + 5


async def test_who_hangs_up_is_forgotten():
    async with running() as api:
        token = (await acquire(api)).json["token"]
        first = asyncio.create_task(acquire(api, wait="1m"))
        await until(lambda: api.api.ctx.lease_waits.count == 1)
        second = asyncio.create_task(acquire(api, wait="1m"))
        await until(lambda: api.api.ctx.lease_waits.count == 2)
        first.cancel()
        await until(lambda: api.api.ctx.lease_waits.count == 1)
        api.peer.do(LeaseRelease("l", parse_stamp(token)))
        async with asyncio.timeout(LIMIT_S):
            assert (await second).status == 200


async def test_who_was_woken_and_does_not_take_the_lease_passes_the_word_on():
    async with running() as api:
        token = (await acquire(api)).json["token"]
        waits = api.api.ctx.lease_waits
        first = asyncio.create_task(waits.park("l", timeout_ms=60_000))
        second = asyncio.create_task(waits.park("l", timeout_ms=60_000))
        await until(lambda: waits.count == 2)
        api.peer.do(LeaseRelease("l", parse_stamp(token)))
        async with asyncio.timeout(LIMIT_S):
            assert await first
        api.peer.pass_time(1)
        await asyncio.sleep(0.01)
        assert waits.count == 1, "the first one is still trying"
        waits.took("l")
        async with asyncio.timeout(LIMIT_S):
            assert await second


async def test_a_peer_that_stops_refuses_those_that_wait():
    async with running() as api:
        await acquire(api)
        waiting = asyncio.create_task(acquire(api, wait="1m"))
        await until(lambda: api.api.ctx.lease_waits.count == 1)
        api.api.stop()
        async with asyncio.timeout(LIMIT_S):
            (await waiting).problem("stopping", 503)
        (await acquire(api, wait="1m")).problem("stopping", 503)


async def test_too_many_waiting_acquires_are_sent_elsewhere(monkeypatch):
    monkeypatch.setattr(limits, "LEASE_WAITERS_MAX", 0)
    async with running() as api:
        await acquire(api)
        (await acquire(api, wait="1m")).problem("too_many_streams", 503)


async def test_a_defect_of_the_watch_is_survived(monkeypatch):
    async with running() as api:
        token = (await acquire(api)).json["token"]
        wait_applied, calls = api.peer.wait_applied, []

        async def broken(index, *, timeout_ms):
            calls.append(index)
            if len(calls) == 1:
                raise ZeroDivisionError
            return await wait_applied(index, timeout_ms=timeout_ms)

        monkeypatch.setattr(api.peer, "wait_applied", broken)
        waiting = asyncio.create_task(acquire(api, wait="1m"))
        await until(lambda: len(calls) == 1)
        api.peer.do(LeaseRelease("l", parse_stamp(token)))
        async with asyncio.timeout(LIMIT_S):
            assert (await waiting).status == 200


async def test_a_full_store_lets_leases_live_and_end():
    async with running() as api:
        outcome = api.peer.do(LeaseAcquire("l", 10_000, encode_value({})))
        api.room.used_fraction = 0.99
        (await acquire(api, "m")).problem("storage_full", 507)
        token = str(outcome.revision)
        assert (await api.post("/leases/l/renew", {"token": token})).status == 200
        assert (await api.post("/leases/l/release", {"token": token})).status == 200


async def test_a_prefix_longer_than_any_name_is_refused():
    async with running() as api:
        for path in ("/leases", "/queues"):
            refused = await api.get(f"{path}?prefix={'a' * 129}")
            assert refused.problem("invalid", 400)["path"] == "?prefix"
            assert "128" in refused.json["detail"]
