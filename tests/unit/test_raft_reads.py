"""The book of linearizable reads: what answers whom, and that nobody waits for ever."""

from __future__ import annotations

from raft_harness import Cluster

from replicante import limits
from replicante.errors import NoLeader, PeerStopping, QueueFull, ReadTimeout
from replicante.raft import messages as m
from replicante.raft.reads import Confirmation, Reads


def finish(reads, *, applied=100, now_ms=0, has_leader=True):
    return reads.finish(applied_index=applied, now_ms=now_ms, has_leader=has_leader)


def asking(*tickets, boot=1, now_ms=0):
    reads = Reads(boot=boot)
    for ticket in tickets:
        assert reads.add(ticket, deadline_ms=10_000) is None
    return reads, reads.ask(now_ms)


def test_one_batch_answers_all_who_waited_when_it_was_asked():
    reads, number = asking(1, 2)
    reads.known(number, 7)
    assert [(read.ticket, read.index) for read in finish(reads)] == [(1, 7), (2, 7)]
    assert reads.count == 0


def test_a_read_that_came_after_the_question_is_not_answered_by_it():
    reads, number = asking(1)
    reads.add(2, deadline_ms=10_000)
    reads.known(number, 7)
    assert [read.ticket for read in finish(reads)] == [1]
    assert reads.has_unasked()


def test_a_read_waits_until_its_index_is_applied():
    reads, number = asking(1)
    reads.known(number, 7)
    assert finish(reads, applied=6) == []
    assert [read.index for read in finish(reads, applied=7)] == [7]


def test_the_first_answer_counts():
    reads, number = asking(1)
    reads.known(number, 7)
    reads.known(number, 9)
    assert [read.index for read in finish(reads)] == [7]


def test_an_answer_to_the_process_before_this_one_answers_nobody():
    reads, number = asking(1, boot=2)
    old, old_number = asking(1, boot=1)
    for _ in range(10_000):
        old_number = old.ask(0)
    assert old_number < number
    reads.known(old_number, 7)
    assert finish(reads) == []


def test_a_leader_that_always_answers_late_still_answers():
    """Asked again before the answer came: the late answer was confirmed after the read came."""
    reads, number = asking(1, now_ms=0)
    reads.ask_again(asked_before_ms=600)
    assert reads.has_unasked()
    assert reads.ask(700) > number
    reads.known(number, 7)
    assert [read.index for read in finish(reads)] == [7]


def test_an_answer_to_an_earlier_batch_does_not_answer_a_later_read():
    reads, number = asking(1)
    reads.add(2, deadline_ms=10_000)
    reads.ask(10)
    reads.ask_again()
    reads.ask(20)
    reads.known(number, 7)
    assert [read.ticket for read in finish(reads)] == [1]


def test_what_has_its_index_is_not_asked_again():
    reads, number = asking(1)
    reads.known(number, 7)
    reads.ask_again()
    assert not reads.has_unasked()


def test_only_what_is_overdue_is_asked_again():
    reads, _ = asking(1, now_ms=100)
    reads.ask_again(asked_before_ms=100)
    assert not reads.has_unasked()
    reads.ask_again(asked_before_ms=101)
    assert reads.has_unasked()


def test_at_its_deadline_a_read_says_whether_a_leader_was_known():
    for has_leader, error in ((True, ReadTimeout), (False, NoLeader)):
        reads, _ = asking(1)
        (done,) = finish(reads, now_ms=10_000, has_leader=has_leader)
        assert isinstance(done.error, error)
        assert reads.next_deadline_ms() is None


def test_an_answer_in_the_last_moment_is_better_than_none():
    reads, number = asking(1)
    reads.known(number, 7)
    (done,) = finish(reads, now_ms=10_000)
    assert done.error is None


def test_stopping_answers_everybody():
    reads, _ = asking(1, 2)
    assert [type(done.error) for done in reads.fail_all(PeerStopping)] == [PeerStopping] * 2
    assert reads.count == 0


def test_too_many_reads_are_refused(monkeypatch):
    monkeypatch.setattr(limits, "READS_PENDING_MAX", 2)
    reads, _ = asking(1, 2)
    refused = reads.add(3, deadline_ms=10_000)
    assert isinstance(refused.error, QueueFull) and refused.ticket == 3


def test_a_leader_promises_only_what_a_majority_echoed():
    reads = Reads(boot=1)
    early = Confirmation(round=4, index=7, requester=None, number=1)
    late = Confirmation(round=5, index=8, requester="b", number=2)
    reads.confirmations += [early, late]
    assert reads.confirmed(3) == []
    assert reads.confirmed(4) == [early]
    assert reads.confirmed(9) == [late]
    assert reads.confirmations == []


def test_a_leader_that_reads_for_long_keeps_nothing_of_it():
    cluster = Cluster()
    leader = cluster.elect()
    for _ in range(300):
        cluster.read(leader.name)
        cluster.deliver()
    assert len(cluster.reads) == 300
    reads = leader.driver._reads
    kept = [value for value in vars(reads).values() if hasattr(value, "__len__")]
    assert [len(value) for value in kept] == [0] * len(kept)


def test_a_lost_question_and_a_lost_answer_are_asked_again():
    for lost in (m.ReadIndexRequest, m.ReadIndexReply):
        cluster = Cluster()
        leader = cluster.elect()
        follower = next(it.name for it in cluster.alive if it is not leader)
        dropped = []

        def drop(sender, receiver, message, lost=lost, dropped=dropped):
            if isinstance(message, lost) and not dropped:
                dropped.append(message)
                return True
            return False

        cluster.drop = drop
        ticket = cluster.read(follower)
        cluster.run(1_000)
        assert dropped and cluster.reads[ticket].error is None
