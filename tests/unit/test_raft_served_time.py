"""The clock does not pass what has arrived and waits for a later entry (ADR 0013)."""

from __future__ import annotations

import pytest
from raft_builders import heartbeat
from raft_harness import Station, key

from replicante import limits
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.records import CommandItem, decode_items
from replicante.raft.served_time import Queue, ServedTime
from replicante.raft.state_machine import EntryKind

STEP_MS, FULL = limits.CLOCK_STEP_MS_MAX, limits.ENTRY_COMMANDS_MAX
NOTHING = (0, 0)


class Leader:
    """Of three, whose followers acknowledge each entry and forward what the test says."""

    def __init__(self) -> None:
        self.peer = Station("a")
        self.peer.lead()
        self.peer.acknowledge("b", "c")
        self.sequence = self._ticket = 0

    @property
    def clock_ms(self) -> int:
        return self.peer.engine.entry_clock_ms

    @property
    def owed_ms(self) -> int:
        return self.peer.driver._served.owed_ms

    def step(
        self, *, after_ms: int, forwarded: int = 0, own: int = 0, copies: int = 0, floor: int = 0
    ) -> d.Effects:
        """One step of the driver. forwarded, own: how many commands arrive. copies: of the first
        that were ever forwarded. floor: with which the new ones come."""
        self.peer.now_ms += after_ms
        engine = self.peer.engine
        ack = m.AppendAck(
            term=engine.term,
            round=engine.round,
            is_success=True,
            match_index=self.peer.log.last_index,
        )
        inputs: list[d.Input] = [d.Received(key(name), ack) for name in "bc"]
        if copies:
            again = [m.WireCommand(1, it, 0, b"b %d" % it) for it in range(1, copies + 1)]
            inputs.append(d.Received(key("b"), m.Propose(commands=again, boot=0)))
        for first in range(0, forwarded, FULL):
            count = min(FULL, forwarded - first)
            commands = [self._command(floor) for _ in range(count)]
            inputs.append(d.Received(key("b"), m.Propose(commands=commands, boot=0)))
        for _ in range(own):
            self._ticket += 1
            deadline_ms = self.peer.now_ms + 600_000
            inputs.append(d.ProposeInput(self._ticket, b"own %d" % self._ticket, deadline_ms))
        return self.peer.step(*inputs)

    def _command(self, floor: int) -> m.WireCommand:
        self.sequence += 1
        return m.WireCommand(1, self.sequence, floor, b"b %d" % self.sequence)

    def clocks(self) -> dict[bytes, int]:
        """command → clock of its entry."""
        found: dict[bytes, int] = {}
        for index in range(1, self.peer.log.last_index + 1):
            record = self.peer.log.get(index)
            if record.kind is EntryKind.COMMANDS:
                for item in decode_items(record.payload):
                    if isinstance(item, CommandItem):
                        found.setdefault(item.data, record.clock_ms)
        return found


def test_more_than_one_entry_holds_bears_the_clock_of_its_arrival():
    """Or a renewal behind thousands of other commands would enter the log too late."""
    leader = Leader()
    arrived_ms = leader.clock_ms
    leader.step(after_ms=10, forwarded=3 * FULL)
    for _ in range(2):
        leader.step(after_ms=200)
    clocks = leader.clocks()
    assert len(clocks) == 3 * FULL
    assert set(clocks.values()) == {arrived_ms}
    leader.step(after_ms=200)
    assert leader.clock_ms > arrived_ms


@pytest.mark.parametrize(
    ("limit", "value"), [("FORWARDED_COMMANDS_MAX", 2 * FULL), ("FORWARDED_BYTES_MAX", 12 * FULL)]
)
def test_no_command_that_arrived_is_dropped_however_many_wait(monkeypatch, limit, value):
    """Nothing would hold the clock for it, and its owner sends it again after seconds: a renewal
    that the leader had would be overtaken by its deadline. No more are read meanwhile."""
    monkeypatch.setattr(limits, limit, value)
    leader = Leader()
    arrived_ms = leader.clock_ms
    assert leader.step(after_ms=10, forwarded=6 * FULL).is_flooded
    steps_count = 1
    while len(leader.clocks()) < 6 * FULL:
        assert leader.clock_ms == arrived_ms
        is_flooded = leader.step(after_ms=10).is_flooded
        steps_count += 1
    assert steps_count == 6 and not is_flooded
    assert set(leader.clocks().values()) == {arrived_ms}


def test_copies_of_what_is_proposed_let_no_time_pass_for_what_waits():
    """They are neither more that arrived nor more that is gone."""
    leader = Leader()
    arrived_ms = leader.clock_ms
    leader.step(after_ms=10, forwarded=3 * FULL)
    leader.step(after_ms=100, copies=FULL)
    leader.step(after_ms=100, copies=FULL)
    assert len(leader.clocks()) == 3 * FULL
    assert set(leader.clocks().values()) == {arrived_ms}


def test_what_is_given_up_behind_others_lets_no_time_pass_for_those():
    """Of two followers: what waits before it is not gone with it."""
    leader = Leader()
    arrived_ms = leader.clock_ms
    commands = [m.WireCommand(2, it, 0, b"c %d" % it) for it in range(1, 4 * FULL + 1)]
    messages = [m.Propose(commands[at : at + FULL], 0) for at in range(0, 4 * FULL, FULL)]
    leader.peer.now_ms += 10
    leader.peer.step(*(d.Received(key("c"), it) for it in messages))
    leader.step(after_ms=10, forwarded=FULL)
    leader.step(after_ms=100, forwarded=1, floor=FULL)
    leader.step(after_ms=10)
    leader.step(after_ms=10)
    clocks = leader.clocks()
    assert {clocks.pop(it.data) for it in commands} == {arrived_ms}
    assert set(clocks) == {b"b %d" % (FULL + 1)}, "and the others are left out"


def test_who_leads_no_more_reads_again(monkeypatch):
    monkeypatch.setattr(limits, "FORWARDED_COMMANDS_MAX", FULL)
    leader = Leader()
    assert leader.step(after_ms=10, forwarded=6 * FULL).is_flooded
    later = heartbeat(term=leader.peer.engine.term + 1)
    assert not leader.peer.step(d.Received(key("b"), later)).is_flooded


def test_own_commands_that_wait_hold_the_clock_too():
    leader = Leader()
    leader.step(after_ms=10)
    leader.step(after_ms=10)
    assert leader.peer.driver.has_session
    arrived_ms = leader.clock_ms
    leader.step(after_ms=10, own=2 * FULL + 1)
    leader.step(after_ms=200)
    leader.step(after_ms=200)
    assert set(leader.clocks().values()) == {arrived_ms}
    assert leader.clock_ms > arrived_ms


def test_the_clock_of_a_leader_that_is_never_done_goes_on():
    """Slower than time, and never past a command that waits."""
    leader = Leader()
    began_ms = leader.clock_ms
    leader.step(after_ms=10, forwarded=20 * FULL)
    arrivals: dict[bytes, int] = {}
    for _ in range(100):
        arrivals[b"b %d" % (leader.sequence + 1)] = leader.clock_ms + leader.owed_ms
        leader.step(after_ms=50, forwarded=FULL)
        assert leader.owed_ms <= STEP_MS
    assert began_ms + 4 * STEP_MS <= leader.clock_ms < began_ms + 100 * 50
    clocks = leader.clocks()
    proposed = [command for command in arrivals if command in clocks]
    assert len(proposed) == 81, "as many wait at the end as at the beginning"
    for command in proposed:
        assert clocks[command] <= arrivals[command]


def test_own_commands_are_proposed_while_those_of_followers_never_end():
    leader = Leader()
    leader.step(after_ms=10)
    leader.step(after_ms=10)
    leader.step(after_ms=10, forwarded=4 * FULL, own=2)
    for _ in range(4):
        leader.step(after_ms=10, forwarded=FULL)
    assert {b"own 1", b"own 2"} <= set(leader.clocks())


def test_own_commands_are_proposed_where_those_of_followers_fill_each_entry_to_the_last_place():
    """Nothing of the followers is left over then, and no place either."""
    leader = Leader()
    leader.step(after_ms=10)
    leader.step(after_ms=10, forwarded=FULL, own=2)
    before_ms = leader.clock_ms
    for _ in range(50):
        leader.step(after_ms=10, forwarded=FULL)
    assert {b"own 1", b"own 2"} <= set(leader.clocks())
    assert leader.clock_ms >= before_ms + 400, "the clock goes on"


def test_own_commands_do_not_pile_up_where_those_of_followers_leave_a_few_places():
    leader = Leader()
    leader.step(after_ms=10)
    for _ in range(60):
        leader.step(after_ms=10, forwarded=FULL - 4, own=20)
    proposed = sum(it.startswith(b"own") for it in leader.clocks())
    assert proposed > 60 * 20 // 2


# --- the rule by itself ---------------------------------------------------------------------------


def until(served: ServedTime, now_ms: int, *, arrived, gone) -> int:
    return served.until(now_ms, Queue(arrived, gone), is_serving=True)


def test_time_counts_at_once_where_nothing_waits():
    served = ServedTime(0)
    assert until(served, 100, arrived=(5, 1), gone=(5, 1)) == 100
    assert until(served, 1_000, arrived=(5, 1), gone=(5, 1)) == STEP_MS, "a pause is not served"


def test_time_counts_when_what_had_arrived_by_then_is_gone():
    served = ServedTime(0)
    assert until(served, 100, arrived=(5, 1), gone=(2, 1)) == 0
    assert until(served, 150, arrived=(8, 1), gone=(4, 1)) == 0
    assert until(served, 160, arrived=(8, 1), gone=(5, 1)) == 100, "5 of the first step are gone"
    assert until(served, 170, arrived=(8, 2), gone=(8, 1)) == 60
    assert until(served, 180, arrived=(8, 2), gone=(8, 2)) == 20


def test_no_more_than_one_step_is_owed():
    """So what arrives now is stamped at most that much too early."""
    served = ServedTime(0)
    for now_ms in range(100, 2_000, 100):
        assert until(served, now_ms, arrived=(1, 0), gone=NOTHING) == 0
    assert until(served, 2_000, arrived=(1, 0), gone=(1, 0)) == STEP_MS


def test_who_proposes_nothing_serves_nothing():
    served = ServedTime(0)
    assert served.until(100, Queue(NOTHING, NOTHING), is_serving=False) == 0
    assert until(served, 110, arrived=NOTHING, gone=NOTHING) == 10


def test_a_new_leader_owes_nothing():
    served = ServedTime(0)
    assert until(served, 100, arrived=(1, 0), gone=NOTHING) == 0
    served.begin(500)
    assert until(served, 510, arrived=(1, 0), gone=(1, 0)) == 10
