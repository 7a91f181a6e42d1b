"""A leader that stops hands over to somebody who is there to take it."""

from __future__ import annotations

from lone_driver import LonePeer, member

from replicante import limits
from replicante.raft import driver as d
from replicante.raft import messages as m


def leader_of_three(*, now_ms):
    peer = LonePeer("abc")
    peer.step(d.LinkChanged(member("b").key, True), d.LinkChanged(member("c").key, True), now_ms=0)
    asked = peer.hears("b", now_ms=now_ms)
    (request, *_) = [it for it in asked if isinstance(it, m.PreVoteRequest)]
    grant = m.PreVoteReply(term=0, next_term=request.next_term, is_granted=True)
    peer.hears("b", grant, now_ms=now_ms + 1)
    peer.hears("b", m.VoteReply(term=1, is_granted=True), now_ms=now_ms + 2)
    assert peer.driver.engine.is_leader
    return peer


def acknowledge(peer, name, *, now_ms):
    log, engine = peer.driver.log, peer.driver.engine
    ack = m.AppendAck(term=1, round=engine.round, is_success=True, match_index=log.last_index)
    effects = peer.step(d.Received(member(name).key, ack), now_ms=now_ms)
    peer.sync()
    return successors(effects)


def successors(effects):
    return [key for key, it in effects.late if isinstance(it, m.TimeoutNow)]


def test_a_follower_that_fell_silent_is_not_asked_for_ever():
    """The network cannot tell a stopped process from a slow one; the age of its answers can."""
    start_ms = limits.ELECTION_MS_MAX + 1
    peer = leader_of_three(now_ms=start_ms)
    for name in "bc":
        acknowledge(peer, name, now_ms=start_ms + 3)
    asked = successors(peer.step(d.TransferInput(start_ms + 500), now_ms=start_ms + 10))
    peer.sync()
    for later_ms in range(20, 400, 20):
        asked += acknowledge(peer, "b", now_ms=start_ms + later_ms)
    assert member("b").key in asked
    assert asked.count(member("c").key) <= 1


def test_nobody_is_asked_twice_within_a_heartbeat():
    start_ms = limits.ELECTION_MS_MAX + 1
    peer = leader_of_three(now_ms=start_ms)
    for name in "bc":
        acknowledge(peer, name, now_ms=start_ms + 3)
    first = successors(peer.step(d.TransferInput(start_ms + 500), now_ms=start_ms + 10))
    peer.sync()
    assert len(first) == 1
    assert acknowledge(peer, "b", now_ms=start_ms + 11) == []


def test_the_clock_stands_while_nothing_is_proposed():
    """Or a renewal that had arrived would enter the log when its lease is over (ADR 0013)."""
    start_ms = limits.ELECTION_MS_MAX + 1
    peer = leader_of_three(now_ms=start_ms)
    for name in "bc":
        acknowledge(peer, name, now_ms=start_ms + 3)
    peer.step(d.TransferInput(start_ms + 500), now_ms=start_ms + 10)
    peer.sync()
    clock_ms = peer.driver.engine.entry_clock_ms
    for later_ms in range(20, 400, 20):
        acknowledge(peer, "b", now_ms=start_ms + later_ms)
    assert peer.driver.engine.is_leader
    assert peer.driver.engine.entry_clock_ms == clock_ms
    for later_ms in range(600, 700, 20):
        acknowledge(peer, "b", now_ms=start_ms + later_ms)
    assert peer.driver.engine.entry_clock_ms > clock_ms
