"""Callers that wait for an index: woken by it, by its time, by the end; none is kept for ever."""

from __future__ import annotations

import asyncio

from replicante.raft.waiters import AppliedWaiters


def waiting(waiters, *indexes, timeout_ms=60_000):
    return [
        asyncio.create_task(waiters.wait(index, applied_index=0, timeout_ms=timeout_ms))
        for index in indexes
    ]


async def started(*tasks):
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_what_is_applied_already_is_not_waited_for():
    assert await AppliedWaiters().wait(5, applied_index=5, timeout_ms=0)


async def test_each_waits_for_its_own_index():
    waiters = AppliedWaiters()
    low, high = await started(*waiting(waiters, 3, 5))
    waiters.applied(4)
    assert await low
    assert not high.done()
    waiters.applied(5)
    assert await high


async def test_many_waiters_of_one_index_all_wake():
    waiters = AppliedWaiters()
    tasks = await started(*waiting(waiters, *[3] * 50))
    waiters.applied(3)
    assert all(await asyncio.gather(*tasks))


async def test_no_time_is_no_wait():
    assert not await AppliedWaiters().wait(5, applied_index=4, timeout_ms=0)


async def test_when_the_time_is_over_the_answer_is_no():
    assert not await AppliedWaiters().wait(5, applied_index=4, timeout_ms=1)


async def test_closing_answers_everybody_and_everybody_after():
    waiters = AppliedWaiters()
    tasks = await started(*waiting(waiters, 3, 5))
    waiters.close()
    assert await asyncio.gather(*tasks) == [False, False]
    assert not await waiters.wait(9, applied_index=0, timeout_ms=60_000)


async def test_those_who_left_do_not_pile_up():
    waiters = AppliedWaiters()
    for _ in range(500):
        (task,) = await started(*waiting(waiters, 1 << 40))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len(waiters._heap) <= 65


async def test_one_who_left_does_not_disturb_the_others():
    waiters = AppliedWaiters()
    gone, stays = await started(*waiting(waiters, 3, 3))
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    waiters.applied(3)
    assert await stays
