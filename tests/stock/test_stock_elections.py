"""Votes, strangers, live leaders and membership: what unchanged PySyncObj 0.3.17 does, and what
ours does with the same messages. Ids in brackets are those of the audit.
"""

from __future__ import annotations

import pytest
from our_group import OurGroup, ready_group
from pysyncobj.node import Node
from stock_group import SUCCESS, StockTime, stock

from replicante.errors import FatalError
from replicante.raft import messages as m
from replicante.raft.status import Role

# --- one vote, delivered twice [e1] -----------------------------------------------------------


def test_stock_counts_one_vote_twice():
    with stock("ABCDE") as group:
        group.time_out("A")
        group.deliver("A", "B")
        [vote] = group.drop("B", "A")
        group.hear("A", "B", **vote)
        group.hear("A", "B", **vote)
        assert group["A"]._isLeader(), "two of five"


def test_ours_counts_a_voter_once():
    group = OurGroup("ABCDE")
    group.time_out("A")
    for voter in "BC":
        group.deliver("A", voter)
        group.deliver(voter, "A")
    group.step("A")
    assert group["A"].engine.role is Role.CANDIDATE
    group.deliver("A", "B")
    [vote] = group.drop("B", "A")
    assert isinstance(vote, m.VoteReply) and vote.is_granted
    group.hear("A", "B", vote)
    group.hear("A", "B", vote)
    assert group["A"].engine.role is Role.CANDIDATE


# --- strangers [e2, e3] -----------------------------------------------------------------------


def test_stock_counts_the_vote_of_a_stranger():
    with stock("ABC") as group:
        group.time_out("A")
        group.hear("A", "X", type="response_vote", term=1)
        assert group["A"]._isLeader()


def test_ours_counts_votes_of_members_only():
    group = OurGroup("ABC")
    group.time_out("A")
    group.deliver("A", "B")
    group.deliver("B", "A")
    group.step("A")
    assert group["A"].engine.role is Role.CANDIDATE
    group.hear("A", "X", m.VoteReply(term=1, is_granted=True))
    assert group["A"].engine.role is Role.CANDIDATE


def test_stock_votes_for_a_stranger_in_term_99():
    with stock("ABC") as group:
        group.hear("B", "X", type="request_vote", term=99, last_log_index=9, last_log_term=99)
        assert group["B"].raftCurrentTerm == 99
        assert [vote["type"] for vote in group.links["B", "X"]] == ["response_vote"]


def test_ours_neither_answers_a_stranger_nor_takes_its_term():
    group = OurGroup("ABC")
    group.hear("B", "X", m.VoteRequest(term=99, last_index=9, last_term=99))
    assert group["B"].engine.term == 0
    assert not group.links["B", "X"]


# --- a peer that hears nothing deposes a leader that everybody else hears [e4] ----------------


def test_stock_a_half_deaf_peer_deposes_a_healthy_leader():
    with stock("ABC") as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        group.drop("A", "C")
        group.time_out("C")
        group.deliver("C", "A")
        assert not group["A"]._isLeader()


def test_ours_refuses_the_pre_vote_of_a_peer_that_does_not_hear_the_leader():
    group = ready_group("ABC")
    group.run("AB", ms=2_000)
    group.drop("A", "C")
    group.time_out("C")
    for other in "AB":
        group.deliver("C", other)
        group.deliver(other, "C")
    group.step("C")
    assert group["A"].engine.is_leader
    assert [peer.engine.term for peer in group.peers.values()] == [1, 1, 1]


# --- a leader that was asleep [n1] ------------------------------------------------------------


def test_stock_still_leads_after_29_seconds_without_an_answer():
    with stock("ABC") as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        StockTime.now_s += 29
        group.tick("A")
        assert group["A"]._isLeader()


def test_ours_no_longer_leads_after_a_pause():
    group = ready_group("ABC")
    group.now_ms += 29_000
    group.step("A")
    assert not group["A"].engine.is_leader


# --- membership [f1, f5, f6] ------------------------------------------------------------------


def test_stock_two_pending_removals_split_the_cluster():
    with stock("ABC", dynamicMembershipChange=True) as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        group.isolate("A")
        group["A"].removeNodeFromCluster(Node("B"))
        group["A"].removeNodeFromCluster(Node("C"))
        alone = group.add("A", "said by A alone")
        group.run("A", seconds=1)
        group.isolate("A")
        group.elect("B", "C")
        together = group.add("B", "said by B and C")
        group.run("BC", seconds=1)
        assert alone == [(1, SUCCESS)]
        assert together == [(1, SUCCESS)]
        assert group["A"].values != group["B"].values


@pytest.mark.parametrize("call", ["addNodeToCluster", "removeNodeFromCluster"])
def test_ours_refuses_membership_changes_of_the_base_class(call):
    engine = ready_group("ABC")["A"].engine
    with pytest.raises(FatalError, match="unsafe"):
        getattr(engine, call)(Node("B"))


def test_stock_a_new_peer_counts_before_it_was_ever_seen():
    with stock("A", dynamicMembershipChange=True) as group:
        group.time_out("A")
        assert group.add("A", "before") == []
        group.run("A", seconds=1)
        assert group["A"].values == ["before"]
        group["A"].addNodeToCluster(Node("B"))
        answers = group.add("A", "after")
        group.run("A", seconds=10)
        assert answers == []


def test_stock_a_late_answer_of_a_removed_peer_raises_out_of_the_tick():
    with stock("ABC", dynamicMembershipChange=True) as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        group["A"].removeNodeFromCluster(Node("C"))
        group.run("AB", seconds=1)
        with pytest.raises(KeyError):
            group.hear("A", "C", type="next_node_idx", next_node_idx=9, reset=False, success=True)


def test_ours_drops_the_answer_of_a_stranger():
    group = ready_group("ABC")
    ack = m.AppendAck(term=1, round=1, is_success=True, match_index=group.last("A"))
    group.hear("A", "X", ack)
    assert group["A"].engine.is_leader
