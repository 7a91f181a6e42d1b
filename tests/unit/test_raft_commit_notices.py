"""When a leader tells its followers that an entry is committed: message by message."""

from __future__ import annotations

from raft_harness import Station, key, sent_to

from replicante.raft import driver as d
from replicante.raft import messages as m


def leading() -> Station:
    """Peer a, whose followers have and know everything, and whose session is open."""
    leader = Station("a")
    leader.lead()
    while not leader.driver.has_session or leader.engine.owes_commits:
        leader.acknowledge("b", "c")
        leader.step()
    return leader


def proposed(leader: Station, ticket: int) -> int:
    """The index of its entry, which is sent and durable here."""
    leader.step(d.ProposeInput(ticket, b"x", 10_000))
    return leader.log.last_index


def acknowledged_by(leader: Station, name: str) -> d.Effects:
    ack = m.AppendAck(leader.engine.term, leader.engine.round, True, leader.log.last_index)
    return leader.step(d.Received(key(name), ack))


def test_who_asks_again_at_once_has_the_commit_told_with_the_next_entry():
    leader = leading()
    index = proposed(leader, 1)
    effects = acknowledged_by(leader, "b")
    assert [done.ticket for done in effects.proposals] == [1]
    assert not effects.early + effects.late and effects.has_more
    effects = leader.step(d.ProposeInput(2, b"y", 10_000))
    for name in "bc":
        (told,) = [it for k, it in effects.early + effects.late if k == key(name)]
        assert len(told.entries) == 1 and told.commit_index == index
    # A copy that acknowledges the first entry later knows of its commit already.
    ack = m.AppendAck(leader.engine.term, leader.engine.round, True, index)
    assert leader.receive("c", ack) == []


def test_nobody_asks_again_and_the_next_step_tells_the_commit():
    leader = leading()
    index = proposed(leader, 1)
    acknowledged_by(leader, "b")
    effects = leader.step()
    (told,) = sent_to(effects.late + effects.early, key("b"), m.Append)
    assert told.commit_index == index and not told.entries
    assert not effects.has_more and not leader.engine.owes_commits


def test_a_commit_is_told_one_step_late_at_most():
    """However many own callers are answered meanwhile."""
    leader = leading()
    first, second = proposed(leader, 1), proposed(leader, 2)
    ack = m.AppendAck(leader.engine.term, leader.engine.round, True, first)
    assert leader.receive("b", ack) == []
    effects = acknowledged_by(leader, "b")
    assert [done.ticket for done in effects.proposals] == [2]
    (told,) = sent_to(effects.late + effects.early, key("b"), m.Append)
    assert told.commit_index == second


def test_a_commit_that_answers_no_own_caller_is_told_at_once():
    """Callers of followers wait for it."""
    leader = leading()
    leader.receive("b", m.Propose([], boot=7))
    (told,) = sent_to(leader.acknowledge("b"), "b", m.Append)
    assert told.commit_index == leader.log.last_index


def test_who_waits_for_a_copy_of_the_state_hears_of_commits_with_the_heartbeats_alone():
    """No append proves what it holds of a log that was trimmed since: each of its answers to one
    made a step of the leader, and each step another one."""
    leader = leading()
    for ticket in range(1, 5):
        proposed(leader, ticket)
        acknowledged_by(leader, "b")
        leader.step()
    leader.log.trim_to(leader.log.last_index - 1)
    leader.persist()
    leader.link("c", is_up=False)
    leader.link("c")
    assert leader.engine.progress[key("c")].match_index < leader.log.first_index
    ack = m.AppendAck(leader.engine.term, leader.engine.round, False, 0)
    assert leader.receive("c", ack) == []
    assert not leader.engine.owes_commits
    leader.engine.progress[key("c")].installed(leader.log.first_index, now_ms=leader.now_ms)
    assert leader.engine.owes_commits, "it has what proves it now"
