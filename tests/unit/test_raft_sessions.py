"""Exactly once, against everything a network and a restart may do to a proposal."""

from __future__ import annotations

import pytest
from raft_harness import ListMachine, commands_record, genesis_record

from replicante import limits
from replicante.errors import PeerStopping
from replicante.raft.host import (
    CommandApplied,
    CommandRefused,
    MachineHost,
    SessionOpened,
)
from replicante.raft.in_memory import InMemoryMachine
from replicante.raft.proposals import Proposals
from replicante.raft.records import CommandItem, OpenItem
from replicante.raft.sessions import Session
from replicante.testing.entropy import Chance

STEPS = {
    "propose": 4,
    "send": 4,
    "deliver": 8,
    "lose": 1,
    "hear": 8,
    "wait": 2,
    "new_leader": 1,
    "open": 1,
    "restart": 1,
}
"""What happens → how often, in proportion."""


class World:
    """One proposer, a network that loses, repeats and reorders, and a log that is applied."""

    def __init__(self):
        self.machine = ListMachine()
        self.host = MachineHost(InMemoryMachine(self.machine))
        self.last = genesis_record("abc")
        self.host.apply(self.last)
        self.fates = []  # what the log decided, in its order
        self.network = []
        self.now_ms = 0
        self.term = 1
        self.boot = 0
        self.ticket = 0
        self.answers = {}
        self.start()

    def start(self):
        self.boot += 1
        self.proposals = Proposals()
        self.heard = 0  # a new process replays the log
        self.network.append(OpenItem("a", "disk", self.boot))

    def propose(self, pick):
        self.ticket += 1
        data = b"%d" % self.ticket
        refused = self.proposals.add(self.ticket, data, deadline_ms=self.now_ms + 50 + pick % 100)
        self.note([refused] if refused else [])

    def send(self, pick):
        self.note(self.proposals.expire_waiting(self.now_ms))
        taken = self.proposals.take(
            term=self.term,
            now_ms=self.now_ms,
            resend_after_ms=30,
            count_max=1 + pick % 3,
            bytes_max=1_000,
        )
        self.network += [CommandItem(c.session, c.sequence, c.floor, c.data) for c in taken]

    def deliver(self, pick):
        if self.network:
            item = self.network[pick % len(self.network)]
            if pick % 3:
                self.network.remove(item)
            self.last = commands_record(self.last, item, term=1)
            self.fates += self.host.apply(self.last)

    def lose(self, pick):
        if self.network:
            del self.network[pick % len(self.network)]

    def hear(self, pick):
        for fate in self.fates[self.heard : self.heard + 1 + pick % 4]:
            self.heard += 1
            match fate:
                case SessionOpened():
                    if (fate.incarnation, fate.boot) == ("disk", self.boot):
                        self.proposals.session_opened(fate.session)
                case CommandApplied() if fate.session == self.proposals.session:
                    done = self.proposals.applied(fate.sequence, fate.outcome, fate.index)
                    self.note([done] if done else [])
                case CommandRefused() if fate.session == self.proposals.session:
                    self.proposals.session_opened(0)

    def wait(self, pick):
        self.now_ms += pick % 40
        self.note(self.proposals.expire(self.now_ms))

    def new_leader(self, pick):
        self.term += 1

    def open(self, pick):
        self.network.append(OpenItem("a", "disk", 1 + pick % self.boot))

    def restart(self, pick):
        self.note(self.proposals.fail_all(PeerStopping))
        self.start()

    def note(self, done):
        for it in done:
            assert it.ticket not in self.answers, "an answer comes once"
            self.answers[it.ticket] = it

    def settle(self):
        """Everything that is still on its way arrives."""
        for _ in range(6):
            for item in [*self.network, *self.network]:
                self.last = commands_record(self.last, item, term=1)
                self.fates += self.host.apply(self.last)
            self.network.clear()
            self.hear(1 << 20 | 3)
            while self.heard < len(self.fates):
                self.hear(3)
            self.network.append(OpenItem("a", "disk", self.boot))
            self.term += 1
            for _ in range(40):
                self.send(2)

    def check(self):
        applied = self.machine.applied
        assert len(set(applied)) == len(applied), "applied twice"
        for ticket, done in self.answers.items():
            data = b"%d" % ticket
            if done.error is None:
                assert applied[int(done.outcome) - 1] == data, "answered with another's outcome"
            elif done.error.definite:
                assert data not in applied, f"{done.error.code} and yet applied"


def live(seed, steps_count=300):
    """A world in which anything happened in any order."""
    chance = Chance(seed, "sessions")
    world = World()
    for _ in range(steps_count):
        getattr(world, chance.weighted(list(STEPS.items())))(chance.between(0, 1 << 20))
        world.check()
    return world


@pytest.mark.parametrize("seed", range(40))
def test_a_proposal_is_applied_at_most_once_and_answered_truly(seed, monkeypatch):
    monkeypatch.setattr(limits, "SESSION_OUTCOMES_MAX", 4)
    monkeypatch.setattr(limits, "PROPOSALS_PENDING_MAX", 4)
    world = live(seed)
    world.settle()
    world.check()


@pytest.mark.parametrize("seed", range(10))
def test_when_everything_arrives_everybody_is_answered(seed):
    world = live(seed)
    world.settle()
    assert set(world.answers) == set(range(1, world.ticket + 1))
    world.check()


def test_raising_the_floor_forgets_outcomes_below_it_and_never_goes_back():
    session = Session(1, "a", "disk", 1)
    for sequence in (1, 2, 4):
        session.remember(sequence, b"x")
    session.raise_floor(2)
    assert (session.floor, set(session.outcomes)) == (2, {4})
    session.raise_floor(1)
    assert session.floor == 2


def test_the_window_of_a_session_is_what_it_remembers():
    session = Session(1, "a", "disk", 1, floor=10)
    last = 10 + limits.SESSION_OUTCOMES_MAX
    assert [session.may_apply(s) for s in (10, 11, last, last + 1)] == [False, True, True, False]
