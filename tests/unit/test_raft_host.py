"""What apply does with commands and openings: once, in order, and never an exception."""

from __future__ import annotations

import pytest
from raft_builders import configuration, member
from raft_harness import ListMachine, commands_record, genesis_record, record_after

from replicante import limits
from replicante.errors import FatalError, SessionEnded
from replicante.raft.host import (
    CommandApplied,
    CommandRefused,
    MachineHost,
    SessionOpened,
)
from replicante.raft.in_memory import InMemoryMachine
from replicante.raft.membership import configuration_payload, recovery_payload
from replicante.raft.records import CommandItem, OpenItem
from replicante.raft.sessions import SessionTable
from replicante.raft.state_machine import EntryKind


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


def test_the_session_of_who_was_removed_ends_with_the_entry_that_removes_it():
    log = Applying()
    gone = log.open("a", incarnation=member("a").incarnation)
    stays = log.open("b", incarnation=member("b").incarnation)
    payload = configuration_payload(configuration("bc"))
    log.last = record_after(log.last, term=1, payload=payload, kind=EntryKind.CONFIGURATION)
    log.host.apply(log.last)
    assert set(log.host.machine.sessions) == {b"b"}
    assert log.send(gone, 1) == [CommandRefused(gone, 1, SessionEnded)]
    assert isinstance(log.send(stays, 1)[0], CommandApplied)
    assert isinstance(log.send(log.open("a", incarnation="other disk"), 1)[0], CommandApplied)


def test_the_session_of_another_data_directory_ends_too():
    log = Applying()
    gone = log.open("a", incarnation="the disk before")
    payload = configuration_payload(configuration("abc"))
    log.last = record_after(log.last, term=1, payload=payload, kind=EntryKind.CONFIGURATION)
    log.host.apply(log.last)
    assert log.send(gone, 1) == [CommandRefused(gone, 1, SessionEnded)]


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


def test_a_command_is_applied_once_and_its_outcome_repeated():
    log = Applying()
    session = log.open()
    (first,) = log.send(session, 1, data=b"x")
    (again,) = log.send(session, 1, data=b"x")
    assert log.machine.applied == [b"x"]
    assert first.outcome == again.outcome == b"1"


def test_two_copies_in_one_entry_are_one():
    log = Applying()
    session = log.open()
    item = CommandItem(session, 1, 0, b"x")
    assert len(log.apply(item, item)) == 2
    assert log.machine.applied == [b"x"]


def test_commands_are_applied_in_any_order_of_arrival():
    log = Applying()
    session = log.open()
    for sequence in (3, 1, 2, 1, 3):
        log.send(session, sequence, data=b"%d" % sequence)
    assert log.machine.applied == [b"3", b"1", b"2"]


def test_a_copy_below_the_floor_is_nothing():
    log = Applying()
    session = log.open()
    log.send(session, 2, floor=1)
    assert log.send(session, 1, data=b"late") == []
    assert b"late" not in log.machine.applied


def test_an_outcome_too_long_to_remember_is_not_repeated_but_the_command_is_not_either(monkeypatch):
    monkeypatch.setattr(limits, "SESSION_OUTCOME_BYTES_MAX", 0)
    log = Applying()
    session = log.open()
    assert log.send(session, 1)[0].outcome == b"1"
    assert log.send(session, 1)[0].outcome is None
    assert len(log.machine.applied) == 1


def test_a_command_of_an_unknown_session_is_refused_for_good():
    log = Applying()
    (fate,) = log.send(12_345, 1)
    assert isinstance(fate, CommandRefused) and fate.error is SessionEnded
    assert log.machine.applied == []


def test_a_higher_boot_ends_the_session_of_the_process_before():
    log = Applying()
    old = log.open(boot=1)
    new = log.open(boot=2)
    assert isinstance(log.send(old, 1)[0], CommandRefused)
    assert isinstance(log.send(new, 1)[0], CommandApplied)


def test_an_opening_that_is_late_or_repeated_changes_nothing():
    log = Applying()
    session = log.open(boot=2)
    log.send(session, 1)
    for boot in (1, 2):
        (opened,) = log.apply(OpenItem("a", "disk", boot))
        assert (opened.session, opened.boot) == (session, 2)
    assert isinstance(log.send(session, 2)[0], CommandApplied)


def test_another_data_directory_of_the_same_peer_is_another_owner():
    log = Applying()
    old = log.open(incarnation="old", boot=9)
    new = log.open(incarnation="new", boot=1)
    assert old != new
    assert isinstance(log.send(old, 1)[0], CommandRefused)
    assert isinstance(log.send(new, 1)[0], CommandApplied)


def test_sessions_of_different_peers_are_apart():
    log = Applying()
    (first, second) = log.apply(OpenItem("a", "disk", 1), OpenItem("b", "disk", 1))
    assert first.session != second.session
    log.apply(CommandItem(first.session, 1, 0, b"x"), CommandItem(second.session, 1, 0, b"y"))
    assert log.machine.applied == [b"x", b"y"]


def test_what_sessions_know_survives_in_the_rows_of_the_machine():
    log = Applying()
    session = log.open()
    log.send(session, 1, data=b"x")
    log.send(session, 3, floor=1, data=b"z")
    again = SessionTable(dict(log.host.machine.sessions)).find(session)
    assert (again.floor, again.outcomes) == (1, {3: b"2"})
    assert again.has_applied(1) and again.has_applied(3) and not again.has_applied(2)


def test_a_session_that_was_replaced_is_gone_after_a_restart_too():
    log = Applying()
    old, new = log.open(boot=1), log.open(boot=2)
    table = SessionTable(dict(log.host.machine.sessions))
    assert table.find(old) is None and table.find(new) is table.of_peer("a")


def test_a_machine_that_raises_ends_the_peer_with_the_index_of_the_entry():
    log = Applying()
    session = log.open()

    def fail(entry):
        raise ValueError("a bug")

    log.machine.apply = fail
    with pytest.raises(FatalError) as caught:
        log.send(session, 1)
    assert caught.value.details["index"] == log.last.index
    assert "ValueError: a bug" in caught.value.message and caught.value.hints


def test_an_entry_that_does_not_decode_ends_the_peer():
    log = Applying()
    with pytest.raises(FatalError):
        log.host.apply(record_after(log.last, term=1, payload=b"\xc1"))


def test_every_entry_moves_the_applied_index():
    log = Applying()
    assert log.host.machine.applied_index == 1
    log.apply()
    assert log.host.machine.applied_index == 2


def test_a_command_sees_its_place_in_the_entry():
    log = Applying()
    session = log.open()
    seen = []
    log.machine.apply = lambda entry: seen.append((entry.index, entry.ordinal)) or b""
    log.apply(CommandItem(session, 1, 0, b"x"), CommandItem(session, 2, 0, b"y"))
    assert seen == [(3, 0), (3, 1)]


def test_the_first_entry_of_a_generation_ends_every_session():
    log = Applying()
    session = log.open()
    log.send(session, 1)
    payload = recovery_payload(configuration("abc"), {"how": "forced"})
    recovered = record_after(log.last, term=1, payload=payload, kind=EntryKind.RECOVERED)
    assert log.host.apply(recovered) == []
    log.last = recovered
    (refused,) = log.send(session, 2)
    assert refused.error is SessionEnded
    assert dict(log.host.machine.sessions) == {}
    assert log.machine.applied == [b"x"]
    assert log.open(boot=1) > session, "whoever comes is new, whatever boot it has"
