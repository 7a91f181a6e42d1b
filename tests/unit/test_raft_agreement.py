"""Whose state is right: what a peer concludes from digests, and does when its own is wrong."""

from __future__ import annotations

import asyncio
import json

import pytest
from raft_builders import heartbeat, key, member
from raft_harness import Cluster, Station, sent_to

from replicante import limits
from replicante.errors import CorruptData, Quarantined
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.agreement import Agreement
from replicante.raft.callers import Callers
from replicante.raft.commit_thread import CommitThread
from replicante.raft.inputs import Effects
from replicante.raft.membership import Configuration
from replicante.raft.observations import StateDiffers, StateQuarantined, StatesDisputed
from replicante.raft.quarantine_file import QuarantineNote, read_quarantine, write_quarantine
from replicante.raft.standing_still import StandingStill
from replicante.raft.status import Quarantine

WRONG = Quarantine(index=1024, own_digest="bad", digest="good")


def group(voters, learners=""):
    return Configuration(
        voters=tuple(member(name) for name in voters),
        learners=tuple(member(name) for name in learners),
    )


def standing(*digests, quarantined_index=0, level_max=1):
    return m.Standing(
        level_max=level_max, digests=list(digests), quarantined_index=quarantined_index
    )


def judged(own, others, *, voters="abc", learners="", name="a"):
    """An Agreement of `name` that has heard the others, and what it found."""
    agreement = Agreement(own_key=key(name), quarantine=None)
    for other, digests in others.items():
        agreement.heard(key(other), standing(*digests))
    return agreement, agreement.judge(own, group(voters, learners))


def test_equal_states_are_no_news():
    agreement, found = judged([(1024, "x")], {"b": [(1024, "x")], "c": [(1024, "x")]})
    assert found == []
    assert agreement.is_state_trusted
    assert agreement.differs_at == {}


def test_who_differs_from_a_majority_quarantines_itself():
    agreement, found = judged([(1024, "bad")], {"b": [(1024, "x")], "c": [(1024, "x")]})
    wrong = Quarantine(index=1024, own_digest="bad", digest="x")
    assert found == [StateQuarantined(quarantine=wrong)]
    assert agreement.quarantine == wrong
    assert not agreement.is_state_trusted


def test_the_others_see_who_differs_and_stay():
    agreement, found = judged([(1024, "x")], {"b": [(1024, "x")], "c": [(1024, "bad")]})
    c = member("c")
    assert found == [StateDiffers(peer_id=c.peer_id, incarnation=c.incarnation, index=1024)]
    assert agreement.differs_at == {c.key: 1024}
    assert agreement.evidence == {c.key: {"a": "x", "b": "x", "c": "bad"}}
    assert agreement.is_state_trusted
    assert agreement.judge([(1024, "x")], group("abc")) == []


def test_one_voice_against_it_quarantines_nobody():
    agreement, found = judged([(1024, "x")], {"b": [(1024, "y")]})
    assert found == []
    assert agreement.is_state_trusted, "the third voter has not spoken"


def test_without_a_majority_nobody_is_quarantined_and_everybody_is_told():
    agreement, found = judged([(1024, "x")], {"b": [(1024, "y")], "c": [(1024, "z")]})
    assert found == [StatesDisputed(index=1024)]
    assert agreement.quarantine is None
    assert not agreement.is_state_trusted
    assert agreement.judge([(1024, "x")], group("abc")) == []


def test_two_voters_that_differ_are_a_dispute():
    agreement, found = judged([(1024, "x")], {"b": [(1024, "y")]}, voters="ab")
    assert found == [StatesDisputed(index=1024)]
    assert agreement.quarantine is None


def test_a_later_majority_ends_a_dispute():
    agreement, _ = judged([(1024, "x")], {"b": [(1024, "y")]}, voters="ab")
    agreement.heard(key("b"), standing((1024, "y"), (2048, "n")))
    assert agreement.judge([(1024, "x"), (2048, "n")], group("ab")) == []
    assert agreement.is_state_trusted


def test_digests_at_different_indexes_say_nothing_about_each_other():
    agreement, found = judged([(1024, "x")], {"b": [(2048, "y")], "c": [(3072, "y")]})
    assert found == []
    assert agreement.is_state_trusted


def test_learners_are_judged_and_do_not_judge():
    others = {"b": [(1024, "x")], "d": [(1024, "x")]}
    agreement, found = judged([(1024, "y")], others, voters="ab", learners="d")
    assert found == [StatesDisputed(index=1024)], "two voters and a learner are no majority"
    learner, found = judged(
        [(1024, "bad")], {"a": [(1024, "x")]}, voters="a", learners="d", name="d"
    )
    assert learner.quarantine is not None
    assert [type(it) for it in found] == [StateQuarantined]
    assert agreement.quarantine is None


def test_what_strangers_say_is_kept_up_to_a_bound():
    peer = Station("a")
    strangers = [f"s{number}" for number in range(limits.PEERS_MAX + 1)]
    for name in strangers:
        peer.receive(name, standing())
    assert list(peer.driver._comparing._early) == [key(name) for name in strangers[1:]]
    assert peer.driver.agreement.standings == {}


def test_strangers_do_not_count():
    others = {"x": [(1024, "n")], "y": [(1024, "n")]}
    agreement, found = judged([(1024, "m")], {**others, "b": [(1024, "m")]})
    assert found == []
    assert agreement.quarantine is None
    assert agreement.standings.keys() == {key("b")}


def test_what_was_wrong_stays_wrong_as_long_as_that_incarnation_is_a_member():
    agreement, _ = judged([(1024, "x")], {"b": [(1024, "x")], "c": [(1024, "bad")]})
    agreement.heard(key("c"), standing((2048, "n")))
    agreement.judge([(2048, "n")], group("abc"))
    assert agreement.differs_at == {key("c"): 1024}
    agreement.judge([(2048, "n")], group("ab"))
    assert agreement.differs_at == {}


def test_a_peer_that_says_so_itself_is_believed():
    agreement = Agreement(own_key=key("a"), quarantine=None)
    agreement.heard(key("c"), standing((2048, "n"), quarantined_index=1024))
    (found,) = agreement.judge([(2048, "n")], group("abc"))
    assert (found.peer_id, found.index) == (member("c").peer_id, 1024)


# --- what a peer does about it ----------------------------------------------------------------


def give_digests(station, *digests):
    station.driver.host.machine.digests = lambda: list(digests)


def observed(effects, kind):
    return [it for it in effects.observations if isinstance(it, kind)]


def apart(**digests):
    """A cluster with a leader, in which each station has the given digest at 1,024."""
    cluster = Cluster("abc")
    cluster.elect()
    for name, digest in digests.items():
        give_digests(cluster[name], (1024, digest))
    cluster.run(500)
    return cluster


def in_quarantine(cluster):
    return {it.name for it in cluster.alive if it.driver.agreement.quarantine is not None}


def test_the_digests_travel_by_themselves_and_only_the_wrong_one_is_quarantined():
    cluster = apart(a="x", b="x", c="x")
    assert in_quarantine(cluster) == set()
    follower = next(it for it in cluster.alive if not it.engine.is_leader)
    give_digests(follower, (1024, "x"), (2048, "bad"))
    for station in cluster.alive:
        if station is not follower:
            give_digests(station, (1024, "x"), (2048, "n"))
    cluster.run(500)
    assert in_quarantine(cluster) == {follower.name}
    for station in cluster.alive:
        if station is not follower:
            assert station.driver.agreement.differs_at == {follower.key: 2048}


def test_a_leader_with_a_wrong_state_gives_leadership_away_and_harms_nobody():
    cluster = Cluster("abc")
    leader = cluster.elect()
    for station in cluster.alive:
        give_digests(station, (1024, "bad" if station is leader else "x"))
    cluster.run(3_000)
    assert in_quarantine(cluster) == {leader.name}
    assert cluster.leader is not leader
    cluster.run(10_000)
    assert cluster.leader is not leader


def test_a_leader_that_can_hand_over_to_nobody_stops_leading():
    peer = Station("a")
    peer.lead()
    peer.acknowledge("b", "c")
    give_digests(peer, (1024, "bad"))
    term = peer.engine.term
    peer.receive("b", standing((1024, "x")))
    peer.receive("c", standing((1024, "x")))
    for _ in range(40):  # the others answer and never stand for election
        peer.pass_time(50)
        peer.acknowledge("b", "c")
    assert not peer.engine.is_leader
    assert peer.engine.term == term


def test_a_peer_in_quarantine_never_stands_for_election_and_still_votes_and_acknowledges():
    cluster = apart(a="x", b="x", c="x")
    follower = next(it for it in cluster.alive if not it.engine.is_leader)
    give_digests(follower, (1024, "bad"))
    cluster.run(500)
    leader = cluster.leader
    cluster.dead.add(leader.name)
    cluster.run(8_000)
    healthy = next(it for it in cluster.alive if it is not follower)
    assert healthy.engine.is_leader, "the vote of the quarantined peer made it leader"
    before = healthy.driver.applied_index
    cluster.step(healthy.name, d.ProposeInput(900, b"w", cluster.now_ms + 5_000))
    cluster.run(500)
    assert healthy.driver.applied_index > before, "its acknowledgement made the majority"
    cluster.dead.discard(leader.name)
    cluster.dead.add(healthy.name)
    sent = follower.pass_time(5_000)
    asked = [it for it in sent if isinstance(it[1], m.PreVoteRequest | m.VoteRequest)]
    assert not asked
    assert follower.driver.next_wake_ms() > follower.now_ms, "and it does not turn in circles"


def test_a_peer_in_quarantine_does_not_take_leadership_over():
    peer = Station("a")
    peer.link("b", "c")
    peer.receive("b", heartbeat(term=1))
    give_digests(peer, (1024, "bad"))
    peer.receive("b", standing((1024, "x")))
    peer.receive("c", standing((1024, "x")))
    sent = peer.receive("b", m.TimeoutNow(term=peer.engine.term)) + peer.pass_time(2_000)
    assert peer.engine.leader_key == key("b")
    assert not [it for it in sent if isinstance(it[1], m.VoteRequest | m.PreVoteRequest)]


def test_leadership_is_not_handed_to_who_differs():
    cluster = apart(a="x", b="x", c="x")
    leader = cluster.leader
    wrong, right = (it for it in cluster.alive if it is not leader)
    give_digests(wrong, (1024, "bad"))
    cluster.run(500)
    cluster.step(leader.name, d.TransferInput(cluster.now_ms + 5_000))
    cluster.run(1_000)
    assert cluster.leader is right


def test_a_driver_that_starts_in_quarantine_stays_in_it():
    peer = Station("a")
    driver = d.Driver(
        identity=peer.driver.identity,
        log=peer.log,
        host=peer.driver.host,
        entropy=peer.engine._entropy,
        now_ms=0,
        quarantine=WRONG,
    )
    told = []
    for now_ms in range(0, 10_000, 100):
        effects = driver.step([], now_ms=now_ms, wall_ms=0)
        told += observed(effects, StateQuarantined)
        assert not [it for _, it in effects.late if isinstance(it, m.PreVoteRequest)]
    assert told == [StateQuarantined(quarantine=WRONG)], "each process says so once"
    assert driver.agreement.quarantine == WRONG


def test_a_quarantined_peer_vouches_for_no_age():
    cluster = apart(a="x", b="x", c="x")
    for station in cluster.alive:
        assert station.driver.staleness_ms(cluster.now_ms) is not None
    follower = next(it for it in cluster.alive if not it.engine.is_leader)
    give_digests(follower, (1024, "bad"))
    cluster.run(100)
    assert follower.driver.staleness_ms(cluster.now_ms) is None


def test_digests_are_told_again_on_a_new_link_and_not_at_every_step():
    peer = Station("a")
    give_digests(peer, (1024, "x"))
    peer.link("b")
    assert not [it for it in peer.pass_time(2_000) if isinstance(it[1], m.Standing)]
    peer.link("b", is_up=False)
    effects = peer.link("b")
    sent = [(k[0], it) for k, it in effects.early + effects.late]
    (told,) = sent_to(sent, "b", m.Standing)
    assert told.digests == [(1024, "x")]
    give_digests(peer, (1024, "x"), (2048, "y"))
    (told,) = sent_to(peer.pass_time(100), "b", m.Standing)
    assert told.digests == [(1024, "x"), (2048, "y")]


def test_each_peer_is_told_which_level_the_others_support():
    cluster = apart(a="x", b="x", c="x")
    newer = cluster.stations["b"]
    newer.driver.host.machine.level_max = 2
    give_digests(newer, (1024, "x"), (2048, "y"))
    cluster.run(200)
    for name, other in (("a", "c"), ("c", "a")):
        standings = cluster.stations[name].driver.agreement.standings
        assert (standings[key("b")].level_max, standings[key(other)].level_max) == (2, 1)


# --- callers and the note ---------------------------------------------------------------------


def test_callers_are_refused_definitely_with_the_way_out():
    still = StandingStill(lambda observation: None)
    still.quarantine = WRONG
    for refuse in (still.refuse_read, still.refuse_write):
        with pytest.raises(Quarantined) as caught:
            refuse()
        assert caught.value.definite
        assert caught.value.details["since_index"] == 1024
        assert any("learner" in hint for hint in caught.value.hints)


def test_who_waits_when_it_is_found_is_told_that_the_outcome_is_unknown():
    async def found():
        callers = Callers()
        ticket, read = callers.proposals.open(), callers.reads.open()
        proposed, asked = callers.proposals._futures[ticket], callers.reads._futures[read]
        effects = Effects()
        effects.observations.append(StateQuarantined(quarantine=WRONG))
        callers.answer(effects)
        return proposed.exception().code, asked.exception().code

    assert asyncio.run(found()) == ("outcome_unknown", "quarantined")


def test_the_note_survives_and_cannot_be_passed_over(tmp_path):
    assert read_quarantine(tmp_path) is None
    write_quarantine(tmp_path, WRONG)
    assert read_quarantine(tmp_path) == WRONG
    (tmp_path / "quarantine.json").write_text(json.dumps({"index": "?"}))
    with pytest.raises(CorruptData):
        read_quarantine(tmp_path)


def test_a_note_that_finds_no_room_is_written_later(tmp_path):
    async def keep():
        committer = CommitThread("test")
        missing = tmp_path / "data"
        note = QuarantineNote(missing)
        try:
            await note.keep(WRONG, committer)
            missing.mkdir()
            await note.keep(WRONG, committer)
        finally:
            committer.stop()
        return read_quarantine(missing)

    assert asyncio.run(keep()) == WRONG
