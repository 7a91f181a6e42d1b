"""A first start that was cut off begins anew; a log that was cut short does not."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest
from test_raft_log_tables import started

from replicante.errors import CorruptData
from replicante.lmdb_pages import META_BYTES
from replicante.raft.lmdb_file import was_cut_off_at_birth

PAGE_BYTES = 4_096


@pytest.fixture
def born(tmp_path) -> Path:
    """The file as LMDB writes it first, in a data directory with nothing else."""
    folder = tmp_path / "log"
    folder.mkdir()
    (tmp_path / "LOCK").touch()
    lmdb.open(str(folder), map_size=1 << 20, max_dbs=2).close()
    file = folder / "data.mdb"
    assert file.stat().st_size == 2 * PAGE_BYTES
    return file


def cut(file: Path, size_bytes: int) -> None:
    with file.open("r+b") as stream:
        stream.truncate(size_bytes)


@pytest.mark.parametrize("size_bytes", [0, META_BYTES, 512, PAGE_BYTES, 6_000, 2 * PAGE_BYTES])
def test_a_first_start_that_was_cut_off_begins_anew(tmp_path, born, size_bytes):
    cut(born, size_bytes)
    assert started(tmp_path).peer_id == "a"
    assert started(tmp_path).peer_id == "a"


@pytest.mark.parametrize(
    "name", ["state", "snapshots", "log/reserve", "log/data.mdb.failed-commit"]
)
def test_where_more_was_made_than_a_first_start_makes_it_is_refused(tmp_path, born, name):
    (tmp_path / name).touch()
    cut(born, PAGE_BYTES)
    with pytest.raises(CorruptData) as caught:
        started(tmp_path)
    assert any("first start" in hint for hint in caught.value.hints)
    assert born.stat().st_size == PAGE_BYTES, "it is left as it was"


@pytest.mark.parametrize("size_bytes", [META_BYTES, PAGE_BYTES, 6_000])
def test_a_log_that_was_cut_short_is_refused_whatever_else_is_missing(tmp_path, size_bytes):
    """It may have voted: its header alone is the second commit."""
    started(tmp_path)
    file = tmp_path / "log" / "data.mdb"
    cut(file, size_bytes)
    with pytest.raises(CorruptData):
        started(tmp_path)
    assert file.stat().st_size == size_bytes


def test_what_tells_of_no_commit_is_not_guessed(born):
    cut(born, META_BYTES - 1)
    assert not was_cut_off_at_birth(born)
    assert not was_cut_off_at_birth(born.parent / "missing")
    born.write_bytes(bytes(PAGE_BYTES))
    assert not was_cut_off_at_birth(born)
