"""Where a write of the log is made: on the thread that may wait, or on the loop meanwhile."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from replicante import limits
from replicante.errors import DiskFull, FatalError, StorageFull
from replicante.raft import committing
from replicante.raft.commit_thread import CommitThread
from replicante.raft.committing import Committing, is_small
from replicante.raft.log import Base, HardState, WriteSet
from replicante.raft.observations import CommitDone, DiskFullChanged, LogBoundReached
from replicante.raft.standing_still import StandingStill
from replicante.testing.clock import ManualClock

SMALL = WriteSet(truncate_from=None, records=((7, b"entry"),), hard=None, base=None)
BASE = Base(index=3, term=1, clock_ms=0, chain=bytes(16), configuration_index=1, configuration=b"")


class Disk:
    """Takes as long as it is told, and says on which thread it was asked."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.write_ms = 0
        self.failures: list[Exception] = []
        self.threads: list[str] = []

    def write(self, writes: WriteSet) -> None:
        self.threads.append(threading.current_thread().name)
        self._clock.advance(self.write_ms)
        if self.failures:
            raise self.failures.pop(0)

    def read(self, low: int, high: int) -> list:
        raise AssertionError


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.disk = Disk(self.clock)
        self.told: list[object] = []
        self.thread = CommitThread("test-log")
        self.standing_still = StandingStill(self.told.append)
        self.committing = Committing(
            self.disk,
            self.thread,
            self.standing_still,
            clock=self.clock,
            report=self.told.append,
        )

    async def write(self, writes: WriteSet = SMALL, *, is_awaited: bool = False) -> bool:
        """Whether it was made on the loop."""
        await self.committing.commit(writes, is_awaited=is_awaited)
        return self.disk.threads[-1] != "test-log"

    async def watched(self) -> Bench:
        for _ in range(limits.COMMITS_WATCHED):
            assert not await self.write(), "nothing is known of the disk yet"
        return self


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.thread.stop()


async def test_a_small_write_is_made_on_the_loop_while_the_disk_is_fast(bench):
    await bench.watched()
    assert await bench.write()
    assert bench.told[-1] == CommitDone(records_count=1, duration_ms=0)


async def test_one_slow_write_sends_the_next_ones_to_the_thread(bench):
    await bench.watched()
    bench.disk.write_ms = limits.COMMIT_ON_LOOP_MS_MAX + 1
    assert await bench.write()
    bench.disk.write_ms = 0
    for _ in range(limits.COMMITS_WATCHED - 1):
        assert not await bench.write()
    assert not await bench.write(), "the slow one is still among the last"
    assert await bench.write()


async def test_a_disk_that_is_slow_never_holds_the_loop(bench):
    bench.disk.write_ms = limits.COMMIT_ON_LOOP_MS_MAX + 1
    for _ in range(3 * limits.COMMITS_WATCHED):
        assert not await bench.write()


async def test_what_others_wait_for_leaves_while_the_thread_writes(bench):
    await bench.watched()
    assert not await bench.write(is_awaited=True)


@pytest.mark.parametrize(
    "change",
    [
        {"hard": HardState(term=2)},
        {"base": BASE},
        {"truncate_from": 5},
        {"records": ((7, bytes(limits.COMMIT_ON_LOOP_BYTES_MAX + 1)),)},
    ],
)
async def test_whatever_may_take_long_is_left_to_the_thread(bench, change):
    await bench.watched()
    assert not is_small(replace(SMALL, **change))
    assert not await bench.write(replace(SMALL, **change))


async def test_a_full_disk_is_tried_again_until_there_is_room(bench, monkeypatch):
    monkeypatch.setattr(committing, "_DISK_FULL_RETRY_S", 0)
    await bench.watched()
    bench.disk.failures = [DiskFull("no room"), DiskFull("no room")]
    await bench.write()
    changes = [it.is_full for it in bench.told if isinstance(it, DiskFullChanged)]
    assert changes == [True, False]
    assert not bench.standing_still


async def test_a_full_disk_is_tried_again_where_nobody_waits(bench, monkeypatch):
    """A commit that fails is noted with two syncs: not on the loop, once a second."""
    monkeypatch.setattr(committing, "_DISK_FULL_RETRY_S", 0)
    await bench.watched()
    bench.disk.failures = [DiskFull("no room")] * 3
    await bench.write()
    assert bench.disk.threads[-3:] == ["test-log"] * 3
    for _ in range(limits.COMMITS_WATCHED - 1):
        assert not await bench.write()
    assert await bench.write()


async def test_who_stops_does_not_wait_for_room(bench):
    bench.committing.is_stopping = True
    bench.disk.failures = [DiskFull("no room")]
    with pytest.raises(DiskFull):
        await bench.write()


async def test_a_failed_sync_is_never_repeated(bench):
    await bench.watched()
    written_count = len(bench.disk.threads)
    bench.disk.failures = [FatalError("the disk is gone")]
    with pytest.raises(FatalError):
        await asyncio.wait_for(bench.write(), 30)
    assert len(bench.disk.threads) == written_count + 1


def test_a_disk_that_is_full_no_more_is_told_where_the_log_reaches_its_bound(bench):
    still = bench.standing_still
    for reason in (DiskFull("no room"), StorageFull("the bound")):
        still.begin(reason)
    assert bench.told == [
        DiskFullChanged(is_full=True, detail="no room"),
        DiskFullChanged(is_full=False, detail=""),
        LogBoundReached(detail="the bound"),
    ]
    still.begin(DiskFull("no room again"))
    still.end()
    still.end()
    assert [it.is_full for it in bench.told if isinstance(it, DiskFullChanged)] == [
        True,
        False,
        True,
        False,
    ]
