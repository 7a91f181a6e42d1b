"""What is durable is so under its name: the folder that holds the name is on the disk too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from replicante.lmdb_commits import note_failed_commit
from replicante.raft.log_store import LmdbLog
from replicante.raft.snapshot_files import FOLDER, FolderShelf

MAP_BYTES = 16 * 1024 * 1024


@pytest.fixture
def synced(monkeypatch) -> list[Path]:
    """What was forced to the disk, in this order."""
    found: list[Path] = []
    force = os.fsync

    def spy(descriptor: int) -> None:
        found.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        force(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    return found


def test_a_new_log_is_found_again_after_a_power_cut(tmp_path, synced):
    LmdbLog(tmp_path / "log", map_bytes=MAP_BYTES).close()
    assert {tmp_path / "log", tmp_path} <= set(synced)


def test_a_saved_snapshot_is_the_new_one_after_a_power_cut(tmp_path, synced):
    shelf = FolderShelf(tmp_path)
    saving = shelf.save(lambda: b"the state")
    saving.wait()
    assert saving.failure is None
    assert shelf.load() == b"the state"
    file, folder = synced
    assert file.parent == folder == tmp_path / FOLDER, "its content first, then its name"


def test_a_note_of_a_failed_commit_is_there_after_a_power_cut(tmp_path, synced):
    """Without it the next start takes what the disk refused for damage, and refuses the peer."""
    LmdbLog(tmp_path / "log", map_bytes=MAP_BYTES).close()
    note = tmp_path / "log" / "data.mdb.failed-commit"
    note.write_bytes(bytes(32))
    synced.clear()
    mark = note_failed_commit(tmp_path / "log" / "data.mdb")
    assert synced == [note, note.parent], "its content first, then its name"
    assert note.read_bytes() == mark
