"""`replicante recover restore`: what it refuses, and that it then leaves nothing behind."""

from __future__ import annotations

import pytest

from replicante.cli.exits import Exit
from replicante.cli.root import execute


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (["p1=127.0.0.1:1", "p1=127.0.0.1:2"], "named twice"),
        (["p1"], "p1"),
        ([], "ID=HOST:PORT"),
    ],
)
def test_members_are_named_once_with_an_address(tmp_path, capsys, members, said):
    out = tmp_path / "new"
    arguments = ["recover", "restore", str(tmp_path), "--into", str(out), *members]
    assert execute(arguments) == Exit.USAGE
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_that_is_no_backup_is_refused(tmp_path, capsys):
    out = tmp_path / "new"
    arguments = ["recover", "restore", str(tmp_path), "--into", str(out), "p1=127.0.0.1:1"]
    assert execute(arguments) == Exit.FAILED
    assert "it has no manifest.json" in capsys.readouterr().err
    assert not out.exists()
