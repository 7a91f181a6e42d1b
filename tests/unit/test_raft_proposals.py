"""A proposer's own book: numbers, floors, bounds, deadlines."""

from __future__ import annotations

from replicante import limits
from replicante.raft.proposals import Proposals


def opened(session=7):
    proposals = Proposals()
    proposals.session_opened(session)
    return proposals


def add(proposals, *tickets, deadline_ms=1_000):
    for ticket in tickets:
        assert proposals.add(ticket, b"%d" % ticket, deadline_ms=deadline_ms) is None


def take(proposals, *, term=1, now_ms=0, resend_after_ms=None, count_max=10_000, bytes_max=1 << 30):
    return proposals.take(
        term=term,
        now_ms=now_ms,
        resend_after_ms=resend_after_ms,
        count_max=count_max,
        bytes_max=bytes_max,
    )


def test_no_number_is_further_above_the_floor_than_a_session_remembers():
    proposals = opened()
    add(proposals, 1)
    (lost,) = take(proposals)
    last = 0
    for ticket in range(2, limits.SESSION_OUTCOMES_MAX + 100):
        add(proposals, ticket)
        for command in take(proposals):
            last = command.sequence
            proposals.applied(command.sequence, b"", 1)
    assert last == lost.sequence + limits.SESSION_OUTCOMES_MAX - 1
    proposals.applied(lost.sequence, b"", 1)
    assert take(proposals)[0].sequence == last + 1
