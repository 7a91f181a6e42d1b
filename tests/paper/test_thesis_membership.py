"""Cluster membership changes: one test for each promise of the thesis that we rely on. §4."""

from __future__ import annotations

from raft_harness import Station, genesis_record, history, key, record_after, wire
from raft_members import MemberCluster, configured, elected, names

from replicante import limits
from replicante.errors import MembershipRefused
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.changes import Change, ChangeKind
from replicante.raft.log import HardState
from replicante.raft.status import Role

ADD, PROMOTE, REMOVE = ChangeKind.ADD_LEARNER, ChangeKind.PROMOTE, ChangeKind.REMOVE


def error_of(cluster: MemberCluster, ticket: int):
    return cluster.changes[ticket].error


# --- §4.1: the newest configuration in the log counts, committed or not -----------------------


def test_4_1_a_configuration_counts_from_the_moment_that_it_is_in_the_log():
    genesis = genesis_record("abc")
    peer = Station("a", voters="abc")
    entry = configured(genesis, "abcd", term=1)
    append = m.Append(1, 1, 0, 1, 0, 1, 0, -1, [wire(entry)], entry.chain)
    peer.receive("b", append)
    assert peer.engine.commit_index == 1, "the entry is not committed"
    assert names(peer.engine.configuration) == ("abcd", "")


def test_4_1_a_configuration_that_is_truncated_counts_no_more():
    records = history("abc", [])
    records.append(configured(records[0], "abcd", term=1))
    peer = Station("a", records=records, hard=HardState(term=1))
    assert names(peer.engine.configuration) == ("abcd", ""), "and it counts at start"
    other = record_after(records[0], term=2)
    peer.receive("b", m.Append(2, 1, 0, 1, 0, 1, 0, -1, [wire(other)], other.chain))
    assert names(peer.engine.configuration) == ("abc", "")


def test_4_1_another_configuration_in_the_same_place_counts():
    records = history("abc", [])
    records.append(configured(records[0], "abcd", term=1))
    peer = Station("a", records=records, hard=HardState(term=1))
    other = configured(records[0], "ab", term=2)
    peer.receive("b", m.Append(2, 1, 0, 1, 0, 1, 0, -1, [wire(other)], other.chain))
    assert names(peer.engine.configuration) == ("ab", "")


def test_4_1_a_candidate_needs_a_majority_of_the_newest_configuration():
    records = history("abc", [])
    records.append(configured(records[0], "abcde", term=1))
    peer = Station("a", voters="abcde", records=records, hard=HardState(term=1))
    peer.link("b", "c", "d", "e")
    peer.pass_time(1_300)
    peer.receive("b", m.PreVoteReply(1, 2, True))
    assert peer.engine.role is Role.FOLLOWER, "two of five"
    peer.receive("d", m.PreVoteReply(1, 2, True))
    peer.receive("b", m.VoteReply(2, True))
    assert peer.engine.role is Role.CANDIDATE
    peer.receive("d", m.VoteReply(2, True))
    assert peer.engine.is_leader


def test_4_1_a_commit_needs_a_majority_of_the_newest_configuration():
    cluster = elected("abc", "d")
    leader = cluster.leader.name
    cluster.made(ADD, "d")
    cluster.made(PROMOTE, "d")
    others = [name for name in "abcd" if name != leader]
    for name in others[1:]:
        cluster.isolate(name)
    committed = cluster[leader].engine.commit_index
    cluster.propose(leader, b"two of four")
    cluster.deliver()
    assert cluster[leader].engine.commit_index == committed
    assert cluster[leader].engine.progress[key(others[0])].match_index > committed


def test_4_1_one_change_at_a_time():
    cluster = elected("abc", "d", "e")
    leader = cluster.leader.name
    cluster.drop = lambda s, r, message: isinstance(message, m.AppendAck)
    first = cluster.change(leader, ADD, "d")
    second = cluster.change(leader, ADD, "e")
    assert isinstance(error_of(cluster, second), MembershipRefused)
    cluster.drop = lambda s, r, message: False
    cluster.run(1_000)
    assert error_of(cluster, first) is None
    assert names(cluster[leader].engine.configuration) == ("abc", "d")


def test_4_1_two_changes_in_one_step_are_one():
    peer = Station("a")
    peer.lead()
    peer.acknowledge("b")
    changes = [
        d.ChangeInput(
            ticket,
            Change(kind=ADD, peer_id=name, incarnation=f"{name}-disk", address="x:1"),
            9_000,
        )
        for ticket, name in enumerate("de", start=1)
    ]
    effects = peer.step(*changes)
    assert [done.ticket for done in effects.changes] == [2]
    assert names(peer.engine.configuration) == ("abc", "d")


def test_4_1_no_change_before_the_first_entry_of_the_term_is_committed():
    """The correction of 2015: two leaders could each add or remove another server otherwise."""
    peer = Station("a", voters="abcd")
    peer.lead()
    change = Change(kind=REMOVE, peer_id="d", incarnation="d-disk")
    peer.step(d.ChangeInput(1, change, 9_000))
    assert names(peer.engine.configuration)[0] == "abcd"
    peer.acknowledge("b", "c")
    peer.step()
    assert names(peer.engine.configuration)[0] == "abc"


def test_4_1_a_leader_takes_appends_though_the_receiver_does_not_know_it():
    """§4.1: a server accepts entries of a leader that is not in its latest configuration."""
    peer = Station("a", voters="abc")
    entry = configured(genesis_record("abc"), "abcx", term=1)
    sent = peer.receive("x", m.Append(1, 1, 0, 1, 0, 1, 0, -1, [wire(entry)], entry.chain))
    assert [message.is_success for _, message in sent] == [True]


def test_4_1_a_vote_is_given_to_who_knows_a_newer_configuration():
    """§4.1: otherwise voters that lag could leave the only complete one without a majority."""
    peer = Station("a", voters="abc")
    ((_, refused),) = peer.receive("x", m.PreVoteRequest(1, 2, 1, 1))
    assert not refused.is_granted
    ((_, granted),) = peer.receive("x", m.PreVoteRequest(1, 2, 1, 2))
    assert granted.is_granted
    ((_, vote),) = peer.receive("x", m.VoteRequest(1, 2, 1, False, 2))
    assert vote.is_granted


# --- §4.2.1: learners ------------------------------------------------------------------------


def test_4_2_1_a_learner_gets_the_log_and_counts_for_nothing():
    cluster = elected("abc", "d")
    leader = cluster.leader.name
    cluster.propose(leader, b"before")
    cluster.run(100)
    cluster.made(ADD, "d")
    assert cluster["d"].commands() == [b"before"]
    assert cluster["d"].engine.role is Role.LEARNER
    for name in "abc":
        if name != leader:
            cluster.isolate(name)
    committed = cluster[leader].engine.commit_index
    cluster.propose(leader, b"a leader and a learner")
    cluster.deliver()
    assert cluster[leader].engine.commit_index == committed


def test_4_2_1_a_learner_never_campaigns():
    cluster = elected("abc", "d")
    cluster.made(ADD, "d")
    for name in "abc":
        cluster.kill(name)
    cluster.run(5_000)
    assert cluster["d"].engine.role is Role.LEARNER
    assert cluster["d"].engine.term == cluster["a"].engine.term


def test_4_2_1_the_vote_of_a_learner_does_not_count():
    records = history("abc", [])
    records.append(configured(records[0], "abc", "de", term=1))
    peer = Station("a", records=records, hard=HardState(term=1))
    peer.link("b", "c", "d", "e")
    peer.pass_time(1_300)
    for name in "de":
        peer.receive(name, m.PreVoteReply(1, 2, True))
    assert peer.engine.role is Role.FOLLOWER
    peer.receive("b", m.PreVoteReply(1, 2, True))
    for name in "de":
        peer.receive(name, m.VoteReply(2, True))
    assert peer.engine.role is Role.CANDIDATE


def test_4_2_1_who_lacks_much_of_the_log_is_not_promoted(monkeypatch):
    monkeypatch.setattr(limits, "PROMOTE_LAG_ENTRIES_MAX", 2)
    cluster = elected("abc", "d")
    leader = cluster.leader.name
    cluster.made(ADD, "d")
    cluster.drop = lambda s, r, message: r == "d" and isinstance(message, m.Append)
    for number in range(4):
        cluster.propose(leader, b"%d" % number)
        cluster.run(60)
    ticket = cluster.change(leader, PROMOTE, "d")
    cluster.run(100)
    assert "lacks 4 entries" in error_of(cluster, ticket).message
    cluster.drop = lambda s, r, message: False
    cluster.run(2_000)
    cluster.made(PROMOTE, "d")
    assert names(cluster.leader.engine.configuration) == ("abcd", "")


def test_4_2_1_one_server_grows_to_three_and_nothing_waits_for_who_is_empty():
    cluster = elected("a", "b", "c")
    for name in "bc":
        cluster.made(ADD, name)
        ticket = cluster.propose("a", name.encode())
        cluster.run(100)
        assert cluster.proposals[ticket].error is None
        cluster.made(PROMOTE, name)
    assert names(cluster["c"].engine.configuration) == ("abc", "")
    assert cluster["a"].commands() == cluster["b"].commands() == cluster["c"].commands()


# --- §4.2.3: removed and disruptive servers --------------------------------------------------


def sent_by(cluster: MemberCluster, name: str, kind: type) -> list:
    return [it for sender, _, it in cluster.delivered if sender == name and isinstance(it, kind)]


def removed(cluster: MemberCluster, name: str) -> None:
    cluster.made(REMOVE, name)
    assert name not in names(cluster.leader.engine.configuration)[0]


def test_4_2_3_a_removed_server_is_told_and_stops_campaigning():
    cluster = elected("abc")
    gone = next(name for name in "abc" if name != cluster.leader.name)
    removed(cluster, gone)
    assert cluster[gone].engine.is_removed
    cluster.isolate(gone)
    term = cluster[gone].engine.term
    cluster.run(5_000)
    assert cluster[gone].engine.term == term


def test_4_2_3_a_removed_server_that_was_not_told_deposes_nobody():
    cluster = elected("abc")
    leader = cluster.leader.name
    gone = next(name for name in "abc" if name != leader)
    cluster.isolate(gone)
    for name in "abc":
        if name != gone:
            cluster.step(name, d.LinkChanged(key(gone), is_up=False))
    removed(cluster, gone)
    term = cluster.leader.engine.term
    cluster.run(3_000)
    cluster.heal()
    cluster.run(3_000)
    assert sent_by(cluster, gone, m.PreVoteRequest)
    assert not cluster[gone].engine.is_removed
    assert (cluster.leader.name, cluster.leader.engine.term) == (leader, term)


def test_4_2_3_what_a_removed_server_still_acknowledges_counts_for_nothing():
    cluster = elected("abcd")
    leader = cluster.leader.name
    others = [name for name in "abcd" if name != leader]
    gone = others[0]
    removed(cluster, gone)
    cluster.isolate(others[1])
    cluster.isolate(others[2])
    committed = cluster[leader].engine.commit_index
    cluster.propose(leader, b"alone")
    cluster.deliver()
    last = cluster[leader].log.last_index
    cluster[leader].receive(gone, m.AppendAck(cluster[leader].engine.term, 1, True, last))
    assert cluster[leader].engine.commit_index == committed


def test_4_2_3_a_late_acknowledgement_of_who_is_forgotten_is_harmless():
    cluster = elected("abc")
    leader = cluster.leader
    gone = next(name for name in "abc" if name != leader.name)
    removed(cluster, gone)
    cluster.kill(gone)
    assert key(gone) not in leader.engine.progress
    leader.receive(gone, m.AppendAck(leader.engine.term, leader.engine.round, True, 2))
    assert leader.engine.is_leader
