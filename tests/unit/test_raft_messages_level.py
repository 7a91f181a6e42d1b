"""One peer alone against scripted neighbours: adversarial but legal messages, and silence."""

from __future__ import annotations

import pytest
from raft_harness import OpenItem, Station, commands_record, heartbeat, key, sent_to, wire

from replicante import limits
from replicante.errors import FatalError
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.status import Role


def test_a_peer_that_hears_nobody_sleeps_between_its_pre_votes():
    peer = Station("a")
    now_ms, steps, asked = 0, 0, 0
    while now_ms < 60_000:
        effects = peer.step(now_ms=now_ms)
        asked += sum(isinstance(message, m.PreVoteRequest) for _, message in effects.late)
        steps += 1
        assert peer.driver.next_wake_ms() > now_ms
        now_ms = peer.driver.next_wake_ms()
    assert steps < 1_000
    assert asked >= 60


def test_pre_votes_from_before_it_led_start_no_election_after_it_led():
    peer = Station("a")
    peer.link("b", "c")
    peer.pass_time(1_300)
    peer.receive("b", m.PreVoteReply(term=0, next_term=1, is_granted=True))
    assert peer.engine.role is Role.CANDIDATE
    asked = sent_to(peer.pass_time(1_300), "b", m.PreVoteRequest)
    assert [request.next_term for request in asked] == [2]
    late = (
        m.PreVoteReply(term=1, next_term=2, is_granted=True),
        m.VoteReply(term=1, is_granted=True),
    )
    peer.receive("b", *late)
    assert peer.engine.is_leader
    sent = peer.pass_time(2_500)
    assert not peer.engine.is_leader
    assert sent_to(sent, "b", m.PreVoteRequest)
    assert not sent_to(sent, "b", m.VoteRequest)


def follower(**options):
    """Peer a, which follows b in term 1 with an open session and everything applied."""
    peer = Station("a", **options)
    peer.link("b", "c")
    opening = OpenItem("a", "a-disk", peer.boot)
    entry = commands_record(peer.log.last_record, opening, term=1)
    peer.receive("b", heartbeat(entries=[wire(entry)], chain=entry.chain, commit=2))
    peer.step()
    assert peer.driver.has_session
    return peer


def test_what_did_not_fit_one_message_leaves_in_the_next_step():
    peer = follower()
    large = bytes(limits.COMMAND_BYTES_MAX)
    sent, wanted_more = [], []
    effects = peer.step(*(d.ProposeInput(i, large, 10_000) for i in range(3)))
    for _ in range(3):
        sent += [len(it.commands) for _, it in effects.late if isinstance(it, m.Propose)]
        wanted_more.append(effects.has_more)
        effects = peer.step()
    assert sent == [1, 1, 1] and wanted_more == [True, True, False]


def test_a_restored_link_to_the_leader_asks_again_at_once():
    peer = follower()
    peer.step(d.ProposeInput(1, b"x", 10_000), d.ReadInput(2, 10_000))
    effects = peer.link("b", is_up=False)
    assert not [it for _, it in effects.late if isinstance(it, m.Propose | m.ReadIndexRequest)]
    effects = peer.link("b")
    kinds = {type(it) for k, it in effects.late if k == key("b")}
    assert kinds == {m.Propose, m.ReadIndexRequest}


def test_a_restored_link_asks_again_for_a_session_at_once():
    peer = Station("a")
    peer.link("b", "c")
    asked = [it.boot for _, it in peer.receive("b", heartbeat()) if isinstance(it, m.Propose)]
    assert asked == [peer.boot]
    peer.link("b", is_up=False)
    effects = peer.link("b")
    assert [it.boot for _, it in effects.late if isinstance(it, m.Propose)] == [peer.boot]


def test_two_processes_on_copies_of_a_directory_ask_for_different_sessions():
    original, copy = Station("a", fraction=0.25), Station("a", fraction=0.75)
    assert original.backend.hard.boot == copy.backend.hard.boot
    assert original.boot != copy.boot
    copy.start(now_ms=0)
    assert copy.boot > original.boot


def test_a_process_that_meets_a_later_one_of_its_own_directory_stops():
    peer = follower()
    later = OpenItem("a", "a-disk", peer.boot + 1)
    entry = commands_record(peer.log.last_record, later, term=1)
    with pytest.raises(FatalError, match="an older state of that one, or a copy"):
        peer.receive(
            "b", heartbeat(prev=(2, 1), entries=[wire(entry)], chain=entry.chain, commit=3)
        )
        peer.step()


def test_sessions_of_earlier_processes_and_of_other_directories_are_none_of_its_business():
    peer = follower()
    items = [OpenItem("a", "a-disk", peer.boot - 1), OpenItem("b", "b-disk", 1 << 62)]
    entry = commands_record(peer.log.last_record, *items, term=1)
    peer.receive("b", heartbeat(prev=(2, 1), entries=[wire(entry)], chain=entry.chain, commit=3))
    peer.step()
    assert peer.driver.applied_index == 3 and peer.driver.has_session


def test_a_read_that_waited_for_the_first_commit_of_a_term_is_asked_at_once():
    leader = Station("a")
    leader.lead()
    effects = leader.step(d.ReadInput(1, 10_000), d.Received(key("b"), m.ReadIndexRequest(7)))
    assert not effects.has_more
    ack = m.AppendAck(leader.engine.term, leader.engine.round, True, leader.log.last_index)
    effects = leader.step(d.Received(key("b"), ack))
    assert effects.has_more
    assert not leader.step().has_more
