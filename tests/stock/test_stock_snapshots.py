"""Snapshots: what unchanged PySyncObj 0.3.17 makes of a kill beside them, of an old one, and of the
first part of one. Ids in brackets are those of the audit. What ours does with the same is shown by
the tests that the page on divergence names.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from stock_group import SUCCESS, stock

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
"""PySyncObj leaves the file of term and vote open."""


# --- a kill between the snapshot and the cut of the journal [g2] -------------------------------


def test_stock_forgets_an_answered_write_when_killed_before_its_journal_is_cut(tmp_path):
    alive, killed = tmp_path / "alive", tmp_path / "killed"
    alive.mkdir()
    with stock("A", **_files(alive)) as group:
        group.time_out("A")
        count = 0
        while not (alive / "dump").exists():
            count += 1
            group.add("A", count)
            group.run("A", seconds=0.05)

        # The last one is in the journal; it is answered by the step that will cut the journal.
        last = group["A"]._SyncObj__raftLog[-1][1]
        group["A"]._SyncObj__commandsWaitingCommit[last].append(
            (group["A"].raftCurrentTerm, lambda *_: shutil.copytree(alive, killed))
        )
        group.run("A", seconds=0.05)
        assert killed.exists() and group["A"].values == list(range(1, count + 1))
        group["A"]._doDestroy()
        group._started.clear()

        group.start("A", **_files(killed))
        group.time_out("A")
        group.run("A", seconds=2)
        assert group["A"]._isLeader()
        assert group["A"].values == list(range(1, count)), "the answered one is gone"


# --- an older snapshot [g3] --------------------------------------------------------------------


def test_stock_goes_back_to_an_older_snapshot():
    with stock("ABC") as group:
        group.elect("A", "BC")
        older = _snapshot(group, value="first")
        answers = group.add("A", "second")
        group.run("ABC", seconds=0.5)
        assert answers == [(2, SUCCESS)] and group["B"].values == ["first", "second"]

        for part in older:
            _hear_part(group, part, sender="A", target="B")
        assert group["B"].values == ["first"], "an answered write is undone"


# --- the commit index beside a part of a snapshot [g6] -----------------------------------------


def test_stock_applies_its_own_lost_entry_when_a_snapshot_begins_to_arrive():
    with stock("ABC") as group:
        group.elect("A", "BC")
        group.run("ABC", seconds=0.5)
        group.isolate("A")
        answers = group.add("A", "lost")
        group.tick("A")
        group.drop("A", "B")
        group.drop("A", "C")
        group.elect("B", "C")
        for value in ("kept", "kept too"):
            group.add("B", value)
        group.run("BC", seconds=0.5)

        _hear_part(group, (b"the first part", True, False), sender="B", target="A")
        group.tick("A")
        assert group["A"].values == ["lost"] and answers == [(1, SUCCESS)]
        assert group["B"].values == ["kept", "kept too"]


def _files(folder: Path) -> dict[str, object]:
    return {
        "journalFile": str(folder / "journal"),
        "fullDumpFile": str(folder / "dump"),
        "logCompactionMinEntries": 10,
    }


def _hear_part(group, part, *, sender, target):
    leader = group[sender]
    group.hear(
        target,
        sender,
        type="append_entries",
        term=leader.raftCurrentTerm,
        commit_index=leader.raftCommitIndex,
        serialized=part,
    )


def _snapshot(group, *, value):
    """Its parts, the last of which says so; made by the leader A of a state with this value."""
    group.add("A", value)
    group.run("ABC", seconds=0.5)
    group["A"].forceLogCompaction()
    for _ in "made", "seen":
        group.tick("A")
    (node,) = [it for it in group["A"].otherNodes if it.id == "B"]
    parts: list[tuple[bytes, bool, bool]] = []
    while not parts or not parts[-1][2]:
        parts.append(group["A"]._SyncObj__serializer.getTransmissionData(node))
    return parts
