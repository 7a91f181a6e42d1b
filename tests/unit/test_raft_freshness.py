"""A staleness claim is never smaller than the truth, whatever was restarted or delayed."""

from __future__ import annotations

from raft_harness import Station, history, key, sent_to

from replicante import limits
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.freshness import Freshness


def append(round_, *, echoed=0, age=0, commit=0, term=2):
    return m.Append(
        term=term,
        prev_index=0,
        prev_term=0,
        commit_index=commit,
        clock_ms=0,
        round=round_,
        echoed_round=echoed,
        quorum_age_ms=age,
    )


def staleness(freshness, now_ms, *, applied=0):
    return freshness.staleness_ms(applied_index=applied, now_ms=now_ms)


def test_nothing_is_claimed_before_an_echo():
    freshness = Freshness(started_term=0)
    freshness.heard(append(1), now_ms=100)
    assert staleness(freshness, 100) is None


def test_an_echo_proves_the_time_of_the_acknowledgement_less_the_age_of_the_quorum():
    freshness = Freshness(started_term=0)
    freshness.heard(append(1), now_ms=100)
    freshness.heard(append(2, echoed=1, age=30), now_ms=150)
    assert staleness(freshness, 150) == 150 - (100 - 30)
    assert staleness(freshness, 1_150) == 1_150 - (100 - 30)


def test_the_first_hearing_of_a_round_counts_not_a_later_one():
    freshness = Freshness(started_term=0)
    freshness.heard(append(1), now_ms=100)
    freshness.heard(append(1), now_ms=140)
    freshness.heard(append(2, echoed=1), now_ms=150)
    assert staleness(freshness, 150) == 50


def test_a_proof_counts_only_when_its_commit_index_is_applied():
    freshness = Freshness(started_term=0)
    freshness.heard(append(1, commit=9), now_ms=100)
    freshness.heard(append(2, echoed=1, commit=9), now_ms=150)
    assert staleness(freshness, 150, applied=8) is None
    assert staleness(freshness, 150, applied=9) == 50


def test_a_leader_without_a_quorum_of_its_term_proves_nothing():
    freshness = Freshness(started_term=0)
    freshness.heard(append(1), now_ms=100)
    freshness.heard(append(2, echoed=1, age=-1), now_ms=150)
    assert staleness(freshness, 150) is None


def test_rounds_of_another_term_prove_nothing():
    freshness = Freshness(started_term=0)
    freshness.heard(append(1, term=2), now_ms=100)
    freshness.heard(append(2, term=3, echoed=1), now_ms=150)
    assert staleness(freshness, 150) is None


def test_an_older_proof_never_makes_a_copy_look_staler_or_fresher():
    freshness = Freshness(started_term=0)
    for round_ in range(1, 5):
        freshness.heard(append(round_, echoed=round_ - 1), now_ms=round_ * 100)
    before = staleness(freshness, 400)
    freshness.heard(append(5, echoed=1, age=50), now_ms=410)
    assert before == 100
    assert staleness(freshness, 410) == 110


def test_an_echo_to_the_process_before_this_one_proves_nothing_to_this_one():
    """The leader sent both messages long ago; an earlier process had acknowledged round 7."""
    freshness = Freshness(started_term=2)
    freshness.heard(append(7, echoed=7), now_ms=5_000)
    freshness.heard(append(7, echoed=7), now_ms=5_001)
    assert staleness(freshness, 5_001) is None
    freshness.heard(append(8, echoed=7), now_ms=5_100)
    assert staleness(freshness, 5_100) is None
    freshness.heard(append(9, echoed=8), now_ms=5_200)
    assert staleness(freshness, 5_200) == 100


def test_rounds_are_forgotten_above_the_bound():
    freshness = Freshness(started_term=0)
    for round_ in range(1, limits.ROUNDS_KEPT_MAX + 2):
        freshness.heard(append(round_), now_ms=round_)
    freshness.heard(append(9_999, echoed=1), now_ms=9_999)
    assert staleness(freshness, 9_999) is None
    freshness.heard(append(10_000, echoed=9_999), now_ms=10_000)
    assert staleness(freshness, 10_000) == 1


def test_a_new_leader_vouches_for_no_copy_before_its_own_entry_is_committed():
    """What the last leader acknowledged may be committed and unknown to the new one (paper §8)."""
    leader = Station("a", records=history("abc", [1, 1]))
    leader.lead()
    echo = m.AppendAck(term=leader.engine.term, round=1, is_success=True, match_index=0)
    leader.receive("b", echo)
    assert leader.engine.quorum_age_ms() is not None
    sent = sent_to(leader.pass_time(150), "b", m.Append)
    assert sent and {message.quorum_age_ms for message in sent} == {-1}
    leader.acknowledge("b")
    sent = sent_to(leader.pass_time(150), "b", m.Append)
    assert sent[-1].quorum_age_ms >= 0
    assert leader.engine.leader_key == key("a")


def test_many_reads_during_a_slow_write_of_a_follower_leave_the_age_known():
    """Each read makes a round; the follower answers the first ones only when its disk is done."""
    leader = Station("a")
    leader.lead()
    leader.acknowledge("b", "c")
    first = leader.engine.round
    for ticket in range(1_000):
        leader.step(d.ReadInput(ticket, 10_000_000), now_ms=leader.now_ms + ticket % 2)
    assert leader.engine.is_leader and leader.engine.round > first + 900
    ack = m.AppendAck(leader.engine.term, first + 1, True, leader.log.last_index)
    leader.receive("b", ack)
    assert leader.engine.quorum_age_ms() == 500
    assert leader.driver.staleness_ms(leader.now_ms) == 500


def test_rounds_that_were_echoed_are_forgotten():
    leader = Station("a")
    leader.lead()
    for ticket in range(100):
        leader.step(d.ReadInput(ticket, 10_000_000))
        leader.acknowledge("b")
    assert len(leader.engine.round_sent_ms) <= 2
