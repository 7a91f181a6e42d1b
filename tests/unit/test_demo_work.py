"""What the demo does to a cluster, over the real API with fake peers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
from api_harness import running

from replicante.clock import SystemClock
from replicante.demo_work import (
    Ledger,
    Tail,
    common_digests,
    compare_digests,
    find_leader,
    read_back,
    write_on,
)
from replicante.raft.status import Role
from replicante.testing.builders import LoneState, kv_delete, kv_put
from replicante.testing.fake_peer import FakePeer, Trouble
from replicante.wire.headers import Consistency
from replicante.wire.status import Digest, RaftStatus


@asynccontextmanager
async def peers(count: int = 3, *, is_shared: bool = True):
    """(peers, urls by id): of one state, or each of its own."""
    lone = LoneState()
    made = [
        FakePeer(lone if is_shared else LoneState(), peer_id=f"p{number}")
        for number in range(1, count + 1)
    ]
    async with AsyncExitStack() as stack, asyncio.timeout(30):
        harnesses = [await stack.enter_async_context(running(peer=peer)) for peer in made]
        yield made, {f"p{n}": it.server.url for n, it in enumerate(harnesses, 1)}


async def write_some(urls: dict[str, str], count: int) -> Ledger:
    ledger, stop = Ledger(), asyncio.Event()
    work = write_on(list(urls.values()), name="w", ledger=ledger, clock=SystemClock(), stop=stop)
    task = asyncio.create_task(work)
    await ledger.wait_after(-1, count=count)
    stop.set()
    await task
    return ledger


async def test_what_was_acknowledged_is_read_back_from_each_peer():
    async with peers() as (_, urls):
        ledger = await write_some(urls, 5)
        for peer, url in urls.items():
            for consistency in Consistency.LINEARIZABLE, Consistency.STALE:
                found = await read_back(
                    url, peer=peer, acknowledged=ledger.acknowledged, consistency=consistency
                )
                assert found.equal_count == len(ledger.acknowledged) >= 5
                assert (found.missing, found.different, found.error) == ((), (), None)


async def test_a_peer_that_lost_or_changed_a_value_is_found_out():
    async with peers(2, is_shared=False) as (made, urls):
        ledger = await write_some({"p1": urls["p1"]}, 3)
        keys = list(ledger.acknowledged)
        for key in keys:
            made[1].do(kv_put(key, ledger.acknowledged[key]))
        made[1].do(kv_put(keys[0], "changed"))
        made[1].do(kv_delete(keys[1]))
        found = await read_back(
            urls["p2"],
            peer="p2",
            acknowledged=ledger.acknowledged,
            consistency=Consistency.STALE,
        )
        assert (found.different, found.missing) == ((keys[0],), (keys[1],))


async def test_a_peer_that_cannot_be_read_is_an_error_not_an_exception():
    async with peers(1) as (made, urls):
        made[0].trouble = Trouble.DEFECT
        found = await read_back(
            urls["p1"],
            peer="p1",
            acknowledged={"a": 1},
            consistency=Consistency.LINEARIZABLE,
        )
        assert found.error


async def test_writes_in_doubt_are_not_counted_as_acknowledged(monkeypatch):
    monkeypatch.setattr("replicante.demo_work.WRITE_TIMEOUT_MS", 200)
    async with peers(1) as (made, urls):
        made[0].trouble = Trouble.LOST_BEFORE
        ledger, stop = Ledger(), asyncio.Event()
        task = asyncio.create_task(
            write_on(list(urls.values()), name="w", ledger=ledger, clock=SystemClock(), stop=stop)
        )
        while not ledger.in_doubt:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        stop.set()
        await task
        assert ledger.acknowledged == {}


async def test_the_tail_sees_every_acknowledged_write_once():
    async with peers() as (_, urls):
        tail = Tail(list(urls.values()), show=lambda _: None)
        task = asyncio.create_task(tail.run())
        ledger = await write_some(urls, 4)
        await tail.wait_for(list(ledger.acknowledged))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        seen = tail.seen(list(ledger.acknowledged))
        assert (seen.missing, seen.repeated) == ((), ())
        assert tail.seen(["demo/other"]).missing == ("demo/other",)


async def test_the_leader_is_who_says_so_itself():
    async with peers() as (made, urls):
        for number, peer in enumerate(made):
            role = Role.LEADER if number == 1 else Role.FOLLOWER
            peer.base_status = replace(peer.base_status, role=role)
        assert await find_leader(list(urls.values())) == "p2"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await find_leader(list(urls.values()), not_="p2")


async def test_equal_states_have_equal_digests_at_one_index():
    async with peers() as (_, urls):
        ledger = await write_some(urls, 3)
        digests = await compare_digests(urls, least_index=ledger.newest_index)
        assert [it.peer for it in digests] == ["p1", "p2", "p3"]
        assert len({(it.index, it.value) for it in digests}) == 1


async def test_states_that_differ_have_digests_that_differ():
    async with peers(2, is_shared=False) as (made, urls):
        made[0].do(kv_put("a", 1))
        made[1].do(kv_put("a", 2))
        digests = await compare_digests(urls, least_index=1)
        assert len({it.value for it in digests}) == 2


def status(peer: str, *digests: tuple[int, str]) -> RaftStatus:
    found = tuple(Digest(index=index, value=value) for index, value in digests)
    return RaftStatus(
        peer=peer,
        role="follower",
        leader=None,
        term=1,
        commit_index=1,
        applied_index=1,
        digest=found[-1] if found else None,
        peers=(),
        clock_ms=0,
        durability="fsync",
        digests=found[:-1],
    )


def test_digests_are_compared_at_the_newest_common_index_only():
    found = [status("p1", (8, "a"), (16, "b"), (17, "x")), status("p2", (8, "a"), (16, "c"))]
    assert [(it.peer, it.index, it.value) for it in common_digests(found, least_index=1)] == [
        ("p1", 16, "b"),
        ("p2", 16, "c"),
    ]
    assert common_digests(found, least_index=17) == ()
    assert common_digests([status("p1", (8, "a")), status("p2")], least_index=1) == ()
    assert common_digests([], least_index=1) == ()


def test_the_gap_is_the_longest_pause_that_ends_after_the_kill():
    ledger = Ledger(ack_times_ms=[0, 500, 510, 700, 720])
    assert ledger.gap_ms(505) == 190
    assert ledger.gap_ms(720) is None
    assert ledger.count_after(510) == 2
