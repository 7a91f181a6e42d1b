"""The file that a leader sends: one that its disk does not give back is made anew, one that is too
old is dropped before the next is made, and none is taken away while it is made."""

from __future__ import annotations

import asyncio
import errno

import pytest
from snapshot_sides import (
    CHUNK_BYTES,
    PATIENCE_MS,
    STATE,
    leader,
    made,
    refuse,
    serving,
    transfer,
    wait,
)
from snapshot_sides import follower as new_follower
from test_raft_backup_and_jump import Machine, driver_of, quiet_desk, snapshots_of

from replicante import limits
from replicante.raft import messages as m
from replicante.raft.inputs import Effects
from replicante.raft.observations import SnapshotFailed
from replicante.raft.snapshot_files import FolderFiles
from replicante.testing.sim_files import OUTGOING


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(limits, "SNAPSHOT_CHUNK_BYTES", CHUNK_BYTES)
    monkeypatch.setattr(limits, "SNAPSHOT_WINDOW_BYTES", 3 * CHUNK_BYTES)


def test_a_copy_that_cannot_be_read_is_made_anew_after_a_while():
    side, _ = serving()
    read = side.files.read

    def refuse(offset, count=0):
        raise OSError(errno.EIO, "the disk does not give it back")

    side.files.read = refuse
    ack = m.SnapshotAck(term=side.station.engine.term, index=8, offset=CHUNK_BYTES)
    assert side.step(("c", ack)) == []
    assert side.desk.unreadable.errno == errno.EIO
    assert OUTGOING not in side.files.held
    assert side.desk.held_index is None
    side.step()
    assert not side.desk.wants_file
    wait(side, limits.SNAPSHOT_RETRY_MS + 1)
    side.step()
    assert side.desk.wants_file
    side.desk.wants_file, side.files.read = False, read
    side.files.write(OUTGOING, STATE)
    side.desk.made(made(side))
    transfer(side, new_follower(), side.step())


def test_a_file_that_nobody_can_remove_disturbs_nobody():
    side, _ = serving()

    def refuse():
        raise OSError(errno.EROFS, "the disk is read-only by now")

    side.files.discard = refuse
    side.station.log.trim_to(10)
    side.step()
    assert side.desk.wants_file


def test_a_file_is_not_taken_away_from_who_makes_it():
    """The one before is outdated, and the link of whoever took it ends."""
    side, _ = serving()
    side.station.log.trim_to(10)
    side.step()
    assert side.desk.wants_file
    assert OUTGOING not in side.files.held, "the old one makes room"
    side.desk.wants_file, side.desk.is_making = False, True
    side.files.write(OUTGOING, STATE)
    side.station.link("c", is_up=False)
    for _ in range(2):
        side.step()
    assert OUTGOING in side.files.held
    side.desk.made(made(side))
    side.step()
    assert side.desk.held_index == 10, "who took the one before is expected back"
    assert OUTGOING in side.files.held


def test_a_file_that_took_long_to_make_waits_for_who_is_away_at_its_end():
    side = leader()
    side.station.link("c")
    refuse(side)
    side.desk.wants_file, side.desk.is_making = False, True
    wait(side, limits.SNAPSHOT_IDLE_MS_MAX + 1)
    side.station.link("c", is_up=False)
    side.step()
    side.desk.made(made(side))
    side.step()
    assert OUTGOING in side.files.held
    side.station.link("c")
    assert [chunk.offset for _, chunk in refuse(side)] == [0, 300, 600]


def test_who_had_to_drop_a_copy_that_was_whole_is_sent_it_again():
    side, sent = serving()
    other = new_follower()
    transfer(side, other, sent)
    ack = m.SnapshotAck(term=side.station.engine.term, index=8, offset=len(STATE))
    assert side.step(("c", ack)) == []
    other.desk.refused()
    wait(side, PATIENCE_MS + 1)
    again = side.step()
    assert [chunk.offset for _, chunk in again] == [len(STATE) - 1]
    transfer(side, other, again)


async def test_what_cannot_be_read_is_told_and_the_log_is_held_as_ever(tmp_path):
    told = []
    driver = driver_of(Machine(), None)
    snapshots = snapshots_of(tmp_path)
    snapshots._report = told.append
    desk = snapshots._desk = quiet_desk([])
    desk.wants_file, desk.unreadable, desk.held_index = False, OSError(5, "not given back"), 3
    for _ in range(2):
        await snapshots.step(driver, Effects())
    assert [type(it) for it in told] == [SnapshotFailed]
    assert "cannot be read" in told[0].detail
    assert driver.held_index == 3
    await snapshots.close()


def raise_no_room(engine, **given):
    raise OSError(errno.ENOSPC, "no room")


async def test_the_log_is_held_also_in_a_step_whose_incoming_part_is_refused(tmp_path):
    driver, snapshots = driver_of(Machine(), None), snapshots_of(tmp_path)
    desk = snapshots._desk = quiet_desk([])
    desk.step, desk.refused, desk.held_index = raise_no_room, lambda: None, 3
    await snapshots.step(driver, Effects())
    assert driver.held_index == 3
    await snapshots.close()


async def test_a_file_that_ends_too_early_cannot_be_read(tmp_path):
    """An empty part would be sent again and again, without end."""
    files = FolderFiles(tmp_path, wake=lambda: None)
    files.outgoing.write_bytes(b"short")
    assert files.read(0, 100) == b"short"
    with pytest.raises(OSError, match="too early"):
        files.read(5, 100)
    await asyncio.to_thread(files.close)
