"""Raft paper §5.1 and §5.2: terms and elections."""

from __future__ import annotations

import pytest
from raft_harness import Cluster, HardState, Station, heartbeat, history, key, sent_to

from replicante.errors import FatalError
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.status import Role

ASKING = {"last_index": 1, "last_term": 0}


def vote_of(peer, sender, term, **fields):
    replies = sent_to(
        peer.receive(sender, m.VoteRequest(term, **{**ASKING, **fields})), sender, m.VoteReply
    )
    return [reply.is_granted for reply in replies]


# --- §5.1 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        heartbeat(term=7),
        m.AppendAck(term=7, round=1, is_success=False, match_index=0),
        m.VoteRequest(term=7, **ASKING),
        m.VoteReply(term=7, is_granted=False),
        m.PreVoteReply(term=7, next_term=3, is_granted=False),
    ],
)
def test_5_1_a_newer_term_in_any_message_is_adopted_and_ends_leadership(message):
    """§5.1: if one server's current term is smaller than the other's, it updates its own; a
    leader or candidate that discovers its term is out of date reverts to follower."""
    peer = Station("a")
    peer.lead()
    if isinstance(message, m.VoteRequest):
        peer.pass_time(700)  # while it leads with a quorum, it does not listen (thesis §4.2.3)
    peer.receive("b", message)
    assert peer.engine.term == 7 and not peer.engine.is_leader
    assert peer.backend.hard.term == 7


def test_5_1_a_term_never_goes_back():
    """§5.1: terms increase monotonically, across restarts too."""
    peer = Station("a")
    peer.receive("b", heartbeat(term=7))
    for term in (6, 1, 7):
        peer.receive("c", heartbeat(term=term) if term < 7 else m.VoteReply(term, False))
        assert peer.engine.term == 7
    peer.start(now_ms=0)
    assert peer.engine.term == 7


def test_5_1_a_request_of_an_old_term_is_rejected_and_told_the_new_one():
    """§5.1: a server that receives a request with a stale term number rejects it."""
    peer = Station("a", records=history("abc", [5]), hard=HardState(term=5))
    (ack,) = sent_to(peer.receive("b", heartbeat(term=4)), "b", m.AppendAck)
    assert (ack.term, ack.is_success) == (5, False)
    (reply,) = sent_to(peer.receive("b", m.VoteRequest(4, 99, 4)), "b", m.VoteReply)
    assert (reply.term, reply.is_granted) == (5, False)
    assert peer.engine.leader_key is None


# --- §5.2 ------------------------------------------------------------------------------------


def test_5_2_a_peer_votes_for_one_candidate_a_term_first_come_first_served():
    """§5.2: each server will vote for at most one candidate in a given term."""
    peer = Station("a")
    assert vote_of(peer, "b", 1) == [True]
    assert vote_of(peer, "c", 1) == [False]
    assert vote_of(peer, "b", 1) == [True]  # its reply may have been lost
    assert vote_of(peer, "c", 2) == [True]


def test_5_2_a_candidate_votes_for_itself():
    """§5.2: it votes for itself."""
    peer = Station("a")
    peer.link("b", "c")
    peer.pass_time(1_300)
    peer.receive("b", m.PreVoteReply(0, 1, True))
    assert peer.backend.hard == HardState(term=1, voted_for=key("a"), boot=1)
    assert vote_of(peer, "c", 1) == [False]


def test_5_2_a_vote_is_durable_before_it_leaves():
    """Figure 2, "updated on stable storage before responding to RPCs"."""
    peer = Station("a")
    effects = peer.think(d.Received(key("b"), m.VoteRequest(1, **ASKING)))
    assert not effects.early
    assert [type(message) for _, message in effects.late] == [m.VoteReply]
    assert peer.log.take_writes().hard == HardState(term=1, voted_for=key("b"), boot=1)


def test_5_2_a_term_is_durable_before_votes_are_asked_for():
    """Figure 2, as above: a candidate that forgot its term could lead it twice."""
    peer = Station("a")
    peer.link("b", "c")
    peer.pass_time(1_300)
    effects = peer.think(d.Received(key("b"), m.PreVoteReply(0, 1, True)))
    assert not effects.early
    assert {type(message) for _, message in effects.late} == {m.VoteRequest}
    assert peer.log.take_writes().hard == HardState(term=1, voted_for=key("a"), boot=1)


def test_5_2_a_vote_is_remembered_by_the_next_process():
    """§5.2 with figure 2: votedFor survives a restart."""
    peer = Station("a")
    assert vote_of(peer, "b", 3) == [True]
    peer.start(now_ms=0)
    assert vote_of(peer, "c", 3) == [False]
    assert vote_of(peer, "b", 3) == [True]


def test_5_2_a_vote_that_did_not_become_durable_was_never_given():
    """The process died between the step and its write: nothing had left, so it may vote anew."""
    peer = Station("a")
    assert not peer.think(d.Received(key("b"), m.VoteRequest(3, **ASKING))).early
    peer.start(now_ms=0)
    assert vote_of(peer, "c", 3) == [True]


@pytest.mark.parametrize(("voters", "needed"), [("ab", 1), ("abc", 1), ("abcd", 2), ("abcde", 2)])
def test_5_2_a_candidate_leads_when_a_majority_voted_for_it(voters, needed):
    """§5.2: a candidate wins if it receives votes from a majority of the full cluster."""
    peer = Station("a", voters=voters)
    peer.link(*voters[1:])
    peer.pass_time(1_300)
    for name in voters[1:]:
        if peer.engine.role is Role.FOLLOWER:
            peer.receive(name, m.PreVoteReply(0, 1, True))
    for count, name in enumerate(voters[1 : needed + 1], start=1):
        assert not peer.engine.is_leader
        peer.receive(name, m.VoteReply(1, True))
        assert peer.engine.is_leader == (count == needed)


def test_5_2_a_vote_that_comes_twice_counts_once():
    peer = Station("a", voters="abcde")
    peer.link(*"bcde")
    peer.pass_time(1_300)
    for name in "bc":
        peer.receive(name, m.PreVoteReply(0, 1, True))
    assert peer.engine.role is Role.CANDIDATE
    for _ in range(5):
        peer.receive("b", m.VoteReply(1, True))
    assert peer.engine.role is Role.CANDIDATE


def test_5_2_votes_of_another_term_and_refusals_count_for_nothing():
    peer = Station("a")
    peer.link("b", "c")
    peer.pass_time(1_300)
    peer.receive("b", m.PreVoteReply(0, 1, True))
    peer.receive("b", m.VoteReply(0, True))
    peer.receive("b", m.VoteReply(1, False))
    assert peer.engine.role is Role.CANDIDATE


def test_5_2_votes_of_strangers_count_for_nothing_and_strangers_get_none():
    """§6: only servers of the configuration take part."""
    peer = Station("a")
    assert vote_of(peer, "x", 5) == []
    assert peer.engine.term == 0
    peer.link("b", "c")
    peer.pass_time(1_300)
    peer.receive("x", m.PreVoteReply(0, 1, True))
    assert peer.engine.role is Role.FOLLOWER
    peer.receive("b", m.PreVoteReply(0, 1, True))
    peer.receive("x", m.VoteReply(1, True))
    assert peer.engine.role is Role.CANDIDATE


def test_5_2_a_candidate_that_hears_a_leader_of_its_term_follows_it():
    """§5.2: if the leader's term is at least as large, the candidate recognises it."""
    peer = Station("a")
    peer.link("b", "c")
    peer.pass_time(1_300)
    peer.receive("b", m.PreVoteReply(0, 1, True))
    peer.receive("c", heartbeat(term=1))
    assert (peer.engine.role, peer.engine.leader_key) == (Role.FOLLOWER, key("c"))
    peer.receive("b", m.VoteReply(1, True))
    assert peer.engine.role is Role.FOLLOWER


def test_5_2_a_split_vote_is_followed_by_another_election():
    """§5.2: randomised timeouts; a term may end with no leader."""
    cluster = Cluster()
    cluster.drop = lambda s, r, message: isinstance(message, m.VoteReply) and message.term < 3
    cluster.run(8_000)
    assert cluster.leader.engine.term >= 3


def test_5_2_a_follower_that_hears_its_leader_starts_no_election():
    """§5.2: a server remains follower as long as it receives valid RPCs."""
    peer = Station("a")
    peer.link("b", "c")
    for round_ in range(1, 60):
        peer.receive("b", heartbeat(round_=round_))
        sent = peer.pass_time(100)
        assert not sent_to(sent, "c", m.PreVoteRequest)


def test_5_2_at_most_one_leader_a_term_whatever_is_lost():
    """Election safety, figure 3: judged over every step of a cluster that loses a third of all."""
    leaders: dict[int, set[str]] = {}
    for seed in range(8):
        cluster = Cluster("abcde")
        state = [seed]

        def lose(sender, receiver, message, state=state):
            state[0] = (state[0] * 1_103_515_245 + 12_345) % (1 << 31)
            return state[0] % 3 == 0

        cluster.drop = lose
        leaders.clear()
        for _ in range(60):
            cluster.run(100)
            for station in cluster.alive:
                if station.engine.is_leader:
                    leaders.setdefault(station.engine.term, set()).add(station.name)
        assert leaders and all(len(names) == 1 for names in leaders.values())


@pytest.mark.parametrize("first", ["the peer itself", "another one"])
def test_5_2_a_second_leader_of_one_term_is_proof_of_a_broken_voter(first):
    """Figure 3, election safety: nobody can follow both, so the peer that sees it stops."""
    peer = Station("a")
    if first == "the peer itself":
        peer.lead()
        peer.pass_time(2_000)
        assert not peer.engine.is_leader
    else:
        peer.receive("b", heartbeat(term=1))
    with pytest.raises(FatalError, match=f"two leaders in term {peer.engine.term}"):
        peer.receive("c", heartbeat(term=peer.engine.term))


def test_5_2_votes_of_an_earlier_election_do_not_count_in_the_next():
    """§5.2: a majority of votes in the same term."""
    peer = Station("a", voters="abcde")
    peer.link(*"bcde")
    for term in (1, 2):
        peer.pass_time(1_300)
        for name in "bc":
            if peer.engine.term < term:
                peer.receive(name, m.PreVoteReply(term - 1, term, True))
        assert peer.engine.term == term
        peer.receive("bc"[term - 1], m.VoteReply(term, True))
        assert peer.engine.role is Role.CANDIDATE
