"""A proposer's own book: numbers, floors, bounds, deadlines."""

from __future__ import annotations

import itertools

from replicante import limits
from replicante.errors import NoLeader, OutcomeUnknown, PeerStopping, QueueFull
from replicante.raft.proposals import Proposals
from replicante.raft.sessions import Session


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


def test_numbers_are_dense_and_the_floor_is_below_the_oldest_unanswered():
    proposals = opened()
    add(proposals, 1, 2, 3)
    assert [(c.sequence, c.floor) for c in take(proposals)] == [(1, 0), (2, 0), (3, 0)]
    proposals.applied(2, b"", 1)
    assert proposals.floor == 0
    proposals.applied(1, b"", 1)
    assert proposals.floor == 2
    add(proposals, 4)
    assert [(c.sequence, c.floor) for c in take(proposals)] == [(4, 2)]
    proposals.applied(3, b"", 1)
    proposals.applied(4, b"", 1)
    assert proposals.floor == 4


def test_nothing_is_sent_before_a_session_is_open():
    proposals = Proposals()
    add(proposals, 1)
    assert take(proposals) == []
    proposals.session_opened(7)
    assert [c.session for c in take(proposals)] == [7]


def test_a_command_is_sent_once_to_each_leader():
    proposals = opened()
    add(proposals, 1)
    assert len(take(proposals, term=1)) == 1
    assert take(proposals, term=1) == []
    (again,) = take(proposals, term=2)
    assert again.sequence == 1


def test_an_unanswered_command_is_sent_again_after_a_while_under_its_number():
    proposals = opened()
    add(proposals, 1)
    take(proposals, now_ms=100)
    assert take(proposals, now_ms=199, resend_after_ms=100) == []
    (again,) = take(proposals, now_ms=200, resend_after_ms=100)
    assert again.sequence == 1
    assert take(proposals, now_ms=299, resend_after_ms=100) == []


def test_each_time_it_is_sent_again_after_twice_as_long_up_to_a_bound():
    """Copies take room that a slow leader's new commands need."""
    proposals = opened()
    add(proposals, 1, deadline_ms=10_000)
    sent_ms = [t for t in range(0, 5_000, 10) if take(proposals, now_ms=t, resend_after_ms=100)]
    longest_ms = 100 << limits.RESEND_DOUBLINGS_MAX
    pauses = [after - before for before, after in itertools.pairwise(sent_ms)]
    assert pauses[:4] == [100, 200, 400, 800] and set(pauses[3:]) == {longest_ms}
    assert take(proposals, term=2, now_ms=5_000)
    assert take(proposals, term=2, now_ms=5_100, resend_after_ms=100), "a new leader, a new count"


def test_a_message_holds_one_command_however_large_and_ends_at_its_bounds():
    proposals = opened()
    add(proposals, 1, 2, 3)
    assert [c.sequence for c in take(proposals, bytes_max=0)] == [1]
    assert [c.sequence for c in take(proposals, count_max=1)] == [2]
    assert [c.sequence for c in take(proposals, bytes_max=2)] == [3]
    assert take(proposals, count_max=0) == []


def test_an_answer_comes_once():
    proposals = opened()
    add(proposals, 1)
    take(proposals)
    done = proposals.applied(1, b"yes", 9)
    assert (done.ticket, done.outcome, done.index, done.error) == (1, b"yes", 9, None)
    assert proposals.applied(1, b"yes", 9) is None
    assert proposals.count == 0


def test_an_outcome_that_was_too_long_to_remember_is_unknown():
    proposals = opened()
    add(proposals, 1)
    take(proposals)
    assert isinstance(proposals.applied(1, None, 9).error, OutcomeUnknown)


def test_at_its_deadline_what_was_sent_is_unknown_and_what_never_left_is_not_done():
    proposals = opened()
    add(proposals, 1, 2, deadline_ms=500)
    take(proposals, count_max=1)
    assert proposals.expire(499) == []
    done = {it.ticket: it.error for it in proposals.expire(500)}
    assert isinstance(done[1], OutcomeUnknown) and not done[1].definite
    assert isinstance(done[2], NoLeader) and done[2].definite
    assert proposals.count == 0 and proposals.earliest_deadline_ms is None


def test_what_nobody_waits_for_any_more_is_not_sent():
    proposals = opened()
    add(proposals, 1, deadline_ms=500)
    add(proposals, 2, deadline_ms=600)
    assert [it.ticket for it in proposals.expire_waiting(500)] == [1]
    assert [c.data for c in take(proposals)] == [b"2"]
    assert proposals.expire_waiting(600) == []  # on its way


def test_a_command_that_was_given_up_is_fenced_by_the_floor_of_the_next():
    proposals = opened()
    add(proposals, 1, deadline_ms=500)
    take(proposals)
    proposals.expire(500)
    add(proposals, 2)
    assert [(c.sequence, c.floor) for c in take(proposals)] == [(2, 1)]


def test_in_a_new_session_everything_unanswered_is_numbered_again_in_its_order():
    proposals = opened(session=7)
    add(proposals, 1, 2, 3)
    take(proposals, count_max=2)
    proposals.applied(1, b"", 1)
    proposals.session_opened(0)
    assert take(proposals) == []
    proposals.session_opened(8)
    commands = [(c.session, c.sequence, c.floor, c.data) for c in take(proposals)]
    assert commands == [(8, 1, 0, b"2"), (8, 2, 0, b"3")]


def test_what_left_in_an_old_session_stays_unknown_at_its_deadline():
    proposals = opened(session=7)
    add(proposals, 1, deadline_ms=500)
    take(proposals)
    proposals.session_opened(0)
    (done,) = proposals.expire(500)
    assert isinstance(done.error, OutcomeUnknown)


def test_the_session_that_is_open_already_changes_nothing():
    proposals = opened(session=7)
    add(proposals, 1)
    take(proposals)
    proposals.session_opened(7)
    assert take(proposals) == []


def test_too_many_or_too_large_proposals_are_refused_before_they_are_sent(monkeypatch):
    monkeypatch.setattr(limits, "PROPOSALS_PENDING_MAX", 2)
    monkeypatch.setattr(limits, "PROPOSALS_PENDING_BYTES_MAX", 10)
    proposals = opened()
    assert proposals.add(1, bytes(10), deadline_ms=1) is None
    assert isinstance(proposals.add(2, b"x", deadline_ms=1).error, QueueFull)
    assert proposals.add(2, b"", deadline_ms=1) is None
    assert isinstance(proposals.add(3, b"", deadline_ms=1).error, QueueFull)
    take(proposals)
    proposals.applied(1, b"", 1)
    assert proposals.add(4, bytes(10), deadline_ms=1) is None


def test_stopping_leaves_what_was_sent_unknown_and_refuses_the_rest():
    proposals = opened()
    add(proposals, 1, 2)
    take(proposals, count_max=1)
    errors = {it.ticket: type(it.error) for it in proposals.fail_all(PeerStopping)}
    assert errors == {1: OutcomeUnknown, 2: PeerStopping}
    assert proposals.count == 0


def test_a_restored_link_sends_everything_again():
    proposals = opened()
    add(proposals, 1, 2)
    take(proposals)
    proposals.applied(1, b"", 1)
    proposals.send_again()
    assert [c.sequence for c in take(proposals)] == [2]


def jumped_to(proposals, *, outcomes, floor=0):
    session = Session(7, "p", "i", 1, floor, dict(outcomes))
    return {it.ticket: it for it in proposals.jumped(session, index=90)}


def test_who_waits_for_an_entry_that_a_snapshot_jumped_over_is_answered_from_the_session():
    proposals = opened()
    add(proposals, 1, 2, 3)
    take(proposals)
    done = jumped_to(proposals, outcomes={1: b"one", 2: None})
    assert (done[1].outcome, done[1].index, done[1].error) == (b"one", 90, None)
    assert isinstance(done[2].error, OutcomeUnknown), "it was too long to remember"
    assert 3 not in done, "it was not applied yet: the leader gets it again"
    assert proposals.count == 1


def test_a_jump_into_a_state_without_the_session_leaves_what_was_sent_unknown():
    proposals = opened()
    add(proposals, 1, 2)
    take(proposals, count_max=1)
    (done,) = proposals.jumped(None, index=90)
    assert isinstance(done.error, OutcomeUnknown)
    assert proposals.session == 0, "a new one is asked for"
    assert proposals.count == 1
