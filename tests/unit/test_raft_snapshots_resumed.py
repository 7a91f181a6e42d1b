"""A follower that restarts while it takes a snapshot, and the pace of its disk."""

from __future__ import annotations

import pytest
from snapshot_sides import (
    CHUNK_BYTES,
    STATE,
    follower,
    replaced,
    restarted,
    serving,
    transfer,
    wait,
)

from replicante import limits


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(limits, "SNAPSHOT_CHUNK_BYTES", CHUNK_BYTES)
    monkeypatch.setattr(limits, "SNAPSHOT_WINDOW_BYTES", 3 * CHUNK_BYTES)


def test_a_follower_that_restarts_goes_on_behind_what_it_has():
    side, sent = serving()
    other = follower()
    answers = other.step(*[("a", chunk) for _, chunk in sent])
    sent = side.step(*[("c", answer) for _, answer in answers])
    again = restarted(other)
    answers = again.step(*[("a", chunk) for _, chunk in sent[:1]])
    assert again.desk.resumed == (8, 512)
    assert [answer.offset for _, answer in answers] == [512]
    sent = side.step(*[("c", answer) for _, answer in answers])
    assert sent[0][1].offset == 512, "less than it had said before: no more was durable"
    transfer(side, again, sent)
    assert again.files.held[again.desk.arrived[1]] == STATE


def test_a_follower_that_restarts_begins_anew_with_another_snapshot():
    _, sent = serving()
    other = follower()
    other.step(*[("a", chunk) for _, chunk in sent])
    again = restarted(other)
    later = [replaced(chunk, index=chunk.index + 1) for _, chunk in sent]
    again.step(*[("a", chunk) for chunk in later[:1]])
    assert again.desk.resumed is None
    again.step(*[("a", chunk) for chunk in later])
    assert again.files._arriving == STATE[:900]


def test_what_was_found_is_dropped_when_entries_came_first():
    _, sent = serving()
    other = follower()
    other.step(*[("a", chunk) for _, chunk in sent])
    again = restarted(other)
    assert again.files.found_index == 8
    again.station.driver.applied_index = 8
    again.step()
    assert again.files.found_index is None


def test_nothing_is_answered_before_the_disk_has_followed():
    _, sent = serving()
    other = follower()
    other.files.unsynced_bytes = limits.SNAPSHOT_UNSYNCED_BYTES_MAX + 1
    assert other.step(*[("a", chunk) for _, chunk in sent]) == []
    other.files.unsynced_bytes = limits.SNAPSHOT_UNSYNCED_BYTES_MAX
    assert [answer.offset for _, answer in other.step()] == [900]


def test_nothing_more_is_taken_than_the_disk_will_follow_soon():
    _, sent = serving()
    other = follower()
    other.files.unsynced_bytes = 2 * limits.SNAPSHOT_UNSYNCED_BYTES_MAX
    other.step(*[("a", chunk) for _, chunk in sent])
    other.files.unsynced_bytes = 0
    assert [answer.offset for _, answer in other.step()] == [0]


def test_a_whole_snapshot_waits_until_it_is_durable():
    side, sent = serving()
    other = follower()
    other.files.unsynced_bytes = 1
    with pytest.raises(AssertionError, match="never arrived"):
        transfer(side, other, sent)
    other.files.unsynced_bytes = 0
    other.step()
    assert other.desk.arrived is not None


def test_the_log_is_kept_for_a_follower_that_restarts():
    side, _ = serving()
    side.station.link("c", is_up=False)
    side.step()
    assert side.desk.held_index == 8
    wait(side, limits.SNAPSHOT_IDLE_MS_MAX + 1)
    side.step()
    assert side.desk.held_index is None
