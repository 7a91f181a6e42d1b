"""The parts that a simulated run stands on: time, chance, disk, network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raft_builders import genesis_record

from replicante.errors import CorruptData
from replicante.raft.log import HardState, WriteSet
from replicante.raft.records import CHAIN_ZERO, BadRecord, encode_record, make_record
from replicante.raft.state_machine import EntryKind
from replicante.testing.clock import ManualClock, Schedule, SimClock
from replicante.testing.entropy import Chance
from replicante.testing.sim_disk import SimDisk


def record_after(before, *, term=1):
    return make_record(
        index=1 if before is None else before.index + 1,
        term=term,
        kind=EntryKind.COMMANDS,
        clock_ms=0,
        wall_ms=0,
        payload=b"\x90",
        chain_before=CHAIN_ZERO if before is None else before.chain,
    )


def writes(*records, truncate_from=None, hard=None):
    return WriteSet(
        truncate_from=truncate_from,
        records=tuple((record.index, encode_record(record)) for record in records),
        hard=hard,
    )


def test_what_is_planned_for_one_instant_happens_in_the_order_of_planning():
    schedule, done = Schedule(), []
    for name in "abc":
        schedule.at(5, lambda name=name: done.append(name))
    schedule.at(4, lambda: done.append("first"))
    schedule.run(until_us=10)
    assert done == ["first", "a", "b", "c"]
    assert schedule.now_us == 10


@given(
    origin_us=st.integers(0, 10**9),
    rate=st.integers(900_000, 1_100_000),
    ahead_ms=st.integers(0, 10**6),
)
def test_a_clock_knows_when_it_will_show_a_time(origin_us, rate, ahead_ms):
    schedule = Schedule()
    clock = SimClock(schedule, origin_us=origin_us, rate=rate)
    wanted_ms = clock.monotonic_ms() + ahead_ms
    schedule.now_us = max(clock.instant_us(wanted_ms), 0)
    assert clock.monotonic_ms() >= wanted_ms
    if schedule.now_us > 0:
        schedule.now_us -= 1
        assert clock.monotonic_ms() <= wanted_ms


def test_a_manual_clock_moves_when_it_is_moved():
    clock = ManualClock(monotonic_ms=3)
    clock.advance(4)
    assert clock.monotonic_ms() == 7


def test_chance_repeats_on_every_machine():
    chance = Chance(7, "x")
    assert [chance.between(0, 999) for _ in range(5)] == [798, 478, 508, 640, 444]
    assert Chance(7, "y").fraction() != Chance(7, "x").fraction()


def test_some_are_drawn_once_each():
    assert sorted(Chance(1, "x").some("abcdef", 6)) == list("abcdef")


def test_a_disk_keeps_whole_write_sets():
    genesis = genesis_record("abc")
    disk = SimDisk(genesis)
    second = record_after(genesis)
    third = record_after(second)
    disk.write(writes(second, third, hard=HardState(term=1)))
    other = record_after(second, term=2)
    disk.write(writes(other, truncate_from=3, hard=HardState(term=2, voted_for="a")))
    assert disk.read(1, 4) == [genesis, second, other]
    assert disk.load().hard == HardState(term=2, voted_for="a")
    assert disk.load().term_runs == [(1, 0), (2, 1), (3, 2)]
    with pytest.raises(CorruptData):
        disk.read(3, 5)


def test_a_disk_refuses_a_record_of_another_history():
    genesis = genesis_record("abc")
    disk = SimDisk(genesis)
    stranger = record_after(record_after(None, term=9))
    with pytest.raises(BadRecord, match="chain"):
        disk.write(writes(stranger))
