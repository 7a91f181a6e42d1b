"""Changes of the members, on stock PySyncObj and on ours [f1 to f6 of the audit]."""

from __future__ import annotations

import pytest
from our_group import ready_group
from pysyncobj.node import Node
from raft_harness import Station, genesis_record, key, record_after, wire
from raft_members import MemberCluster, configured
from stock_group import stock

from replicante.errors import MembershipRefused
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.changes import Change, ChangeKind
from replicante.raft.log import HardState

# Stock's journal leaves its files open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


def voters_of(station: Station) -> str:
    return "".join(it.peer_id for it in station.engine.configuration.voters)


# --- two pending changes [f1] ------------------------------------------------------------------


def test_ours_two_pending_removals_are_one_and_a_refusal():
    group = ready_group("ABC")
    group.isolate("A")
    for ticket, name in ((1, "B"), (2, "C")):
        change = Change(kind=ChangeKind.REMOVE, peer_id=name, incarnation=name.lower() * 32)
        effects = group.step("A", d.ChangeInput(ticket, change, group.now_ms + 9_000))
        refused = [done for done in effects.changes if done.error is not None]
        assert len(refused) == (ticket == 2)
    assert isinstance(refused[0].error, MembershipRefused)
    committed = group["A"].engine.commit_index
    group.step("A")
    assert group["A"].engine.commit_index == committed, "A alone is no majority of A and C"


# --- the configuration in the log [f2, f3] -------------------------------------------------------


def test_stock_forgets_the_configuration_in_its_log_at_a_restart(tmp_path):
    conf = {"dynamicMembershipChange": True, "journalFile": str(tmp_path / "A")}
    with stock("A", **conf) as group:
        group.time_out("A")
        group["A"].addNodeToCluster(Node("B"))
        group.run("A", seconds=1)
        assert [node.id for node in group["A"].otherNodes] == ["B"]
        again = group.start("A", **conf)
        assert not again.otherNodes


def test_ours_a_configuration_in_the_log_counts_after_a_restart():
    records = [genesis_record("abc")]
    records.append(configured(records[0], "abcd", term=1))
    peer = Station("a", records=records, hard=HardState(term=1))
    assert voters_of(peer) == "abcd"
    peer.start(now_ms=1)
    assert voters_of(peer) == "abcd"


def test_stock_undoing_an_add_of_a_member_removes_it():
    with stock("ABC", dynamicMembershipChange=True) as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        group["A"].addNodeToCluster(Node("C"))
        group.tick("A")
        group["B"]._SyncObj__doChangeCluster(["add", "C", Node("C")], reverse=True)
        assert "C" not in [node.id for node in group["B"].otherNodes]


def test_ours_a_truncated_configuration_gives_back_the_one_before():
    records = [genesis_record("abc")]
    records.append(configured(records[0], "abcd", term=1))
    peer = Station("a", records=records, hard=HardState(term=1))
    other = record_after(records[0], term=2)
    peer.receive("b", m.Append(2, 1, 0, 1, 0, 1, 0, -1, [wire(other)], other.chain))
    assert voters_of(peer) == "abc"


# --- removal [f4] --------------------------------------------------------------------------------


def test_stock_a_removed_peer_is_not_told_and_deposes_the_leader():
    with stock("ABC", dynamicMembershipChange=True) as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=1)
        group["A"].removeNodeFromCluster(Node("C"))
        group.run("AB", seconds=1)
        told = [it for it in group.drop("A", "C") if it.get("entries")]
        assert not told
        term = group["A"].raftCurrentTerm
        group.time_out("C")
        group.deliver("C", "A")
        assert group["A"].raftCurrentTerm > term
        assert not group["A"]._isLeader()


def test_ours_a_removed_peer_is_told_and_deposes_nobody():
    cluster = MemberCluster("abc")
    leader = cluster.elect().name
    gone = next(name for name in "abc" if name != leader)
    cluster.made(ChangeKind.REMOVE, gone)
    assert cluster[gone].engine.is_removed
    term = cluster[leader].engine.term
    cluster.step(leader, d.LinkChanged(key(gone), is_up=False))
    cluster.run(5_000)
    assert (cluster.leader.name, cluster.leader.engine.term) == (leader, term)


# --- a new peer [f5] -----------------------------------------------------------------------------


def test_ours_a_new_peer_that_is_dead_stops_nothing():
    cluster = MemberCluster("a")
    cluster.elect()
    cluster.join("b")
    cluster.kill("b")
    cluster.made(ChangeKind.ADD_LEARNER, "b")
    ticket = cluster.propose("a", b"after")
    cluster.run(200)
    assert cluster.proposals[ticket].error is None
    refused = cluster.change("a", ChangeKind.PROMOTE, "b")
    cluster.run(200)
    assert isinstance(cluster.changes[refused].error, MembershipRefused)
