"""A disk that fails while a peer starts is told as such, and is no defect of this program."""

from __future__ import annotations

import errno
import os

import pytest

from replicante.errors import DiskFull, FatalError
from replicante.limits import LOG_MAP_BYTES_DEFAULT
from replicante.raft.log_store import LmdbLog
from replicante.raft.snapshot_files import FolderShelf


def failing(monkeypatch, number: int) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize(("number", "told"), [(errno.EIO, FatalError), (errno.ENOSPC, DiskFull)])
def test_a_folder_whose_name_cannot_be_kept(tmp_path, monkeypatch, number, told):
    failing(monkeypatch, number)
    with pytest.raises(told, match=str(tmp_path)):
        FolderShelf(tmp_path)


@pytest.mark.parametrize(("number", "told"), [(errno.EIO, FatalError), (errno.ENOSPC, DiskFull)])
def test_a_log_whose_name_cannot_be_kept(tmp_path, monkeypatch, number, told):
    failing(monkeypatch, number)
    with pytest.raises(told, match=str(tmp_path)):
        LmdbLog(tmp_path / "log", map_bytes=LOG_MAP_BYTES_DEFAULT)
