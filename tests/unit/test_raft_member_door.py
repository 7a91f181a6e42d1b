"""What callers ask of the members, as of when they ask it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from raft_harness import configuration

from replicante.errors import ReadTimeout
from replicante.raft.callers import Callers
from replicante.raft.changes import ChangeDone, ChangeKind
from replicante.raft.inputs import ChangeInput, Effects
from replicante.raft.member_door import MemberDoor
from replicante.testing.clock import ManualClock


class Door(MemberDoor):
    """Of a follower that lags until a read has told it how far the others are."""

    def __init__(self):
        self._clock = ManualClock()
        self._callers = Callers()
        self._driver = SimpleNamespace(engine=SimpleNamespace(configuration=configuration("abc")))
        self.told = []
        self.is_cut_off = False

    def _give(self, given):
        assert isinstance(given, ChangeInput)
        left_ms = given.deadline_ms - self._clock.monotonic_ms()
        self.told.append((given.change.kind, left_ms))
        done = ChangeDone(given.ticket, 7, None)
        asyncio.get_running_loop().call_soon(self._callers.answer, Effects(changes=[done]))

    def _refuse_when_unable(self): ...

    async def read_barrier(self, *, timeout_ms):
        if self.is_cut_off:
            raise ReadTimeout()
        self._clock.advance(400)
        self.told.append("caught up")
        return 5


async def add(door):
    return await door.add_learner(
        "d", incarnation="d" * 32, address="127.0.0.1:9", timeout_ms=1_000
    )


async def test_a_learner_is_asked_for_after_what_happened_before_the_call():
    """A peer that lags finds it made by what was undone since, and was acknowledged as undone."""
    door = Door()
    assert await add(door) == 7
    assert door.told == ["caught up", (ChangeKind.ADD_LEARNER, 600)], "within one time limit"


async def test_a_learner_is_not_asked_for_by_who_does_not_know_what_happened():
    door = Door()
    door.is_cut_off = True
    with pytest.raises(ReadTimeout):
        await add(door)
    assert door.told == []


async def test_a_voter_is_named_by_the_members_of_when_it_is_asked_for():
    door = Door()
    assert await door.remove("b", timeout_ms=1_000) == 7
    assert door.told == ["caught up", (ChangeKind.REMOVE, 600)]
