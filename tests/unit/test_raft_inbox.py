"""What waits for the next step of a peer: bounded for everybody who can wait."""

from __future__ import annotations

import pytest

from replicante import limits
from replicante.raft.inbox import Inbox
from replicante.raft.inputs import LinkRefused, ProposeInput, Received
from replicante.raft.messages import TimeoutNow

FROM_B = Received("b/1", TimeoutNow(1))
GONE = LinkRefused("b/1")


def test_other_peers_are_read_no_further_when_they_sent_enough_bytes(monkeypatch):
    monkeypatch.setattr(limits, "INBOX_BYTES_MAX", 1_000)
    inbox = Inbox()
    assert inbox.receive(FROM_B, size_bytes=400)
    assert inbox.receive(FROM_B, size_bytes=599)
    assert not inbox.receive(FROM_B, size_bytes=1)
    assert inbox.has_room, "messages take nothing away from callers"
    taken, was_full = inbox.take()
    assert (len(taken), was_full) == (3, True)
    assert inbox.receive(FROM_B, size_bytes=999)
    assert inbox.take() == ([FROM_B], False)


def test_other_peers_are_read_no_further_when_they_sent_enough_messages(monkeypatch):
    monkeypatch.setattr(limits, "INBOX_MESSAGES_MAX", 2)
    inbox = Inbox()
    assert inbox.receive(FROM_B, size_bytes=0)
    assert not inbox.receive(FROM_B, size_bytes=0)
    inbox.give(GONE)
    assert inbox.take() == ([FROM_B, FROM_B, GONE], True)


def test_callers_find_no_room_behind_commands_that_nobody_takes(monkeypatch):
    monkeypatch.setattr(limits, "PROPOSALS_PENDING_BYTES_MAX", 10)
    inbox = Inbox()
    inbox.give(ProposeInput(1, b"x" * 9, 0))
    assert inbox.has_room
    inbox.give(ProposeInput(2, b"x", 0))
    assert not inbox.has_room
    inbox.take()
    assert inbox.has_room


@pytest.mark.parametrize("count", [3, 4])
def test_callers_find_no_room_behind_too_many_things(monkeypatch, count):
    monkeypatch.setattr(limits, "INBOX_MESSAGES_MAX", 2)
    monkeypatch.setattr(limits, "PROPOSALS_PENDING_MAX", 2)
    inbox = Inbox()
    for _ in range(count):
        inbox.give(GONE)
    assert inbox.has_room == (count < 4)
