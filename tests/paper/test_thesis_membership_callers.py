"""Cluster membership changes as callers meet them: one test for each promise of the thesis that we
rely on. §3.10, §4.2.2, §4.3."""

from __future__ import annotations

import pytest
from raft_harness import member
from raft_members import MemberCluster, elected, names

from replicante.errors import MembershipRefused, OutcomeUnknown
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.changes import Change, ChangeKind, changed, is_made
from replicante.raft.membership import read_configuration

ADD, PROMOTE, REMOVE, TRANSFER = (
    ChangeKind.ADD_LEARNER,
    ChangeKind.PROMOTE,
    ChangeKind.REMOVE,
    ChangeKind.TRANSFER,
)


def error_of(cluster: MemberCluster, ticket: int):
    return cluster.changes[ticket].error


# --- §4.2.2: removing the leader -------------------------------------------------------------


def test_4_2_2_a_leader_is_removed_by_the_next_one():
    cluster = elected("abc")
    old = cluster.leader.name
    ticket = cluster.change(old, REMOVE, old)
    cluster.run(4_000)
    assert error_of(cluster, ticket) is None
    assert cluster[old].engine.is_removed, "it is told"
    cluster.kill(old)
    ticket = cluster.propose(cluster.leader.name, b"two are left")
    cluster.run(200)
    assert cluster.proposals[ticket].error is None
    assert len(cluster.leader.engine.configuration.voters) == 2


def test_4_2_2_a_change_that_is_asked_of_a_follower_is_told_there():
    cluster = elected("abc", "d")
    follower = next(name for name in "abc" if name != cluster.leader.name)
    ticket = cluster.change(follower, ADD, "d")
    cluster.run(1_000)
    assert error_of(cluster, ticket) is None
    refused = cluster.change(follower, PROMOTE, "e")
    cluster.run(1_000)
    assert "no learner" in error_of(cluster, refused).message


def test_4_2_2_nobody_says_done_and_nobody_says_no_when_the_leader_is_gone():
    cluster = elected("abc", "d")
    leader = cluster.leader.name
    cluster.drop = lambda s, r, message: s == leader
    ticket = cluster.change(leader, ADD, "d", timeout_ms=300)
    cluster.run(600)
    assert isinstance(error_of(cluster, ticket), OutcomeUnknown)


def asked_where_no_entry_arrives(kind: ChangeKind) -> tuple[MemberCluster, str, int]:
    """A change of `d` that was carried out and undone by another one before its asker looked, and
    whose second asking was refused: the cluster, who asked, the ticket."""
    cluster = elected("abc", "d")
    if kind is PROMOTE:
        cluster.made(ADD, "d")
    asker = next(name for name in "abc" if name != cluster.leader.name)
    cluster.drop = lambda _, receiver, message: (
        receiver == asker and isinstance(message, m.Append) and bool(message.entries)
    )
    ticket = cluster.change(asker, kind, "d")
    cluster.run(100)
    made = cluster.leader.engine.configuration
    assert is_made(made, change_of(kind, "d"))
    cluster.made(REMOVE, "d")
    cluster.run(1_000)
    assert any(r == asker and isinstance(it, m.ChangeReply) for _, r, it in cluster.delivered)
    return cluster, asker, ticket


def change_of(kind: ChangeKind, name: str) -> Change:
    it = member(name)
    return Change(kind=kind, peer_id=name, incarnation=it.incarnation, address=it.raft_address)


@pytest.mark.parametrize("kind", [ADD, PROMOTE])
def test_4_2_2_a_change_that_was_made_and_undone_before_its_asker_looked_was_made(kind):
    cluster, _, ticket = asked_where_no_entry_arrives(kind)
    assert ticket not in cluster.changes, "its log does not show yet what became of it"
    cluster.drop = lambda *_: False
    cluster.run(2_000)
    assert error_of(cluster, ticket) is None
    payload = cluster.leader.log.configuration_at(cluster.changes[ticket].index)[1]
    assert is_made(read_configuration(payload), change_of(kind, "d"))


def test_4_2_2_what_became_of_a_change_is_unknown_where_the_entries_that_tell_it_are_skipped():
    """By a copy of the state."""
    cluster, asker, ticket = asked_where_no_entry_arrives(ADD)
    base = cluster.leader.log.base_at(cluster.leader.engine.commit_index)
    cluster[asker].jump_to(base)
    cluster.run(100)
    assert isinstance(error_of(cluster, ticket), OutcomeUnknown)


def test_4_2_2_a_change_that_was_refused_each_time_is_refused_where_its_log_is_behind():
    cluster = elected("abc")
    asker = next(name for name in "abc" if name != cluster.leader.name)
    cluster.drop = lambda _, receiver, message: (
        receiver == asker and isinstance(message, m.Append) and bool(message.entries)
    )
    cluster.propose(cluster.leader.name, b"that the asker has not")
    cluster.run(100)
    ticket = cluster.change(asker, PROMOTE, "e")
    cluster.run(1_000)
    assert ticket not in cluster.changes
    cluster.drop = lambda *_: False
    cluster.run(1_000)
    assert isinstance(error_of(cluster, ticket), MembershipRefused)


@pytest.mark.parametrize("kind", [ADD, REMOVE])
def test_4_2_2_two_copies_of_a_request_in_one_step_of_the_leader_are_made_once(kind):
    """The asker sent it again before the first copy was taken: a refusal of the second one would
    be believed at once, and the first one be made."""
    cluster = elected("abc", "d")
    if kind is REMOVE:
        cluster.made(ADD, "d")
    leader = cluster.leader
    asker = next(name for name in "abc" if name != leader.name)
    ticket = cluster.change(asker, kind, "d")
    cluster.step(asker, d.LinkChanged(leader.key, is_up=True))
    copies = [it for _, _, it in cluster.queue if isinstance(it, m.ChangeRequest)]
    assert len({it.number for it in copies}) == 2
    cluster.drop = lambda _sender, _receiver, it: isinstance(it, m.ChangeRequest)
    cluster.step(leader.name, *(d.Received(cluster[asker].key, it) for it in copies))
    cluster.run(2_000)
    assert error_of(cluster, ticket) is None
    assert names(leader.engine.configuration) == ("abc", "d" if kind is ADD else "")


def test_4_2_2_two_askers_of_one_change_in_one_step_are_both_told_that_it_is_made():
    cluster = elected("abc", "d")
    leader, learner = cluster.leader, member("d")
    asked = Change(
        kind=ADD,
        peer_id="d",
        incarnation=learner.incarnation,
        address=learner.raft_address,
    )
    cluster.step(leader.name, *(d.ChangeInput(it, asked, 9_000) for it in (101, 102)))
    cluster.run(1_000)
    assert error_of(cluster, 101) is None and error_of(cluster, 102) is None


# --- §4.3: availability ----------------------------------------------------------------------


def test_4_2_2_who_was_removed_is_not_let_in_again_with_the_same_directory():
    cluster = elected("abc")
    gone = next(name for name in "abc" if name != cluster.leader.name)
    cluster.made(REMOVE, gone)
    ticket = cluster.change(cluster.leader.name, ADD, gone)
    cluster.run(2_000)
    error = error_of(cluster, ticket)
    assert isinstance(error, MembershipRefused), "it may meet its removal when it is a voter again"
    assert "empty" in error.hints[0]
    assert gone not in "".join(names(cluster.leader.engine.configuration))


def test_4_2_2_a_removal_is_on_the_leaders_disk_before_the_other_voter_hears_of_it():
    """Else it counts itself as removed, and the leader that lost the entry needs its vote."""
    cluster = elected("ab")
    leader = cluster.leader
    other = next(name for name in "ab" if name != leader.name)
    cluster.run(500)
    whom = member(other)
    change = Change(
        kind=REMOVE,
        peer_id=whom.peer_id,
        incarnation=whom.incarnation,
        address=whom.raft_address,
    )
    asked = d.ChangeInput(1, change, cluster.now_ms + 10_000)
    effects = leader.driver.step([asked], now_ms=cluster.now_ms, wall_ms=0)
    assert leader.log.is_configuration_staged
    assert not any(isinstance(it, m.Append) and it.entries for _, it in effects.early)
    assert any(isinstance(it, m.Append) and it.entries for _, it in effects.late)


def test_4_2_2_a_removal_is_remembered_when_the_log_that_told_of_it_is_trimmed():
    cluster = elected("abc")
    leader = cluster.leader
    gone = next(name for name in "abc" if name != leader.name)
    removed_index = cluster.made(REMOVE, gone)
    while leader.driver.applied_index <= removed_index:
        cluster.propose(leader.name, b"more")
        cluster.run(500)
    leader.log.trim_to(removed_index + 1)
    assert len(leader.log.configurations_from(0)) == 1, "no entry tells of the member any more"
    ticket = cluster.change(leader.name, ADD, gone)
    cluster.run(2_000)
    assert isinstance(error_of(cluster, ticket), MembershipRefused)


def test_4_3_a_change_that_would_leave_no_majority_is_refused():
    cluster = elected("abc")
    leader = cluster.leader.name
    dead, alive = (name for name in "abc" if name != leader)
    cluster.kill(dead)
    cluster.run(700)
    ticket = cluster.change(leader, REMOVE, alive)
    cluster.run(100)
    assert "answer" in error_of(cluster, ticket).message
    cluster.made(REMOVE, dead)


def test_3_10_leadership_goes_to_the_peer_that_was_named():
    cluster = elected("abc")
    target = min(name for name in "abc" if name != cluster.leader.name)
    ticket = cluster.change(cluster.leader.name, TRANSFER, target)
    cluster.run(2_000)
    assert error_of(cluster, ticket) is None
    assert cluster.leader.name == target


def test_3_10_leadership_goes_to_anybody_when_nobody_is_named():
    cluster = elected("abc")
    old = cluster.leader.name
    follower = next(name for name in "abc" if name != old)
    ticket = cluster.change(follower, TRANSFER)
    cluster.run(2_000)
    assert error_of(cluster, ticket) is None
    assert cluster.leader.name != old


@pytest.mark.parametrize("target", ["d", "x"])
def test_3_10_leadership_never_goes_to_who_does_not_vote(target):
    cluster = elected("abc", "d")
    cluster.made(ADD, "d")
    leader = cluster.leader.name
    ticket = cluster.change(leader, TRANSFER, target)
    cluster.run(100)
    assert "no voter" in error_of(cluster, ticket).message
    assert cluster.leader.name == leader


def test_4_a_whole_life_one_three_five_three():
    cluster = elected("a", "b", "c", "d", "e")
    for name in "bcde":
        cluster.made(ADD, name)
        cluster.made(PROMOTE, name)
    tickets = [cluster.propose(name, name.encode()) for name in "abcde"]
    cluster.run(500)
    assert all(cluster.proposals[ticket].error is None for ticket in tickets)
    for _ in range(2):
        gone = cluster.leader.name
        asked = min(it.peer_id for it in cluster.leader.engine.configuration.voters)
        ticket = cluster.change(asked, REMOVE, gone)
        cluster.run(4_000)
        assert error_of(cluster, ticket) is None
        cluster.kill(gone)
    cluster.run(1_000)
    assert len(cluster.leader.engine.configuration.voters) == 3
    assert len({tuple(station.commands()) for station in cluster.alive}) == 1


def test_4_the_rule_and_the_log_agree():
    """What `changed` gives is what every peer reads from the entry."""
    cluster = elected("abc", "d")
    before = cluster.leader.engine.configuration
    cluster.made(ADD, "d")
    step = Change(kind=ADD, peer_id="d", incarnation="d-disk", address=member("d").raft_address)
    expected = changed(before, step, clock_ms=0)
    assert all(it.engine.configuration == expected for it in cluster.alive)
