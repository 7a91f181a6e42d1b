"""Raft paper §5.3, §5.4 and figure 2: log replication, commitment and safety."""

from __future__ import annotations

import pytest
from raft_harness import (
    Cluster,
    HardState,
    Station,
    heartbeat,
    history,
    key,
    record_after,
    sent_to,
    wire,
)

from replicante.errors import FatalError
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.state_machine import EntryKind


def append_from(records, start, *, term, commit=0, round_=1):
    """What a leader with this log sends from index `start` on."""
    entries = records[start - 1 :]
    before = records[start - 2]
    return heartbeat(
        term=term,
        prev=(before.index, before.term),
        commit=commit,
        round_=round_,
        entries=map(wire, entries),
        chain=entries[-1].chain if entries else b"",
    )


def follower(terms, *, term=None):
    records = history("abc", terms)
    return Station("a", records=records, hard=HardState(term=term or max(terms, default=0)))


def ack_of(peer, sender, *messages):
    return sent_to(peer.receive(sender, *messages), sender, m.AppendAck)[-1]


# --- §5.3: the consistency check ------------------------------------------------------------


def test_5_3_an_append_whose_predecessor_is_missing_is_refused():
    """§5.3: if the follower does not find an entry with the same index and term, it refuses."""
    peer = follower([1])
    leader = history("abc", [1, 1, 1, 1])
    ack = ack_of(peer, "b", append_from(leader, 5, term=1))
    assert not ack.is_success and peer.terms == [0, 1]


def test_5_3_an_append_whose_predecessor_is_of_another_term_is_refused():
    peer = follower([1, 1])
    leader = history("abc", [1, 2, 2])
    ack = ack_of(peer, "b", append_from(leader, 4, term=2))
    assert not ack.is_success and peer.terms == [0, 1, 1]


def test_5_3_a_conflicting_entry_is_cut_with_all_that_follow_it():
    """Figure 2, AppendEntries 3: existing entry that conflicts, and all that follow it."""
    peer = follower([1, 1, 1, 1])
    leader = history("abc", [1, 2])
    assert ack_of(peer, "b", append_from(leader, 3, term=2)).match_index == 3
    assert peer.backend.records() == leader


def test_5_3_a_longer_diverging_tail_is_left_where_nothing_conflicts_yet():
    """A heartbeat that proves entry 2 says nothing about what lies behind it."""
    peer = follower([1, 1, 1, 1])
    ack = ack_of(peer, "b", heartbeat(term=2, prev=(2, 1), commit=5))
    assert ack.is_success and ack.match_index == 2
    assert peer.terms == [0, 1, 1, 1, 1]
    assert peer.engine.commit_index == 2


def test_5_3_an_old_append_cuts_nothing():
    """Figure 2: only a conflict cuts; entries that are there already are no conflict."""
    leader = history("abc", [1, 1, 1, 1])
    peer = follower([1])
    peer.receive("b", append_from(leader, 3, term=1))
    old = append_from(leader[:3], 3, term=1)
    ack = ack_of(peer, "b", old)
    assert ack.is_success and ack.match_index == 3
    assert peer.backend.records() == leader


def test_5_3_an_append_that_comes_twice_is_stored_once():
    leader = history("abc", [1, 1, 1])
    peer = follower([1])
    for _ in range(3):
        assert ack_of(peer, "b", append_from(leader, 3, term=1)).match_index == 4
    assert peer.backend.records() == leader


def test_5_3_equal_index_and_term_mean_equal_histories_and_anything_else_stops_the_peer():
    """§5.3, log matching: what Raft proves is checked, for a broken proof is lost data."""
    peer = follower([1, 1])
    other = history("abc", [1, 1, 1])
    forged = append_from(other, 4, term=1)
    forged = heartbeat(term=1, prev=(3, 1), entries=forged.entries, chain=bytes(16))
    with pytest.raises(FatalError, match="another history"):
        peer.receive("b", forged)


def test_5_3_a_committed_entry_is_never_cut():
    """§5.3: leader completeness forbids the message; the peer stops rather than obey it."""
    leader = history("abc", [1, 1])
    peer = follower([1])
    peer.receive("b", append_from(leader, 3, term=1, commit=3))
    with pytest.raises(FatalError, match="committed entry 3"):
        peer.receive("c", append_from(history("abc", [1, 2]), 3, term=2))


# --- figure 2: what is acknowledged, and when --------------------------------------------------


def test_5_3_an_acknowledgement_leaves_after_its_entries_are_durable():
    """Figure 2, "updated on stable storage before responding to RPCs"."""
    peer = follower([1])
    leader = history("abc", [1, 1])
    effects = peer.think(d.Received(key("b"), append_from(leader, 3, term=1)))
    assert not effects.early
    assert m.AppendAck in {type(message) for _, message in effects.late}
    assert [index for index, _ in peer.log.take_writes().records] == [3]


def test_5_3_a_leader_reads_no_acknowledgement_before_its_own_write():
    """Thesis §10.2.1: it may send in parallel with its write, because it counts itself only when
    that write is done; the step that reads the answer is a later one."""
    leader = Station("a")
    leader.lead()
    effects = leader.think(d.Received(key("b"), m.ReadIndexRequest(1)))
    assert all(isinstance(message, m.Append) for _, message in effects.early)
    ahead = Station("a")
    ahead.lead()
    ahead.acknowledge("b")
    ahead.step()
    effects = ahead.think(d.ProposeInput(1, b"x", 10_000))
    (append,) = [it for k, it in effects.early if k == key("b") and it.entries]
    assert append.prev_index + 1 == ahead.log.last_index
    assert ahead.log.durable_index < ahead.log.last_index
    assert ahead.engine.commit_index < ahead.log.last_index


def test_5_3_nothing_is_applied_that_is_not_durable_here():
    """The commit index may run ahead of the own disk; apply may not."""
    peer = follower([1])
    leader = history("abc", [1, 1])
    peer.think(d.Received(key("b"), append_from(leader, 3, term=1, commit=3)))
    assert peer.engine.commit_index == 3 and peer.driver.applied_index == 2
    peer.persist()
    assert peer.driver.wants_step
    peer.step()
    assert peer.driver.applied_index == 3


def test_5_3_a_follower_commits_no_further_than_the_last_entry_of_the_message():
    """Figure 2, AppendEntries 5: min(leaderCommit, index of last new entry)."""
    peer = follower([1, 1, 1])
    leader = history("abc", [1, 2, 2, 2])
    peer.receive("b", append_from(leader[:3], 3, term=2, commit=5))
    assert peer.engine.commit_index == 3


def test_5_3_one_old_entry_with_a_commit_beyond_it_commits_no_diverging_tail():
    """Figure 2, the same rule: entry 2 is proved equal, entries 3 and 4 are another leader's."""
    peer = follower([1, 1, 1])
    peer.receive("b", append_from(history("abc", [1]), 2, term=2, commit=4))
    assert peer.engine.commit_index == 2
    assert peer.driver.applied_index == 2


def test_5_3_the_commit_index_never_goes_back():
    leader = history("abc", [1, 1, 1])
    peer = follower([1])
    peer.receive("b", append_from(leader, 3, term=1, commit=4))
    peer.receive("b", heartbeat(term=1, prev=(4, 1), commit=2))
    assert peer.engine.commit_index == 4


def test_5_3_an_entry_is_committed_when_a_majority_has_it():
    """§5.3: once the leader has replicated it on a majority of the servers."""
    leader = Station("a", voters="abcde")
    leader.lead()
    last = leader.log.last_index
    leader.acknowledge("b", upto=last)
    assert leader.engine.commit_index < last
    leader.acknowledge("b", upto=last)  # the same follower again is no third copy
    assert leader.engine.commit_index < last
    leader.acknowledge("c", upto=last)
    assert leader.engine.commit_index == last


def test_5_3_acknowledgements_of_an_old_term_count_for_nothing():
    """What a follower had in term 1 may be cut by now."""
    leader = Station("a", voters="abcde", records=history("abcde", [1]), hard=HardState(term=1))
    leader.lead()
    for name in "bcde":
        leader.receive(name, m.AppendAck(1, 99, True, leader.log.last_index))
    assert leader.engine.commit_index < leader.log.last_index
    assert leader.engine.quorum_round() == 0


def test_5_3_a_follower_learns_the_commit_without_waiting_for_the_heartbeat():
    cluster = Cluster()
    leader = cluster.elect()
    name = next(it.name for it in cluster.alive if it is not leader)
    now_ms = cluster.now_ms
    ticket = cluster.propose(name, b"x")
    cluster.deliver()
    assert cluster.now_ms == now_ms and cluster.proposals[ticket].outcome == b"1"


# --- §5.4 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "candidate", "is_granted"),
    [
        ([1, 1], (3, 1), True),
        ([1, 1], (4, 1), True),
        ([1, 1], (2, 1), False),
        ([1, 2], (9, 1), False),
        ([1, 1], (2, 2), True),
        ([2, 2, 2], (2, 3), True),
    ],
)
def test_5_4_1_votes_go_only_to_logs_that_are_at_least_as_up_to_date(own, candidate, is_granted):
    """§5.4.1: the later term of the last entry wins, then the longer log."""
    peer = follower(own, term=5)
    request = m.VoteRequest(6, *candidate)
    (reply,) = sent_to(peer.receive("b", request), "b", m.VoteReply)
    assert reply.is_granted == is_granted
    other = follower(own, term=5)
    asked = m.PreVoteRequest(6, *candidate)
    (reply,) = sent_to(other.receive("b", asked), "b", m.PreVoteReply)
    assert reply.is_granted == is_granted


def test_5_4_1_entries_that_are_not_durable_yet_count_in_the_comparison():
    """The vote leaves after their write, so they are durable when it counts."""
    peer = follower([1])
    leader = history("abc", [1, 1])
    replies = peer.receive(
        "b", append_from(leader, 3, term=1), m.TimeoutNow(0), m.VoteRequest(2, 2, 1, True)
    )
    (reply,) = sent_to(replies, "b", m.VoteReply)
    assert not reply.is_granted


def test_5_4_2_entries_of_earlier_terms_are_not_committed_by_counting():
    """§5.4.2 and figure 8: only through an entry of the leader's own term."""
    leader = Station("a", records=history("abc", [1, 2]), hard=HardState(term=3))
    leader.lead()
    own = 4
    assert leader.terms[own - 1] == leader.engine.term
    leader.acknowledge("b", "c", upto=own - 1)
    assert leader.engine.commit_index == 1
    leader.acknowledge("b", upto=own)
    assert leader.engine.commit_index == own


def test_5_4_2_figure_8_an_old_entry_on_a_majority_may_still_be_replaced():
    """Figure 8, (c) then (d): the entry of term 2 is on three of five, not committed by counting,
    and a later leader whose last entry is of term 3 replaces it; nobody had applied it."""
    leader = Station("a", voters="abcde", records=history("abcde", [1, 2]), hard=HardState(3))
    leader.lead()
    leader.acknowledge("b", "c", upto=3)
    assert leader.engine.commit_index == 1, "(c)"
    other = history("abcde", [1, 3])
    ack = ack_of(leader, "e", append_from(other, 3, term=5))
    assert ack.is_success and leader.backend.records() == other, "(d)"
    assert leader.driver.applied_index == 1


def test_5_4_3_a_new_leader_has_every_committed_entry():
    """§5.4.3, leader completeness: in a cluster whose leaders are killed in turn."""
    cluster = Cluster()
    cluster.elect()
    acknowledged = []
    for turn in range(6):
        leader = cluster.leader
        ticket = cluster.propose(leader.name, b"%d" % turn)
        cluster.run(300)
        assert cluster.proposals[ticket].error is None
        acknowledged.append(b"%d" % turn)
        cluster.kill(leader.name)
        cluster.run(3_000)
        assert [it for it in cluster.leader.commands() if it in acknowledged] == acknowledged
        cluster.restart(leader.name)
        cluster.run(1_000)
    assert all(station.commands() == acknowledged for station in cluster.alive)


def test_5_5_a_restarted_follower_is_brought_up_to_date():
    """§5.5: requests are sent again until the follower restarts and completes them."""
    cluster = Cluster()
    leader = cluster.elect()
    name = next(it.name for it in cluster.alive if it is not leader)
    cluster.kill(name)
    for number in range(20):
        cluster.propose(leader.name, b"%d" % number)
    cluster.run(500)
    cluster.restart(name)
    cluster.run(500)
    assert cluster[name].commands() == leader.commands() and len(leader.commands()) == 20


def test_8_a_new_leader_commits_an_entry_of_its_own_at_once():
    """§8: a blank no-op entry at the start of its term tells it what is committed."""
    peer = Station("a")
    peer.lead()
    assert peer.log.get(2).kind is EntryKind.TERM_STARTED
    assert not peer.engine.is_own_term_committed
    peer.acknowledge("b")
    assert peer.engine.is_own_term_committed


def test_5_3_an_entry_from_a_dead_leaders_term_reaches_everybody_or_nobody():
    """§5.3: a leader that crashed left entries on one follower; the next leader decides."""
    peer = follower([1, 1, 2])
    leader = history("abc", [1, 1])
    leader.append(record_after(leader[-1], term=3))
    assert ack_of(peer, "b", append_from(leader, 4, term=3)).is_success
    assert peer.terms == [0, 1, 1, 3]
