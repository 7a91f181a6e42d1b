"""Raft thesis §6.3 (exactly once), §6.4 (reads), §10.2 (pipelining) on whole peers."""

from __future__ import annotations

import pytest
from raft_harness import Cluster, HardState, Station, heartbeat, history, key, sent_to, wire

from replicante import limits
from replicante.raft import driver as d
from replicante.raft import messages as m

# --- §6.3 exactly once ------------------------------------------------------------------------


def leader_and_follower(cluster):
    leader = cluster.elect()
    return leader, next(it for it in cluster.alive if it is not leader)


def dropping(cluster, kind, count=1, *, only=lambda message: True):
    lost = []

    def drop(sender, receiver, message):
        if isinstance(message, kind) and only(message) and len(lost) < count:
            lost.append(message)
            return True
        return False

    cluster.drop = drop
    return lost


def applied_everywhere(cluster, *commands):
    assert all(station.commands() == [*commands] for station in cluster.alive)


def test_6_3_a_write_whose_leader_dies_before_it_arrives_is_done_once():
    """§6.3: clients retry; the session filters duplicates."""
    cluster = Cluster()
    leader, follower = leader_and_follower(cluster)
    lost = dropping(cluster, m.Propose)
    ticket = cluster.propose(follower.name, b"x")
    cluster.deliver()
    assert lost
    cluster.kill(leader.name)
    cluster.run(3_000)
    assert cluster.proposals[ticket].outcome == b"1"
    applied_everywhere(cluster, b"x")


def test_6_3_a_write_whose_leader_dies_before_it_answers_is_done_once():
    cluster = Cluster()
    leader, follower = leader_and_follower(cluster)
    cluster.drop = lambda s, r, message: (
        isinstance(message, m.Append) and message.commit_index >= leader.log.last_index
    )
    ticket = cluster.propose(follower.name, b"x")
    cluster.deliver()
    assert ticket not in cluster.proposals and b"x" in leader.commands()
    cluster.drop = lambda s, r, message: False
    cluster.kill(leader.name)
    cluster.run(3_000)
    assert cluster.proposals[ticket].outcome == b"1"
    applied_everywhere(cluster, b"x")


def test_6_3_a_message_that_arrives_twice_is_one_write():
    cluster = Cluster()
    leader, follower = leader_and_follower(cluster)
    cluster.propose(follower.name, b"x")
    again = next(it for _, _, it in cluster.queue if isinstance(it, m.Propose))
    cluster.deliver()
    for _ in range(3):
        cluster.step(leader.name, d.Received(follower.key, again))
        cluster.deliver()
    applied_everywhere(cluster, b"x")


def test_6_3_a_write_that_was_given_up_is_not_done_later():
    """The next number's floor is above it: a copy that comes late is left alone."""
    cluster = Cluster()
    leader, follower = leader_and_follower(cluster)
    lost = dropping(cluster, m.Propose)
    ticket = cluster.propose(follower.name, b"late", timeout_ms=100)
    cluster.run(200)
    assert not cluster.proposals[ticket].error.definite
    cluster.propose(follower.name, b"next")
    cluster.run(200)
    cluster.step(leader.name, d.Received(follower.key, lost[0]))
    cluster.run(200)
    applied_everywhere(cluster, b"next")


def test_6_3_a_write_of_the_process_before_this_one_is_not_done_later():
    cluster = Cluster()
    leader, follower = leader_and_follower(cluster)
    lost = dropping(cluster, m.Propose)
    cluster.propose(follower.name, b"late")
    cluster.deliver()
    cluster.kill(follower.name)
    cluster.restart(follower.name)
    cluster.run(1_000)
    assert cluster[follower.name].driver.has_session
    cluster.step(leader.name, d.Received(follower.key, lost[0]))
    cluster.run(200)
    applied_everywhere(cluster)


def test_6_3_outcomes_are_the_same_wherever_and_whenever_the_entry_is_applied():
    cluster = Cluster()
    cluster.elect()
    tickets = {cluster.propose(name, name.encode()): name for name in "abc"}
    cluster.run(300)
    for ticket, name in tickets.items():
        place = int(cluster.proposals[ticket].outcome)
        assert {station.commands()[place - 1] for station in cluster.alive} == {name.encode()}
    cluster.kill("a")
    cluster.restart("a")
    cluster.run(1_000)
    assert cluster["a"].commands() == cluster["b"].commands()


# --- §6.4 read-only queries -------------------------------------------------------------------


def test_6_4_a_read_sees_every_write_that_was_acknowledged_before_it():
    cluster = Cluster()
    cluster.elect()
    for number, writer in enumerate("abcabc", start=1):
        written = cluster.propose(writer, b"x")
        cluster.run(200)
        for reader in "abc":
            read = cluster.read(reader)
            cluster.run(200)
            assert cluster.reads[read].index >= cluster.proposals[written].index
            assert len(cluster[reader].commands()) >= number


def test_6_4_a_new_leader_answers_no_read_before_its_own_entry_is_committed():
    """§6.4, step 1: it waits for the commit of its no-op."""
    leader = Station("a", records=history("abc", [1]), hard=HardState(term=1))
    leader.lead()
    leader.step(d.ReadInput(1, 100_000))
    for _ in range(3):
        leader.pass_time(100)
        echo = m.AppendAck(leader.engine.term, leader.engine.round, True, 1)
        effects = leader.step(d.Received(key("b"), echo))
        assert not effects.reads
    leader.acknowledge("b")
    leader.step()
    effects = leader.step(d.Received(key("b"), ack_now(leader)))
    assert [read.index for read in effects.reads] == [leader.engine.commit_index]


def ack_now(leader):
    engine = leader.engine
    return m.AppendAck(engine.term, engine.round, True, leader.log.last_index)


def ready_leader():
    leader = Station("a")
    leader.lead()
    leader.acknowledge("b", "c")
    leader.step()
    leader.acknowledge("b", "c")
    return leader


def test_6_4_a_leader_answers_only_after_a_round_that_began_after_the_read():
    """§6.4, step 3: a new round of heartbeats, acknowledged by a majority."""
    leader = ready_leader()
    before = ack_now(leader)
    effects = leader.step(d.ReadInput(1, 100_000))
    assert {k for k, it in effects.early if it.round == leader.engine.round} == {
        key("b"),
        key("c"),
    }
    assert not leader.step(d.Received(key("b"), before)).reads
    (read,) = leader.step(d.Received(key("b"), ack_now(leader))).reads
    assert read.index == leader.engine.commit_index


@pytest.mark.parametrize("is_success", [True, False])
def test_6_4_echoes_of_another_term_confirm_nothing(is_success):
    leader = ready_leader()
    leader.step(d.ReadInput(1, 100_000))
    old = m.AppendAck(leader.engine.term - 1, leader.engine.round + 5, is_success, 1)
    assert not leader.step(d.Received(key("b"), old)).reads


def test_6_4_a_deposed_leader_answers_nothing():
    """§6.4: it might have been deposed by a leader that it does not know of."""
    cluster = Cluster()
    leader = cluster.elect()
    cluster.isolate(leader.name)
    old_read = cluster.read(leader.name, timeout_ms=3_000)
    cluster.run(2_500)
    writer = cluster.leader
    assert writer is not leader
    cluster.propose(writer.name, b"x")
    cluster.run(1_000)
    assert cluster.reads[old_read].error is not None


def test_6_4_a_follower_asks_the_leader_and_waits_until_it_has_applied_the_index():
    """§6.4, last paragraph: followers can offload reads."""
    peer = Station("a")
    peer.link("b", "c")
    records = history("abc", [1, 1])
    append = heartbeat(prev=(1, 0), entries=map(wire, records[1:]), chain=records[2].chain)
    peer.receive("b", append)
    effects = peer.step(d.ReadInput(1, 100_000))
    (request,) = [it for _, it in effects.late if isinstance(it, m.ReadIndexRequest)]
    assert not peer.step(d.Received(key("b"), m.ReadIndexReply(request.number, 3))).reads
    effects = peer.step(d.Received(key("b"), heartbeat(prev=(3, 1), commit=3)))
    assert [read.index for read in effects.reads] == [3]


def test_6_4_reads_that_come_together_share_one_round():
    leader = ready_leader()
    before = leader.engine.round
    leader.step(*(d.ReadInput(ticket, 100_000) for ticket in range(50)))
    assert leader.engine.round == before + 1
    assert len(leader.step(d.Received(key("b"), ack_now(leader))).reads) == 50


def test_6_4_a_single_voter_needs_no_echo_but_its_own_disk():
    peer = Station("a", voters="a")
    peer.step(d.ReadInput(1, 100_000), now_ms=10)
    reads = []
    for _ in range(4):
        reads += peer.step().reads
    assert [read.error for read in reads] == [None]
    assert reads[0].index <= peer.log.durable_index


# --- §10.2 pipelining -------------------------------------------------------------------------


def test_10_2_2_a_leader_sends_on_without_waiting_for_answers_up_to_its_window(monkeypatch):
    """§10.2.2: it optimistically updates nextIndex; a window bounds what is lost on a break."""
    monkeypatch.setattr(limits, "APPEND_ENTRIES_MAX", 1)
    leader = ready_leader()
    sent = []
    for number in range(limits.APPEND_INFLIGHT_MAX + 5):
        effects = leader.step(d.ProposeInput(number, b"x", 100_000))
        sent += [it for k, it in effects.early if k == key("b") and it.entries]
    assert len(sent) == limits.APPEND_INFLIGHT_MAX
    assert [it.prev_index for it in sent] == [*range(sent[0].prev_index, sent[-1].prev_index + 1)]


def test_10_2_2_appends_that_arrive_out_of_order_are_refused_and_sent_again():
    """§10.2.2: reordering is safe because of the consistency check."""
    records = history("abc", [1, 1, 1])
    peer = Station("a")
    late = heartbeat(prev=(3, 1), entries=[wire(records[3])], chain=records[3].chain)
    early = heartbeat(
        prev=(1, 0), entries=[wire(it) for it in records[1:3]], chain=records[2].chain
    )
    (ack,) = sent_to(peer.receive("b", late), "b", m.AppendAck)
    assert not ack.is_success and peer.terms == [0]
    peer.receive("b", early)
    (ack,) = sent_to(peer.receive("b", late), "b", m.AppendAck)
    assert ack.is_success and peer.backend.records() == records


def test_10_2_2_after_a_break_the_leader_begins_again_behind_the_match():
    leader = ready_leader()
    match = leader.log.last_index
    for number in range(3):
        leader.step(d.ProposeInput(number, b"x", 100_000))
    leader.link("b", is_up=False)
    sent = [it for k, it in leader.link("b").early if k == key("b") and it.entries]
    assert sent[0].prev_index == match


def test_10_2_1_the_leaders_write_and_the_followers_overlap():
    """§10.2.1: entries leave before the leader's own write, votes and acknowledgements never."""
    leader = ready_leader()
    effects = leader.think(
        d.ProposeInput(1, b"x", 100_000), d.Received(key("c"), m.ReadIndexRequest(1))
    )
    assert any(it.entries for _, it in effects.early)
    assert all(isinstance(it, m.Append) for _, it in effects.early)
    assert leader.log.durable_index < leader.log.last_index
