"""One peer alone against scripted neighbours: adversarial but legal messages, and silence."""

from __future__ import annotations

from raft_harness import Station, sent_to

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
