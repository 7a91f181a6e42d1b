"""What is durable is so under its name: the folder that holds the name is on the disk too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from replicante.lmdb_commits import note_failed_commit
from replicante.raft.backup import Manifest, begin_backup, end_backup
from replicante.raft.log_store import LmdbLog
from replicante.raft.snapshot_files import FOLDER, FolderFiles, FolderShelf

MAP_BYTES = 16 * 1024 * 1024
MANIFEST = Manifest(
    cluster_name="test",
    cluster_id="c" * 32,
    genesis="",
    generation=0,
    made_by="p1",
    made_wall_ms=0,
    index=1,
    term=1,
    clock_ms=0,
    chain="",
    configuration_index=1,
    configuration="",
    state_bytes=0,
    state_digest="",
)


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
    synced.clear()
    saving = shelf.save(lambda: b"the state")
    saving.wait()
    assert saving.failure is None
    assert shelf.load() == b"the state"
    file, folder = synced
    assert file.parent == folder == tmp_path / FOLDER, "its content first, then its name"


def test_the_folder_of_snapshots_is_found_again_after_a_power_cut(tmp_path, synced):
    """With the data directory itself: what the log holds durably lies in it."""
    (tmp_path / "shelf").mkdir()
    FolderShelf(tmp_path / "shelf")
    assert {tmp_path / "shelf", tmp_path} <= set(synced)
    synced.clear()
    (tmp_path / "files").mkdir()
    FolderFiles(tmp_path / "files", wake=lambda: None).close()
    assert {tmp_path / "files", tmp_path} <= set(synced)


def test_a_backup_is_found_again_after_a_power_cut_however_deep_its_folder(tmp_path, synced):
    folder = tmp_path / "backups" / "monday" / "first"
    begin_backup(folder)
    synced.clear()
    end_backup(folder, MANIFEST)
    names = [path for path in synced if path.is_relative_to(tmp_path) and path.is_dir()]
    assert names == [folder, folder.parent, tmp_path / "backups", tmp_path]


def test_a_folder_above_that_may_not_be_read_is_no_failure(tmp_path, synced, monkeypatch):
    folder = tmp_path / "hidden" / "backup"
    begin_backup(folder)
    look = os.open

    def refuse(path, *given, **options):
        if Path(path) == tmp_path / "hidden":
            raise PermissionError
        return look(path, *given, **options)

    monkeypatch.setattr(os, "open", refuse)
    end_backup(folder, MANIFEST)
    assert {folder, tmp_path} <= set(synced)


def test_a_note_of_a_failed_commit_is_there_after_a_power_cut(tmp_path, synced):
    """Without it the next start takes what the disk refused for damage, and refuses the peer."""
    LmdbLog(tmp_path / "log", map_bytes=MAP_BYTES).close()
    note = tmp_path / "log" / "data.mdb.failed-commit"
    note.write_bytes(bytes(32))
    synced.clear()
    mark = note_failed_commit(tmp_path / "log" / "data.mdb")
    assert synced == [note, note.parent], "its content first, then its name"
    assert note.read_bytes() == mark
