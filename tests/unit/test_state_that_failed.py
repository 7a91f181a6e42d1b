"""A state whose disk failed: what looks at it in the background ends, and leaves the word to the
peer, which ends too. No error of its own in the log: there is one cause, told once."""

from __future__ import annotations

import asyncio

import pytest
from work_bench import WorkBench

from replicante import errors
from replicante.api.event_feed import EventFeed
from replicante.api.lease_waits import LeaseWaits
from replicante.telemetry.logs import silent_logger
from replicante.testing.builders import put_namespace
from replicante.testing.fake_agents import FakeAgent
from replicante.testing.fake_peer import FakePeer


@pytest.fixture(params=[errors.FatalError, errors.PeerStopping])
def failure(request) -> errors.ReplicanteError:
    return request.param()


class FailedState:
    def __init__(self, failure: errors.ReplicanteError) -> None:
        self._failure = failure

    def view(self):
        raise self._failure


async def test_work_ends_by_itself(failure, monkeypatch):
    bench = WorkBench(FakeAgent("n1"))
    monkeypatch.setattr(bench.lone.machine, "view", FailedState(failure).view)
    await asyncio.wait_for(bench.workers.run(), 60)


async def test_a_target_that_cannot_be_judged_is_not_blamed_for_it(failure, monkeypatch):
    bench = WorkBench(FakeAgent("n1"))

    def failing(*_args, **_more):
        raise failure

    monkeypatch.setattr("replicante.workers.due.due_work", failing)
    with pytest.raises(type(failure)):
        bench.workers.start_due()


async def test_the_feed_of_events_ends_by_itself(failure, monkeypatch):
    peer = FakePeer()
    state = peer.lone.machine
    feed = EventFeed(peer=peer, state=state, log=silent_logger(), streams_max=1)
    with feed.reader():
        monkeypatch.setattr(state, "view", FailedState(failure).view)
        await asyncio.sleep(0)
        peer.lone.do(put_namespace("default"))
        await asyncio.wait_for(feed._task, 60)


async def test_those_who_wait_for_a_lease_wait_until_their_time_is_over(failure):
    waits = LeaseWaits(peer=FakePeer(), state=FailedState(failure), log=silent_logger())
    parked = asyncio.create_task(waits.park("a", timeout_ms=50))
    await asyncio.sleep(0)
    await asyncio.wait_for(waits._task, 60)
    assert await parked is False
