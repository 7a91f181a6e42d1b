"""One peer alone against scripted neighbours: adversarial but legal messages, and silence."""

from __future__ import annotations

import re

import pytest
from raft_harness import (
    HardState,
    OpenItem,
    Station,
    commands_record,
    heartbeat,
    history,
    key,
    record_after,
    sent_to,
    wire,
)

from replicante import limits
from replicante.errors import FatalError
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.status import Role
from replicante.testing.entropy import Chance


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
    assert kinds == {m.Propose, m.ReadIndexRequest, m.Standing}


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


# --- anything that members could say -------------------------------------------------------


class Judge:
    """One peer among neighbours that say anything of the right types; what it does is judged."""

    def __init__(self, seed):
        self.chance = chance = Chance(seed, "messages")
        terms = sorted(chance.between(1, 3) for _ in range(chance.between(0, 4)))
        self.peer = Station("a", records=history("abc", terms), hard=HardState(term=3))
        self.peer.link("b", "c")
        self.term, self.commit_index, self.votes = 3, 1, {}

    def number(self, near):
        offset = self.chance.between(-2, 2)
        return self.chance.weighted(
            [(near, 5), (max(0, near + offset), 3), (self.chance.between(0, 6), 2), (HUGE, 0.02)]
        )

    def append(self):
        log = self.peer.log
        prev = self.chance.between(1, log.last_index)
        term, before, entries = self.number(self.peer.engine.term), log.get(prev), []
        for _ in range(self.chance.between(0, 3)):
            next_term = max(before.term, min(term, before.term + 1))
            before = record_after(before, term=next_term, clock_ms=before.clock_ms)
            entries.append(before)
        prev_term = self.chance.weighted([(log.term_at(prev), 5), (self.number(3), 1)])
        return heartbeat(
            term=term,
            prev=(prev, prev_term),
            commit=self.number(prev),
            round_=self.number(3),
            entries=map(wire, entries),
            chain=before.chain if entries else b"",
        )

    def message(self):
        term, last = self.number(self.peer.engine.term), self.number(self.peer.log.last_index)
        flag, number = self.chance.happens(0.6), self.number(3)
        make = self.chance.pick(
            [
                self.append,
                self.append,
                lambda: m.AppendAck(term, number, flag, last, last, term),
                lambda: m.VoteRequest(term, last, number, flag),
                lambda: m.VoteReply(term, flag),
                lambda: m.PreVoteRequest(term, last, number),
                lambda: m.PreVoteReply(term, self.peer.engine.term + 1, flag),
                lambda: m.TimeoutNow(term),
                lambda: m.Propose([m.WireCommand(number, last, number, b"x")], number),
                lambda: m.ReadIndexRequest(number),
                lambda: m.ReadIndexReply(number, last),
                lambda: m.BirthNotice(b"x"),
            ]
        )
        return make()

    def turn(self):
        inputs = [d.Received(key(self.chance.pick("bc")), self.message()) for _ in range(2)]
        if self.chance.happens(0.2):
            inputs.append(d.ProposeInput(self.chance.between(1, HUGE), b"y", self.peer.now_ms + 9))
            inputs.append(d.ReadInput(self.chance.between(1, HUGE), self.peer.now_ms + 9))
        if self.chance.happens(0.1):
            up = self.chance.happens(0.7)
            inputs.append(d.LinkChanged(key(self.chance.pick("bc")), up))
        now_ms = self.peer.now_ms + self.chance.pick([0, 0, 10, 150, 1_300])
        effects = self.peer.think(*inputs, now_ms=now_ms)
        self.judge(effects)
        self.peer.persist()

    def judge(self, effects):
        engine = self.peer.engine
        assert engine.term >= self.term and engine.commit_index >= self.commit_index
        self.term, self.commit_index = engine.term, engine.commit_index
        assert all(isinstance(it, m.Append) for _, it in effects.early)
        durable_after = self.peer.log.last_index
        for receiver, message in effects.late:
            match message:
                case m.VoteReply(term=term, is_granted=True):
                    assert self.votes.setdefault(term, receiver) == receiver, "voted twice"
                case m.VoteRequest(term=term):
                    assert self.votes.setdefault(term, self.peer.key) == self.peer.key
                case m.AppendAck(is_success=True):
                    assert message.match_index <= durable_after or engine.term > message.term


HUGE = (1 << 62) - 1
BROKEN_PROMISES = "committed entry|two leaders in term|another history"


@pytest.mark.parametrize("seed", range(120))
def test_whatever_members_say_a_peer_keeps_its_promises_or_stops_with_the_broken_one(seed):
    """Half of this no correct peer would say. What it may not do: vote twice, go back, promise
    early, or fail with anything but the name of the promise that somebody broke."""
    judge = Judge(seed)
    try:
        for _ in range(60):
            judge.turn()
    except FatalError as error:
        assert re.search(BROKEN_PROMISES, error.message)


# --- what must not outlive a leadership or a process -----------------------------------------


def depose(leader, *, by="c"):
    """Another leader of the next term is heard once."""
    prev = (leader.log.last_index, leader.log.last_term)
    leader.receive(by, heartbeat(term=leader.engine.term + 1, prev=prev))
    assert not leader.engine.is_leader


def test_a_leader_that_steps_down_waits_an_election_timeout_before_it_asks():
    leader = Station("a")
    leader.lead()
    leader.pass_time(650)
    assert not leader.engine.is_leader
    assert not sent_to(leader.pass_time(500), "b", m.PreVoteRequest)
    assert sent_to(leader.pass_time(500), "b", m.PreVoteRequest)


def test_a_read_of_a_lost_leadership_is_not_answered_by_the_echoes_of_the_next():
    """Its index was noted when another leader may already have acknowledged more."""
    leader = Station("a")
    leader.lead()
    leader.acknowledge("b", "c")
    leader.step()
    leader.acknowledge("b", "c")
    leader.step(d.ReadInput(1, 1 << 40))
    depose(leader)
    leader.lead()
    for _ in range(5):
        leader.pass_time(100)
        echo = m.AppendAck(leader.engine.term, leader.engine.round, True, 1)
        assert not leader.step(d.Received(key("b"), echo)).reads
    assert leader.engine.is_leader


def test_commands_that_waited_in_a_lost_leadership_are_their_owners_to_send_again():
    leader = Station("a")
    leader.lead()
    leader.step(d.TransferInput(leader.now_ms + 500))
    leader.receive("b", m.Propose([m.WireCommand(77, 1, 0, b"waiting")]))
    depose(leader)
    leader.lead()
    leader.pass_time(1_000)
    assert b"waiting" not in b"".join(record.payload for record in leader.backend.records())


def test_a_leader_appends_its_own_commands_once_however_long_they_take():
    leader = Station("a")
    leader.lead()
    leader.acknowledge("b", "c")
    leader.step()
    assert leader.driver.has_session
    leader.step(d.ProposeInput(1, b"slow", 1 << 40))
    match = leader.log.last_index - 1
    for _ in range(100):
        leader.pass_time(100)
        leader.acknowledge("b", upto=match)
    assert leader.engine.is_leader
    assert [record.payload.count(b"slow") for record in leader.backend.records()].count(1) == 1


def test_the_session_of_an_earlier_process_is_not_used_by_this_one():
    peer = Station("a")
    peer.link("b", "c")
    entry = commands_record(peer.log.last_record, OpenItem("a", "a-disk", peer.boot - 1), term=1)
    peer.receive("b", heartbeat(entries=[wire(entry)], chain=entry.chain, commit=2))
    peer.step()
    assert peer.driver.applied_index == 2 and not peer.driver.has_session


def test_a_leader_that_has_not_applied_what_it_committed_claims_no_age(monkeypatch):
    leader = Station("a")
    leader.lead()
    leader.acknowledge("b", "c")
    leader.step()
    leader.acknowledge("b", "c")
    assert leader.driver.staleness_ms(leader.now_ms) == 0
    monkeypatch.setattr(type(leader.driver.host.machine), "is_full", True)
    leader.step(d.ProposeInput(1, b"x", 1 << 40))
    leader.acknowledge("b", "c")
    assert leader.engine.commit_index > leader.driver.applied_index
    assert leader.driver.staleness_ms(leader.now_ms) is None
