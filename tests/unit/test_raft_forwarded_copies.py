"""A leader takes each command of a follower once in its term, however often it is sent."""

from __future__ import annotations

from collections import deque

from raft_builders import configuration, heartbeat
from raft_harness import Cluster, CommandItem, Station, key

from replicante import limits
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.records import decode_items
from replicante.raft.state_machine import EntryKind
from replicante.raft.taken_commands import TakenCommands


def leading() -> Station:
    leader = Station("a")
    leader.lead()
    return leader


def holding() -> Station:
    """It proposes nothing for as long as it tries to hand over: what arrives waits."""
    leader = leading()
    leader.step(d.TransferInput(leader.now_ms + 300))
    return leader


def send(leader, *sequences, floor=0, session=77):
    commands = [m.WireCommand(session, it, floor, b"%d" % it) for it in sequences]
    leader.receive("b", m.Propose(commands))


def logged(leader) -> list[int]:
    """Sequences of the commands in its log, in its order."""
    found = []
    for record in leader.backend.records():
        if record.kind is EntryKind.COMMANDS:
            items = decode_items(record.payload)
            found += [it.sequence for it in items if isinstance(it, CommandItem)]
    return found


def depose(leader):
    prev = (leader.log.last_index, leader.log.last_term)
    leader.receive("c", heartbeat(term=leader.engine.term + 1, prev=prev))
    assert not leader.engine.is_leader


def test_a_copy_of_what_waits_is_not_taken():
    leader = holding()
    send(leader, 1, 2)
    send(leader, 2, 1, 3)
    assert logged(leader) == []
    leader.pass_time(500)
    assert logged(leader) == [1, 2, 3]


def test_a_copy_of_what_is_in_the_log_and_not_applied_is_not_taken():
    leader = leading()
    send(leader, 1)
    send(leader, 1)
    leader.pass_time(100)
    assert logged(leader) == [1]


def test_what_was_dropped_with_a_leadership_is_taken_in_the_next():
    """The first copy is gone: the second one is no copy."""
    leader = holding()
    send(leader, 1)
    depose(leader)
    leader.lead()
    send(leader, 1)
    assert logged(leader) == [1]


def test_what_is_in_the_log_of_another_term_is_taken_again():
    """Another leader may have cut it off since."""
    leader = leading()
    send(leader, 1)
    depose(leader)
    leader.lead()
    send(leader, 1)
    assert logged(leader) == [1, 1]


def test_what_its_owner_gave_up_while_it_waited_is_not_logged():
    leader = holding()
    send(leader, 1, 2, 3)
    send(leader, 4, floor=2)
    leader.pass_time(500)
    assert logged(leader) == [3, 4]


def test_a_copy_that_comes_after_it_was_given_up_is_not_taken():
    leader = leading()
    send(leader, 5, floor=4)
    send(leader, 4, 3, floor=2)
    send(leader, 6, floor=4)
    assert logged(leader) == [5, 6]


def test_sessions_are_told_apart():
    leader = leading()
    send(leader, 1, session=77)
    send(leader, 1, session=99)
    send(leader, 1, session=77)
    assert logged(leader) == [1, 1, 1], "of a session that a later one ended nothing is remembered"


# --- what is remembered ---------------------------------------------------------------------------


def take(taken, sequence, *, floor=0, session=7, name="b", voters="abc"):
    command = m.WireCommand(session, sequence, floor, b"")
    return taken.take(key(name), command, term=1, configuration=configuration(voters))


def remembered(taken) -> dict[int, int]:
    """session → how many of its sequences."""
    return {session: len(it.sequences) for session, it in taken._sessions.items()}


def test_no_more_is_remembered_than_an_owner_may_have_on_its_way():
    taken = TakenCommands()
    for sequence in range(1, 3 * limits.SESSION_OUTCOMES_MAX):
        assert take(taken, sequence)
    assert remembered(taken) == {7: 2 * limits.SESSION_OUTCOMES_MAX}
    assert take(taken, 3 * limits.SESSION_OUTCOMES_MAX, floor=3 * limits.SESSION_OUTCOMES_MAX - 1)
    assert remembered(taken) == {7: 1}


def test_no_session_is_remembered_that_a_later_one_ended_or_whose_owner_left():
    taken = TakenCommands()
    assert take(taken, 1, session=7) and take(taken, 1, session=8, name="c")
    assert take(taken, 1, session=9)
    assert set(remembered(taken)) == {8, 9}
    assert take(taken, 1, session=10, voters="ab")
    assert set(remembered(taken)) == {10}


# --- more than a leader can take ------------------------------------------------------------------


class Overload:
    """A leader that takes four commands in 100 ms, and two followers that always have as many on
    their way as they want, each with a time limit."""

    STEP_MS, BLOCK = 100, 4

    def __init__(self, monkeypatch) -> None:
        cluster = Cluster()
        self.leader = cluster.elect()
        self.followers = [it for it in cluster.alive if it is not self.leader]
        self.now_ms = cluster.now_ms
        self.inboxes = {it.key: deque() for it in cluster.alive}
        self.pending = dict.fromkeys((it.key for it in self.followers), 0)
        self.ticket = 1_000
        self.done_count = 0
        monkeypatch.setattr(limits, "ENTRY_COMMANDS_MAX", self.BLOCK)

    def run(self, ms: int, *, wanted: int, timeout_ms: int) -> float:
        """How much of what the leader can take came to something, from 0 to 1."""
        self.done_count, steps_count = 0, ms // self.STEP_MS
        for _ in range(steps_count):
            self._step(self.leader, [])
            for follower in self.followers:
                missing = wanted - self.pending[follower.key]
                self._step(follower, [self._command(timeout_ms) for _ in range(missing)])
                for _ in range(3):
                    self._step(follower, [])
            self.now_ms += self.STEP_MS
        return self.done_count / (steps_count * self.BLOCK)

    def _command(self, timeout_ms: int) -> d.ProposeInput:
        self.ticket += 1
        return d.ProposeInput(self.ticket, b"%d" % self.ticket, self.now_ms + timeout_ms)

    def _step(self, station: Station, given: list[d.ProposeInput]) -> None:
        inbox = self.inboxes[station.key]
        inputs = [d.Received(sender, it) for sender, it in inbox]
        inbox.clear()
        effects = station.step(*inputs, *given, now_ms=self.now_ms)
        for receiver, message in effects.early + effects.late:
            self.inboxes[receiver].append((station.key, message))
        if station is not self.leader:
            self.pending[station.key] += len(given) - len(effects.proposals)
            self.done_count += sum(it.error is None for it in effects.proposals)


def test_a_leader_with_more_to_do_than_it_can_still_does_useful_work(monkeypatch):
    """Copies made the wait longer, and the longer wait more copies, until nothing in the queue was
    waited for; and so it stayed when there was no more than before."""
    overload = Overload(monkeypatch)
    overload.run(30_000, wanted=120, timeout_ms=10_000)
    assert overload.run(20_000, wanted=120, timeout_ms=10_000) > 0.9
    overload.run(10_000, wanted=10, timeout_ms=10_000)
    assert overload.run(10_000, wanted=10, timeout_ms=10_000) > 0.9


def test_what_nobody_waits_for_does_not_crowd_out_what_somebody_does(monkeypatch):
    """Everything would wait a little longer than its time limit."""
    overload = Overload(monkeypatch)
    overload.run(30_000, wanted=400, timeout_ms=10_000)
    assert overload.run(20_000, wanted=400, timeout_ms=10_000) > 0.5
