"""Snapshots between two peers: the desk of a leader, that of a follower, and what is between."""

from __future__ import annotations

from dataclasses import replace

import pytest
from raft_builders import history, key
from raft_harness import Station
from snapshot_sides import (
    CHUNK_BYTES,
    PATIENCE_MS,
    STATE,
    Side,
    follower,
    leader,
    made,
    refuse,
    replaced,
    serving,
    transfer,
    wait,
)

from replicante import limits
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.installations import finish_installation
from replicante.raft.log import Base, HardState
from replicante.raft.snapshot_pace import SnapshotPace
from replicante.testing.sim_files import OUTGOING


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(limits, "SNAPSHOT_CHUNK_BYTES", CHUNK_BYTES)
    monkeypatch.setattr(limits, "SNAPSHOT_WINDOW_BYTES", 3 * CHUNK_BYTES)


def test_a_follower_that_lacks_what_was_trimmed_is_sent_a_window_of_the_snapshot():
    _, sent = serving()
    assert {receiver for receiver, _ in sent} == {key("c")}
    assert [chunk.offset for _, chunk in sent] == [0, 300, 600]
    assert b"".join(chunk.data for _, chunk in sent) == STATE[:900]


def test_a_snapshot_leaves_no_faster_than_it_may():
    side, sent = serving()
    side.desk._pace = SnapshotPace(1_000)
    side.desk._pace.fill(side.station.now_ms)
    side.desk._pace.sent(900)  # the window that it had for itself
    offset = sum(len(chunk.data) for _, chunk in sent)
    left = []
    for _ in range(3):
        ack = m.SnapshotAck(term=side.station.engine.term, index=8, offset=offset)
        sent = side.step(("c", ack), now_ms=side.station.now_ms + 100)
        left.append(sum(len(chunk.data) for _, chunk in sent))
        offset += left[-1]
    # A tenth of a second allows a hundred bytes: a part is sent whole, and what it takes too much
    # is waited for.
    assert left == [300, 0, 0]
    sent = side.step(now_ms=side.station.now_ms + 1)
    assert [chunk.offset for _, chunk in sent] == [offset]


def test_a_follower_that_lacks_nothing_trimmed_gets_entries():
    side = leader()
    side.station.link("c")
    engine = side.station.engine
    ack = m.AppendAck(
        term=engine.term,
        round=engine.round,
        is_success=False,
        match_index=0,
        hint_index=9,
        hint_term=1,
    )
    assert side.step(("c", ack)) == []
    assert not side.desk.wants_file


def test_a_snapshot_arrives_whole_and_says_where_the_log_begins():
    side, sent = serving()
    other = follower()
    transfer(side, other, sent)
    base, path = other.desk.arrived
    assert base == made(side).base
    assert other.files.held[path] == STATE


def test_what_has_arrived_and_is_not_installed_yet_gives_way_to_entries_that_came_first():
    side, sent = serving()
    other = follower()
    transfer(side, other, sent)
    base, _ = other.desk.arrived
    other.desk.step(
        other.station.engine,
        chunks=(),
        acks=(),
        applied_index=base.index,
        is_state_trusted=True,
        now_ms=other.station.now_ms,
    )
    assert other.desk.arrived is None


def test_what_is_on_its_way_moves_no_commit_index_and_no_vote():
    side, sent = serving()
    other = follower()
    commit_index = other.station.engine.commit_index
    transfer(side, other, sent)
    assert other.station.engine.commit_index == commit_index
    assert other.station.log.hard.voted_for is None


def test_a_lost_chunk_is_sent_again_after_a_while():
    side, sent = serving()
    other = follower()
    answers = other.step(*[("a", chunk) for _, chunk in sent[1:]])
    assert {answer.offset for _, answer in answers} == {0}
    wait(side, PATIENCE_MS + 10)
    again = side.step(*[("c", answer) for _, answer in answers])
    assert again[0][1].offset == 0
    transfer(side, other, again)


def test_a_follower_that_began_anew_is_sent_the_beginning():
    side, sent = serving()
    other = follower()
    answers = other.step(*[("a", chunk) for _, chunk in sent])
    side.step(*[("c", answer) for _, answer in answers])
    nothing = m.SnapshotAck(term=side.station.engine.term, index=made(side).base.index, offset=0)
    assert side.step(("c", nothing))[0][1].offset == 0


def test_a_damaged_snapshot_is_dropped_and_asked_for_again():
    side, sent = serving()
    other = follower()
    damaged = [(key("c"), replaced(sent[0][1], data=b"x" * 300)), *sent[1:]]
    for _ in range(100):
        answers = other.step(*[("a", chunk) for _, chunk in damaged])
        damaged = side.step(*[("c", answer) for _, answer in answers])
        if answers and answers[-1][1].offset == 0:
            break
    assert other.desk.arrived is None
    transfer(side, other, damaged)
    assert other.files.held[other.desk.arrived[1]] == STATE


def test_a_chunk_of_an_old_leader_is_answered_with_the_present_term():
    _, sent = serving()
    station = Station("c", records=history("abc", [1]), hard=HardState(term=9))
    other = Side(station)
    effects = station.step(d.Received(key("a"), sent[0][1]))
    assert effects.chunks == []
    assert (key("a"), m.SnapshotAck(term=9, index=8, offset=0)) in effects.late
    assert other.desk.arrived is None


def test_a_snapshot_that_is_not_ahead_is_answered_as_installed_and_ignored():
    side, sent = serving()
    station = Station("c", records=history("abc", [1] * 12), hard=HardState(term=1))
    other = Side(station)
    heartbeat = m.Append(
        term=side.station.engine.term,
        prev_index=10,
        prev_term=1,
        commit_index=10,
        clock_ms=0,
        round=1,
        echoed_round=0,
        quorum_age_ms=0,
    )
    other.step(("a", heartbeat))
    assert station.driver.applied_index == 10
    answers = other.step(("a", sent[0][1]))
    assert [answer.is_installed for _, answer in answers] == [True]
    assert other.desk.arrived is None


def test_who_has_installed_it_gets_the_entries_that_follow():
    side, _ = serving()
    term = side.station.engine.term
    side.step(("c", m.SnapshotAck(term=term, index=8, offset=0, is_installed=True)))
    assert side.station.engine.progress[key("c")].match_index == 8
    sent = side.station.receive("b")
    progress = side.station.engine.progress[key("c")]
    assert progress.next_index > 9 or any(to == "c" for to, _ in sent)


def test_the_log_is_kept_for_whoever_takes_the_snapshot():
    side, _ = serving()
    assert side.desk.held_index == 8
    term = side.station.engine.term
    side.step(("c", m.SnapshotAck(term=term, index=8, offset=0, is_installed=True)))
    side.step()
    assert side.desk.held_index is None


def test_a_snapshot_that_could_not_be_made_is_tried_again_later():
    side = leader()
    side.station.link("c")
    refuse(side)
    side.desk.wants_file = False
    side.desk.failed(side.station.now_ms)
    side.step()
    assert not side.desk.wants_file
    wait(side, limits.SNAPSHOT_RETRY_MS + 1)
    side.step()
    assert side.desk.wants_file


def test_a_file_that_nobody_takes_is_removed():
    side = leader()
    side.desk.made(made(side))
    side.station.now_ms += limits.SNAPSHOT_IDLE_MS_MAX + 1
    side.desk.step(
        side.station.engine,
        chunks=[],
        acks=[],
        applied_index=0,
        is_state_trusted=True,
        now_ms=side.station.now_ms,
    )
    assert OUTGOING not in side.files.held


# --- the jump -------------------------------------------------------------------------------------


def test_a_follower_that_jumped_goes_on_from_there():
    side, sent = serving()
    other = follower()
    transfer(side, other, sent)
    base, _ = other.desk.arrived
    station = other.station
    station.driver.host.machine.applied_index = base.index
    station.backend.base = base
    station.backend.stored = {}
    effects = station.driver.installed(base, keeps_tail=False)
    assert effects.proposals == []
    assert (station.log.first_index, station.log.last_index) == (8, 8)
    assert station.engine.commit_index == 8
    assert station.engine.configuration.is_voter(key("b"))
    entries = side.station.log.read(9, count_max=2, bytes_max=1 << 20)
    append = m.Append(
        term=side.station.engine.term,
        prev_index=8,
        prev_term=1,
        commit_index=10,
        clock_ms=0,
        round=1,
        echoed_round=0,
        quorum_age_ms=0,
        entries=[
            m.WireRecord(r.term, int(r.kind), r.clock_ms, r.wall_ms, r.payload) for r in entries
        ],
        chain=entries[-1].chain,
    )
    acks = [it for _, it in station.receive("a", append) if isinstance(it, m.AppendAck)]
    assert [(ack.is_success, ack.match_index) for ack in acks] == [(True, 10)]


class Marked:
    """A log backend in the middle of an installation."""

    def __init__(self, base: Base | None) -> None:
        self.base = base
        self.did: list[str] = []

    def marker(self):
        return self.base

    def drop_marker(self) -> None:
        self.did.append("dropped")

    def reset_to(self, base: Base) -> bool:
        self.did.append(f"reset to {base.index}")
        return False


@pytest.mark.parametrize(("applied", "did"), [(8, ["reset to 8"]), (3, ["dropped"])])
def test_an_installation_that_was_cut_off_is_ended_forward_or_back(applied, did):
    side = leader()
    marked = Marked(side.station.log.base_at(8))
    machine = side.station.driver.host.machine
    machine.applied_index = applied
    finish_installation(marked, machine)
    assert marked.did == did


def test_without_a_marker_there_is_nothing_to_end():
    marked = Marked(None)
    finish_installation(marked, leader().station.driver.host.machine)
    assert marked.did == []


@pytest.mark.parametrize("prev_index", [0, 3])
def test_entries_below_the_base_are_answered_with_the_base(prev_index):
    """They were committed here; a leader that begins too low, and a repeated message of the first
    days, learn where to go on."""
    station = leader().station
    term = station.engine.term + 1
    entry = m.WireRecord(term=1, kind=4, clock_ms=0, wall_ms=0, payload=b"\x90")
    append = m.Append(
        term=term,
        prev_index=prev_index,
        prev_term=1 if prev_index else 0,
        commit_index=3,
        entries=[entry],
        chain=bytes(16),
        clock_ms=0,
        round=1,
        echoed_round=0,
        quorum_age_ms=0,
    )
    acks = [it for _, it in station.receive("b", append) if isinstance(it, m.AppendAck)]
    assert [(ack.is_success, ack.match_index) for ack in acks] == [(True, 8)]


def test_bases_compare_by_what_they_say():
    base = leader().station.log.base_at(8)
    assert base == replace(base)
    assert base.record().chain == base.chain


def test_a_state_that_may_be_wrong_is_not_handed_on():
    for digests, is_handed_on in ((("x", "x"), True), (("y", "z"), False)):
        side = leader()
        side.station.link("c")
        side.station.driver.host.machine.digests = lambda: [(1024, "x")]
        for name, digest in zip("bc", digests, strict=True):
            side.station.receive(name, m.Standing(level_max=1, digests=[(1024, digest)]))
        refuse(side)
        assert side.desk.wants_file is is_handed_on
        side.desk.wants_file = False
        side.desk.made(made(side))
        assert any(isinstance(it, m.SnapshotChunk) for _, it in side.step()) is is_handed_on
