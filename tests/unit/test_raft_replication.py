"""A leader's picture of one follower: windows, back-off, and that it never gets stuck."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from raft_harness import (
    Cluster,
    HardState,
    MemoryBackend,
    Station,
    history,
    record_after,
    sent_to,
)

from replicante import limits
from replicante.raft import messages as m
from replicante.raft.log import Log
from replicante.raft.replication import Progress, next_entries, refusal_hint


def log_of(terms, *, payload=b"\x90"):
    records = history("abc", [])
    for term in terms:
        records.append(record_after(records[-1], term=term, payload=payload))
    backend = MemoryBackend(records)
    return Log(backend, backend.load())


def ack(*, match=0, success=True, term=1, round_=1, hint=(0, 0)):
    return m.AppendAck(
        term=term,
        round=round_,
        is_success=success,
        match_index=match,
        hint_index=hint[0],
        hint_term=hint[1],
    )


def send(progress, log, *, now_ms=0):
    """What leaves now, as the last index of each append."""
    sent = []
    while (batch := next_entries(progress, log)) is not None:
        prev_index, _, entries, _ = batch
        progress.sent(prev_index + len(entries), now_ms=now_ms)
        sent.append(prev_index + len(entries))
    return sent


def test_one_append_is_in_flight_until_the_logs_are_known_to_agree(monkeypatch):
    monkeypatch.setattr(limits, "APPEND_ENTRIES_MAX", 1)
    log = log_of([1] * 20)
    progress = Progress(next_index=2)
    assert send(progress, log) == [2]
    progress.acknowledged(ack(match=2), log=log, now_ms=1)
    assert send(progress, log) == list(range(3, 3 + limits.APPEND_INFLIGHT_MAX))
    progress.acknowledged(ack(match=4), log=log, now_ms=2)
    assert send(progress, log) == [11, 12]


def test_an_append_ends_when_its_count_or_its_bytes_are_reached(monkeypatch):
    monkeypatch.setattr(limits, "APPEND_BYTES_MAX", 1_000)
    log = log_of([1] * 10, payload=bytes(600))
    _, _, entries, chain = next_entries(Progress(next_index=2), log)
    assert len(entries) == 2 and chain == log.get(3).chain
    monkeypatch.setattr(limits, "APPEND_ENTRIES_MAX", 1)
    assert len(next_entries(Progress(next_index=2), log)[2]) == 1


def test_an_entry_above_the_bytes_of_an_append_is_still_sent(monkeypatch):
    monkeypatch.setattr(limits, "APPEND_BYTES_MAX", 10)
    log = log_of([1], payload=bytes(600))
    assert len(next_entries(Progress(next_index=2), log)[2]) == 1


def test_the_match_only_grows():
    log = log_of([1] * 9)
    progress = Progress(next_index=11)
    progress.acknowledged(ack(match=8), log=log, now_ms=0)
    progress.acknowledged(ack(match=3), log=log, now_ms=0)
    assert (progress.match_index, progress.next_index) == (8, 11)


def test_an_acknowledgement_of_what_was_never_sent_concludes_nothing():
    log = log_of([1] * 9)
    progress = Progress(next_index=2)
    progress.acknowledged(ack(match=11), log=log, now_ms=0)
    assert (progress.match_index, progress.next_index) == (0, 2)


def test_a_late_refusal_never_goes_below_the_match():
    log = log_of([1] * 9)
    progress = Progress(next_index=11)
    progress.acknowledged(ack(match=8), log=log, now_ms=0)
    progress.acknowledged(ack(success=False, hint=(2, 1)), log=log, now_ms=0)
    assert progress.next_index == 9


def test_a_hint_beyond_every_number_is_survived():
    log = log_of([1] * 9)
    progress = Progress(next_index=5)
    huge = (1 << 63) - 1
    progress.acknowledged(ack(success=False, hint=(huge, huge)), log=log, now_ms=0)
    assert progress.next_index == 5


def test_refusals_are_echoes_too():
    progress = Progress(next_index=2)
    progress.acknowledged(ack(success=False, round_=9), log=log_of([1]), now_ms=0)
    progress.acknowledged(ack(success=False, round_=4), log=log_of([1]), now_ms=0)
    assert progress.echoed_round == 9


def test_what_is_not_answered_is_sent_again_from_behind_the_match():
    log = log_of([1] * 9)
    progress = Progress(next_index=2)
    send(progress, log, now_ms=0)
    progress.acknowledged(ack(match=4), log=log, now_ms=0)
    send(progress, log, now_ms=0)
    assert not progress.is_stuck(now_ms=600, patience_ms=600)
    assert progress.is_stuck(now_ms=601, patience_ms=600)
    progress.rewind(last_index=log.last_index)
    assert next_entries(progress, log)[0] == 4


def test_nothing_in_flight_is_never_stuck():
    assert not Progress(next_index=2).is_stuck(now_ms=1 << 40, patience_ms=1)


@given(
    common=st.lists(st.integers(1, 3), max_size=8),
    leader_tail=st.lists(st.integers(3, 8), max_size=12),
    follower_tail=st.lists(st.integers(3, 8), max_size=12),
)
def test_back_off_takes_a_round_trip_a_term_and_ends_where_the_logs_agree(
    common, leader_tail, follower_tail
):
    common, leader_tail, follower_tail = map(sorted, (common, leader_tail, follower_tail))
    leader, follower = log_of(common + leader_tail + [9]), log_of(common + follower_tail)
    progress = Progress(next_index=leader.last_index)
    trips = 0
    while True:
        prev_index, prev_term, entries, chain = next_entries(progress, leader)
        progress.sent(prev_index + len(entries), now_ms=0)
        if follower.term_at(prev_index) == prev_term:
            break
        trips += 1
        append = m.Append(9, prev_index, prev_term, 0, 0, 1, 0, -1, entries, chain)
        hint = refusal_hint(follower, append)
        before = progress.next_index
        progress.acknowledged(ack(success=False, hint=hint), log=leader, now_ms=0)
        assert progress.next_index < before
    assert trips <= len(set(leader_tail)) + len(set(follower_tail)) + 2


def test_a_follower_that_has_everything_is_not_sent_the_log_again_when_it_returns():
    records, hard = history("abc", [1] * 500), HardState(term=1)
    stations = {name: Station(name, records=records, hard=hard) for name in "abc"}
    cluster = Cluster("abc", **stations)
    cluster.kill("c")
    leader = cluster["a"]
    leader.now_ms = cluster.now_ms
    leader.lead(over="b")
    cluster.deliver()
    cluster.restart("c")
    cluster.now_ms = leader.now_ms
    cluster.run(500)
    assert leader.engine.is_leader
    sent = [
        len(message.entries)
        for _, receiver, message in cluster.delivered
        if receiver == "c" and isinstance(message, m.Append)
    ]
    assert cluster["c"].log.last_index == leader.log.last_index
    assert sum(sent) < 10


def test_a_returning_follower_is_probed_with_the_last_entry():
    leader = Station("a", records=history("abc", [1] * 100), hard=HardState(term=1))
    leader.lead()
    leader.link("c", is_up=False)
    leader.now_ms += 10
    effects = leader.link("c")
    sent = [(k[0], it) for k, it in effects.early]
    (probe,) = [it for it in sent_to(sent, "c", m.Append) if it.entries]
    assert probe.prev_index == leader.log.last_index - 1


def test_a_follower_that_lost_an_append_gets_it_again():
    cluster = Cluster()
    leader = cluster.elect()
    lost = []

    def drop(sender, receiver, message):
        if isinstance(message, m.Append) and message.entries and len(lost) < 2:
            lost.append(receiver)
            return True
        return False

    cluster.drop = drop
    cluster.propose(leader.name, b"x")
    cluster.run(2_000)
    assert len(set(lost)) == 2
    assert all(station.commands() == [b"x"] for station in cluster.alive)
