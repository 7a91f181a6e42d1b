"""What apply does with commands and openings: once, in order, and never an exception."""

from __future__ import annotations

from raft_harness import ListMachine, commands_record, genesis_record

from replicante import limits
from replicante.raft.host import InMemoryMachine, MachineHost, SessionOpened
from replicante.raft.records import CommandItem, OpenItem


class Applying:
    """A host, and the log that it is fed."""

    def __init__(self):
        self.machine = ListMachine()
        self.host = MachineHost(InMemoryMachine(self.machine))
        self.last = genesis_record("abc")
        self.host.apply(self.last)

    def apply(self, *items):
        self.last = commands_record(self.last, *items, term=1)
        return self.host.apply(self.last)

    def open(self, peer_id="a", *, incarnation="disk", boot=1):
        (opened,) = self.apply(OpenItem(peer_id, incarnation, boot))
        assert isinstance(opened, SessionOpened)
        return opened.session

    def send(self, session, sequence, *, floor=0, data=b"x"):
        return self.apply(CommandItem(session, sequence, floor, data))


def test_a_command_beyond_the_window_of_its_session_is_left_alone():
    log = Applying()
    session = log.open()
    assert log.send(session, limits.SESSION_OUTCOMES_MAX + 1) == []
    assert log.machine.applied == []
    (applied,) = log.send(session, limits.SESSION_OUTCOMES_MAX + 1, floor=1)
    assert applied.outcome == b"1"


def test_a_command_at_or_below_its_own_floor_is_left_alone():
    log = Applying()
    session = log.open()
    assert log.send(session, 5, floor=5) == []
    assert log.machine.applied == []
