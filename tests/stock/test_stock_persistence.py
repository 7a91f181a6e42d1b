"""What is on disk: what unchanged PySyncObj 0.3.17 makes of a power cut, and what ours does.
Ids in brackets are those of the audit.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import lmdb
import pytest
from our_group import OurGroup, ready_group
from pysyncobj import journal as upstream_journal
from pysyncobj.journal import FileJournal
from stock_group import StockTime, stock

from replicante.errors import CorruptData
from replicante.raft import driver as d
from replicante.raft import log_store
from replicante.raft import messages as m
from replicante.raft.log import Base, HardState, WriteSet
from replicante.raft.log_store import LmdbLog
from replicante.raft.membership import genesis_payload
from replicante.raft.records import CHAIN_ZERO, encode_record, make_record
from replicante.raft.state_machine import EntryKind

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
"""PySyncObj leaves the file of term and vote open."""

VOTE = {"type": "request_vote", "term": 1, "last_log_index": 1, "last_log_term": 0}


# --- the vote after a power cut [a3] ----------------------------------------------------------


def test_stock_votes_twice_in_a_term_when_its_file_came_back_empty(tmp_path):
    path = tmp_path / "B.journal"
    with stock("ABC") as group:
        group.start("B", journalFile=str(path))
        group.hear("B", "A", **VOTE)
        assert len(group.drop("B", "A")) == 1

        Path(f"{path}.meta").write_bytes(b"")  # renamed, never synced: this is what is left
        group.start("B", journalFile=str(path))
        group.hear("B", "C", **VOTE)
        assert group.links["B", "C"][0]["term"] == 1, "the second vote of term 1"


def test_ours_does_not_start_when_term_and_vote_are_damaged(tmp_path):
    store = _born_log(tmp_path)
    voted = HardState(term=1, voted_for="A/a", boot=1)
    store.write(WriteSet(truncate_from=None, records=(), hard=voted))
    loaded = store.load()
    assert loaded is not None and asdict(loaded.hard) == asdict(voted)
    store.close()
    _damage(tmp_path, database=b"meta", key=b"hard")
    store = LmdbLog(tmp_path, map_bytes=1 << 24)
    with pytest.raises(CorruptData, match="checksum"):
        store.load()
    store.close()


# --- what is synced before it is promised [b1] ------------------------------------------------


def test_stock_syncs_nothing(tmp_path, monkeypatch):
    syncs = []
    monkeypatch.setattr(os, "fsync", syncs.append)
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    monkeypatch.setattr(upstream_journal.ResizableFile, "flush", syncs.append)
    with stock("ABC") as group:
        group.start("A", journalFile=str(tmp_path / "A.journal"))
        group.elect("A", "B")
        answers = [group.add("A", i) for i in range(100)]
        group.run("ABC", seconds=3)
        assert all(answers) and group["A"].raftCurrentTerm == 1
        assert syncs == []


def test_ours_writes_a_vote_before_it_sends_it():
    group = OurGroup("ABC")
    driver = group["B"].driver
    request = m.VoteRequest(term=1, last_index=1, last_term=0)
    effects = driver.step([d.Received(group.key("A"), request)], now_ms=100_000, wall_ms=0)
    assert effects.early == []
    assert [message for _, message in effects.late] == [m.VoteReply(term=1, is_granted=True)]
    hard = driver.log.take_writes().hard
    assert hard is not None and (hard.term, hard.voted_for) == (1, group.key("A"))


def test_ours_syncs_every_write_of_the_log(tmp_path):
    """LMDB syncs data and meta page of each transaction unless one of these is switched off."""
    store = _born_log(tmp_path)
    flags = store._env.flags()
    assert flags["sync"] and flags["metasync"] and not flags["writemap"]
    store.close()


# --- a flipped bit [b6] -----------------------------------------------------------------------


def test_stock_replays_a_damaged_command(tmp_path):
    path = tmp_path / "journal"
    journal = FileJournal(str(path))
    journal.add(b"\x00 pay 100", 2, 1)
    journal._destroy()
    stored = path.read_bytes()
    path.write_bytes(stored.replace(b"pay 100", b"pay 900"))
    again = FileJournal(str(path))
    assert again[0] == (b"\x00 pay 900", 2, 1)
    again._destroy()


def test_ours_refuses_a_damaged_entry_and_names_it(tmp_path):
    _born_log(tmp_path).close()
    _damage(tmp_path, database=b"entries", key=(1).to_bytes(8, "big"))
    store = LmdbLog(tmp_path, map_bytes=1 << 24)
    with pytest.raises(CorruptData, match="entry 1 "):
        store.load()
    store.close()


# --- the head of the journal is cut [b2, g4]; ours cuts none yet ------------------------------


def test_stock_a_kill_while_the_journal_is_cut_leaves_a_part_of_it(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    journal = FileJournal(str(path))
    for index in range(2_000):
        journal.add(b"\x00 command", index, 1)

    def killed(self, command, index, term):
        if index == 799:
            raise KeyboardInterrupt
        add(self, command, index, term)

    add = FileJournal.add
    monkeypatch.setattr(FileJournal, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        journal.deleteEntriesTo(500)
    journal._destroy()
    again = FileJournal(str(path))
    assert len(again) == 299, "of 1,500 that were to stay"
    again._destroy()


def test_ours_a_kill_while_the_log_is_cut_leaves_all_of_it_or_what_was_to_stay(
    tmp_path, monkeypatch
):
    store = _born_log(tmp_path)
    (record,) = store.read(1, 2)
    records = []
    for index in range(2, 42):
        record = make_record(
            index=index,
            term=1,
            kind=EntryKind.COMMANDS,
            clock_ms=0,
            wall_ms=0,
            payload=b"command",
            chain_before=record.chain,
        )
        records.append((index, encode_record(record)))
    store.write(WriteSet(truncate_from=None, records=tuple(records), hard=HardState(term=1)))
    base = Base(
        index=20,
        term=1,
        clock_ms=0,
        chain=store.read(20, 21)[0].chain,
        configuration_index=1,
        configuration=b"",
    )
    trim = WriteSet(truncate_from=None, records=(), hard=None, base=base)
    real = log_store.delete_below

    def killed(txn, table, key):
        real(txn, table, min(key, (10).to_bytes(8, "big")))
        if key < (10).to_bytes(8, "big"):
            return
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(log_store, "delete_below", killed)
        with pytest.raises(KeyboardInterrupt):
            store.write(trim)
    store.close()
    store = LmdbLog(tmp_path, map_bytes=1 << 24)
    assert [it.index for it in store.read(1, 42)] == list(range(1, 42))
    store.write(trim)
    store.close()
    again = LmdbLog(tmp_path, map_bytes=1 << 24)
    assert [it.index for it in again.verified()] == list(range(20, 42))
    again.close()


def test_stock_forgets_everything_at_the_first_compaction_of_a_journal_alone(tmp_path):
    conf = {"journalFile": str(tmp_path / "A.journal"), "logCompactionMinEntries": 10}
    with stock("A", **conf) as group:
        group.time_out("A")
        for number in range(30):
            group.add("A", number)
        group.run("A", seconds=2)
        assert group["A"].values == list(range(30))
        group["A"]._doDestroy()
        group._started.clear()

        group.start("A", **conf)
        group.time_out("A")
        group.run("A", seconds=2)
        assert group["A"]._isLeader()
        assert group["A"].values == []


# --- a damaged snapshot [g1] ------------------------------------------------------------------


def test_stock_leads_without_its_state_when_its_snapshot_is_damaged(tmp_path):
    dump = tmp_path / "A.dump"
    conf = {
        "journalFile": str(tmp_path / "A.journal"),
        "fullDumpFile": str(dump),
        "logCompactionMinEntries": 10,
    }
    with stock("A", **conf) as group:
        group.time_out("A")
        for number in range(30):
            group.add("A", number)
        group.run("A", seconds=2)
        assert group["A"].values == list(range(30)) and dump.exists()
        group["A"]._doDestroy()
        group._started.clear()

        dump.write_bytes(dump.read_bytes()[:20])
        group.start("A", **conf)
        group.time_out("A")
        answers = group.add("A", "new")
        group.run("A", seconds=2)
        assert group["A"]._isLeader()
        assert group["A"].values == []
        assert answers == [], "and it never applies anything again"


# --- a commit index that the log does not reach [g5] ------------------------------------------


def test_stock_applies_what_was_never_committed(tmp_path):
    path = tmp_path / "B.journal"
    journal = FileJournal(str(path))
    journal.add(b"\x01", 1, 0)
    journal.add(b"\x01", 2, 1)
    journal.setRaftCommitIndex(5)  # stored each second; the entries up to 5 were not synced
    journal.onOneSecondTimer()
    journal._destroy()
    with stock("ABC") as group:
        group.start("B", journalFile=str(path))
        group.elect("A", "C")
        group.run("AC", seconds=0.2)
        group.add("A", "never committed")
        group.drop("A", "B")
        group.tick("A")
        StockTime.now_s += 0.2
        group.tick("A")
        [append] = group.drop("A", "B")
        append |= {"prevLogIdx": 2, "prevLogTerm": 1}
        assert append["commit_index"] == 2
        group.hear("B", "A", **append)
        group.tick("B")
        assert group["B"].values == ["never committed"]
        assert group["A"].raftCommitIndex == 2


def test_ours_learns_the_commit_index_again():
    group = ready_group("ABC")
    group.propose("A", "x")
    group.run("ABC", ms=300)
    assert group["B"].values == ["x"]
    before = group.start("B")
    assert before.engine.commit_index == 1
    assert before.values == []
    group.run("ABC", ms=300)
    assert group["B"].values == ["x"]


def _born_log(folder: Path) -> LmdbLog:
    store = LmdbLog(folder, map_bytes=1 << 24)
    genesis = make_record(
        index=1,
        term=0,
        kind=EntryKind.GENESIS,
        clock_ms=0,
        wall_ms=0,
        payload=genesis_payload(cluster_name="demo", voters=()),
        chain_before=CHAIN_ZERO,
    )
    record = (genesis.index, encode_record(genesis))
    store.write(WriteSet(truncate_from=None, records=(record,), hard=None))
    return store


def _damage(folder: Path, *, database: bytes, key: bytes) -> None:
    """One bit of one stored row is another."""
    with lmdb.open(str(folder), map_size=1 << 24, max_dbs=2) as env:
        rows = env.open_db(database)
        with env.begin(write=True, db=rows) as txn:
            stored = bytearray(txn.get(key))
            stored[-1] ^= 1
            txn.put(key, bytes(stored))
