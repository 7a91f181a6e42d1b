"""Run with failing_meta_write.c loaded: a log and a state whose last commit fails at its meta page.

Arguments: `log` or `state`, a folder, an errno. Prints what is there afterwards, and what the file
is like at a start that nobody left a note for.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import lmdb

from replicante.errors import DiskFull, FatalError
from replicante.limits import MIB
from replicante.lmdb_commits import find_commit_damage
from replicante.raft.log import HardState, WriteSet
from replicante.raft.log_store import LmdbLog
from replicante.storage.lmdb_environment import LmdbEnvironment, NoRoom

COMMITS = 5


def main(part: str, folder: Path, number: int) -> None:
    (of_log if part == "log" else of_state)(folder, number)
    _note(folder).unlink()
    print("without a note:", find_commit_damage(folder / "data.mdb") is not None)


def of_log(folder: Path, number: int) -> None:
    log = LmdbLog(folder, map_bytes=MIB)
    for term in range(1, COMMITS + 1):
        log.write(WriteSet(None, (), HardState(term=term)))
    _arm(number)
    try:
        log.write(WriteSet(None, (), HardState(term=COMMITS + 1)))
    except (DiskFull, FatalError) as error:
        print("failed:", type(error).__name__)
    log.close()
    log = LmdbLog(folder, map_bytes=MIB)
    print("holds:", log.hard_state().term)
    log.close()


def of_state(folder: Path, number: int) -> None:
    state = LmdbEnvironment(folder, map_bytes=16 * MIB, identity=b"me")
    for index in range(1, COMMITS + 1):
        state.write(lambda rows: rows.put_many([(b"key", bytes(3_000))]), applied_index=index)
    _arm(number)
    try:
        state.write(lambda rows: rows.put_many([(b"key", b"new")]), applied_index=COMMITS + 1)
    except NoRoom:
        print("failed: DiskFull")
        _note(folder).unlink()  # a disk without room may not have taken it
        state.reopen()
        _note(folder).touch()
    except lmdb.Error:
        print("failed: FatalError")
        state.close()
        state = LmdbEnvironment(folder, map_bytes=16 * MIB, identity=b"me")
    print("holds:", state.header.applied_index)
    state.close()


def _note(folder: Path) -> Path:
    return folder / "data.mdb.failed-commit"


def _arm(number: int) -> None:
    Path(os.environ["ARM"]).write_text(str(number), "ascii")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), getattr(errno, sys.argv[3]))
