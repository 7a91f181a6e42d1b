"""The thread that waits for the disk: in order, with its failures, and never left half way."""

from __future__ import annotations

import asyncio
import threading

import pytest

from replicante.errors import FatalError
from replicante.raft.commit_thread import CommitThread


@pytest.fixture
def committer():
    thread = CommitThread("test-commit")
    yield thread
    thread.stop()


async def test_work_is_done_on_the_thread_and_before_the_caller_goes_on(committer):
    where = []
    await committer.run(lambda: where.append(threading.current_thread().name))
    assert where == ["test-commit"]


async def test_what_work_raises_reaches_the_caller_and_the_thread_lives_on(committer):
    def fail():
        raise FatalError("the disk is gone")

    with pytest.raises(FatalError):
        await committer.run(fail)
    done = []
    await committer.run(lambda: done.append(True))
    assert done


async def test_work_is_done_in_order(committer):
    order = []
    await asyncio.gather(*(committer.run(lambda i=i: order.append(i)) for i in range(50)))
    assert order == list(range(50))


async def test_a_caller_that_is_cancelled_does_not_stop_the_write(committer):
    may_go, done = threading.Event(), threading.Event()

    def write():
        may_go.wait(timeout=20)
        done.set()

    task = asyncio.create_task(committer.run(write))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_go.set()
    await committer.run(lambda: None)
    assert done.is_set()


async def test_stopping_does_what_was_queued_first():
    committer = CommitThread("test-commit")
    done = []
    task = asyncio.create_task(committer.run(lambda: done.append(True)))
    await asyncio.sleep(0)
    committer.stop()
    assert done == [True]
    await task
