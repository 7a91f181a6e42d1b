"""Raft thesis §3.10 hand-over, §4.2.3 disruptive servers, §6.2 check-quorum, §9.6 pre-vote."""

from __future__ import annotations

import pytest
from raft_harness import Cluster, HardState, Station, heartbeat, history, key, sent_to

from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.status import Role

# --- §3.10 leadership transfer ----------------------------------------------------------------


def test_3_10_leadership_goes_to_a_follower_that_has_everything():
    """§3.10: the prior leader sends TimeoutNow when the target's log matches its own."""
    cluster = Cluster()
    leader = cluster.elect()
    before = leader.engine.term
    cluster.step(leader.name, d.TransferInput(cluster.now_ms + 600))
    cluster.deliver()
    assert cluster.leader is not leader
    assert cluster.leader.engine.term == before + 1


def test_3_10_no_election_timeout_is_waited_for():
    cluster = Cluster()
    leader = cluster.elect()
    now_ms = cluster.now_ms
    cluster.step(leader.name, d.TransferInput(now_ms + 600))
    cluster.deliver()
    assert cluster.now_ms == now_ms and cluster.leader is not leader


def test_3_10_a_follower_that_lacks_entries_is_not_asked():
    leader = Station("a")
    leader.lead()
    effects = leader.step(d.TransferInput(leader.now_ms + 600))
    assert not [it for _, it in effects.late if isinstance(it, m.TimeoutNow)]
    (asked,) = {k for k, it in leader.acknowledge("b") if isinstance(it, m.TimeoutNow)}
    assert asked == "b"


def test_3_10_meanwhile_the_leader_takes_no_new_writes_and_then_takes_them_again():
    """§3.10: it stops accepting client requests; if the transfer fails, it resumes."""
    leader = Station("a")
    leader.lead()
    leader.acknowledge("b", "c")
    leader.step()
    last = leader.log.last_index
    leader.step(d.TransferInput(leader.now_ms + 300), d.ProposeInput(1, b"x", 10_000))
    assert leader.log.last_index == last
    for _ in range(4):
        leader.pass_time(100)
        leader.receive("b", m.AppendAck(leader.engine.term, leader.engine.round, True, last))
    assert leader.engine.is_leader and leader.log.last_index > last


def test_3_10_no_write_is_lost_or_repeated_by_a_hand_over():
    cluster = Cluster()
    leader = cluster.elect()
    tickets = [cluster.propose(name, name.encode()) for name in "abc"]
    cluster.step(leader.name, d.TransferInput(cluster.now_ms + 600))
    tickets += [cluster.propose(name, name.encode() * 2) for name in "abc"]
    cluster.run(2_000)
    assert [cluster.proposals[ticket].error for ticket in tickets] == [None] * 6
    for station in cluster.alive:
        assert sorted(station.commands()) == [b"a", b"aa", b"b", b"bb", b"c", b"cc"]


@pytest.mark.parametrize(
    ("sender", "term"), [("b", 0), ("b", 2), ("c", 1)], ids=["old", "future", "not the leader"]
)
def test_3_10_only_the_present_leader_may_hand_over(sender, term):
    peer = Station("a")
    peer.link("b", "c")
    peer.receive("b", heartbeat(term=1))
    peer.receive(sender, m.TimeoutNow(term))
    assert peer.engine.role is Role.FOLLOWER and peer.engine.term == 1


def test_3_10_heartbeats_of_the_old_leader_do_not_stop_the_election_that_it_asked_for():
    peer = Station("a")
    peer.link("b", "c")
    peer.receive("b", heartbeat(term=1))
    sent = peer.receive("b", m.TimeoutNow(1), heartbeat(term=1, round_=2))
    assert [it.is_transfer for it in sent_to(sent, "c", m.VoteRequest)] == [True]


def test_3_10_the_next_election_of_a_peer_that_was_handed_nothing_is_an_ordinary_one():
    peer = Station("a")
    peer.link("b", "c")
    peer.receive("b", heartbeat(term=1))
    peer.receive("b", m.TimeoutNow(1))
    assert peer.engine.term == 2
    sent = peer.pass_time(2_500)
    assert sent_to(sent, "c", m.PreVoteRequest) and not sent_to(sent, "c", m.VoteRequest)


# --- §4.2.3 disruptive servers ----------------------------------------------------------------


def test_4_2_3_within_the_minimal_election_timeout_of_its_leader_a_peer_gives_no_vote():
    """§4.2.3: it does not update its term or grant its vote."""
    peer = Station("a")
    peer.receive("b", heartbeat(term=1))
    peer.now_ms += 599
    assert not sent_to(peer.receive("c", m.VoteRequest(9, 9, 9)), "c", m.VoteReply)
    assert peer.engine.term == 1
    peer.now_ms += 1
    (reply,) = sent_to(peer.receive("c", m.VoteRequest(9, 9, 9)), "c", m.VoteReply)
    assert reply.is_granted


def test_4_2_3_a_leader_with_a_quorum_is_not_deposed_by_a_candidate():
    leader = Station("a")
    leader.lead()
    term = leader.engine.term
    assert not sent_to(leader.receive("c", m.VoteRequest(9, 99, 9)), "c", m.VoteReply)
    assert leader.engine.is_leader and leader.engine.term == term


def test_4_2_3_a_hand_over_is_heard_at_once():
    """§4.2.3: this flag in RequestVote says that the leader allowed the disruption."""
    peer = Station("a")
    peer.receive("b", heartbeat(term=1))
    (reply,) = sent_to(peer.receive("c", m.VoteRequest(2, 9, 9, True)), "c", m.VoteReply)
    assert reply.is_granted


def test_4_2_3_a_peer_that_hears_nothing_does_not_depose_a_healthy_leader():
    """A one-way cut: it is heard, and hears nobody."""
    cluster = Cluster()
    leader = cluster.elect()
    deaf = next(it.name for it in cluster.alive if it is not leader)
    term = leader.engine.term
    cluster.cut = {(other, deaf) for other in "abc"}
    cluster.run(10_000)
    assert leader.engine.is_leader and leader.engine.term == term
    cluster.heal()
    cluster.run(2_000)
    assert leader.engine.is_leader and leader.engine.term == term


# --- §6.2 check-quorum ------------------------------------------------------------------------


def test_6_2_a_leader_without_a_majority_steps_down_within_an_election_timeout():
    """§6.2: a leader steps down if an election timeout elapses without a successful round of
    heartbeats to a majority."""
    leader = Station("a")
    leader.lead()
    leader.acknowledge("b", "c")
    leader.pass_time(590)
    assert leader.engine.is_leader
    leader.pass_time(20)
    assert leader.engine.role is Role.FOLLOWER and leader.engine.leader_key is None


def test_6_2_one_follower_of_two_is_enough():
    leader = Station("a")
    leader.lead()
    for _ in range(30):
        leader.pass_time(100)
        leader.acknowledge("b", upto=1)
    assert leader.engine.is_leader


def test_6_2_a_leader_that_was_paused_answers_no_read_when_it_wakes():
    cluster = Cluster()
    leader = cluster.elect()
    cluster.isolate(leader.name)
    cluster.now_ms += 30_000
    ticket = cluster.read(leader.name)
    cluster.deliver()
    assert ticket not in cluster.reads
    assert not leader.engine.is_leader


# --- §9.6 pre-vote ----------------------------------------------------------------------------


def test_9_6_a_peer_without_a_majority_never_raises_its_term():
    """§9.6: a candidate increments its term only if it first learns that a majority would vote."""
    peer = Station("a")
    peer.link("b", "c")
    sent = peer.pass_time(60_000, every_ms=50)
    assert len(sent_to(sent, "b", m.PreVoteRequest)) > 30
    assert not sent_to(sent, "b", m.VoteRequest)
    assert peer.engine.term == 0 and peer.backend.hard.term == 0


def test_9_6_an_isolated_peer_returns_without_disturbing_anybody():
    cluster = Cluster()
    leader = cluster.elect()
    name = next(it.name for it in cluster.alive if it is not leader)
    term = leader.engine.term
    cluster.isolate(name)
    cluster.run(20_000)
    cluster.heal()
    cluster.run(1_000)
    assert leader.engine.is_leader and leader.engine.term == term
    assert cluster[name].engine.leader_key == leader.key


def test_9_6_a_pre_vote_changes_nothing_on_the_one_who_is_asked():
    peer = Station("a")
    writes = len(peer.backend.writes)
    (reply,) = sent_to(peer.receive("b", m.PreVoteRequest(9, 9, 9)), "b", m.PreVoteReply)
    assert reply.is_granted
    assert peer.engine.term == 0 and len(peer.backend.writes) == writes
    (other,) = sent_to(peer.receive("c", m.PreVoteRequest(9, 9, 9)), "c", m.PreVoteReply)
    assert other.is_granted, "it may be promised to many"


@pytest.mark.parametrize(
    "case", ["hears a leader", "own log is newer", "own term is as new", "a stranger"]
)
def test_9_6_no_pre_vote_for_who_would_not_win(case):
    peer = Station("a", records=history("abc", [2]), hard=HardState(term=2))
    sender, request = "b", m.PreVoteRequest(3, 2, 2)
    match case:
        case "hears a leader":
            peer.receive("c", heartbeat(term=2))
        case "own log is newer":
            request = m.PreVoteRequest(3, 9, 1)
        case "own term is as new":
            request = m.PreVoteRequest(2, 2, 2)
        case "a stranger":
            sender = "x"
    (reply,) = sent_to(peer.receive(sender, request), sender, m.PreVoteReply)
    assert not reply.is_granted and reply.term == 2


def test_9_6_answers_to_an_earlier_question_count_for_nothing():
    peer = Station("a", hard=HardState(term=4))
    peer.link("b", "c")
    peer.receive("b", m.PreVoteReply(4, 5, True))
    assert peer.engine.role is Role.FOLLOWER, "it has not asked"
    peer.pass_time(1_300)
    for reply in (m.PreVoteReply(3, 4, True), m.PreVoteReply(4, 6, True)):
        peer.receive("b", reply)
    assert peer.engine.role is Role.FOLLOWER
    peer.receive("b", m.PreVoteReply(4, 5, True))
    assert peer.engine.role is Role.CANDIDATE


def test_9_6_evidence_that_the_leader_is_gone_asks_early_and_only_asks():
    """A refused redial is no vote: those who hear the leader still say no."""
    peer = Station("a")
    peer.link("b", "c")
    peer.receive("b", heartbeat(term=1))
    peer.step(d.LinkRefused(key("b")))
    sent = peer.pass_time(200)
    assert sent_to(sent, "c", m.PreVoteRequest) and not sent_to(sent, "c", m.VoteRequest)
    assert peer.engine.term == 1


def test_9_6_a_refused_redial_to_another_peer_is_no_evidence():
    peer = Station("a")
    peer.link("b", "c")
    peer.receive("b", heartbeat(term=1))
    peer.step(d.LinkRefused(key("c")))
    assert not sent_to(peer.pass_time(200), "c", m.PreVoteRequest)
    assert peer.engine.leader_key == key("b")
