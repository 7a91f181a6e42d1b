from __future__ import annotations

import json
from pathlib import Path

import lmdb
import pytest
from cli_harness import Terminal
from data_dir_builders import (
    all_files,
    apply_to,
    records_of,
    turn_the_last_commit,
    with_store,
    write_data_dir,
)

from replicante.data_check import Question, Verdict, check_data_dir
from replicante.dir_lock import DirLock
from replicante.errors import CorruptData, DataDirInUse, NotFound
from replicante.limits import MIB
from replicante.raft.log import Base, WriteSet
from replicante.raft.log_store import LmdbLog


def verdicts(path: Path) -> dict[Question, Verdict]:
    return {it.question: it.verdict for it in check_data_dir(path)}


def detail(path: Path, question: Question) -> str:
    return next(it.detail for it in check_data_dir(path) if it.question is question)


def test_a_sound_directory_is_sound_in_every_question_and_stays_as_it_was(tmp_path):
    path = write_data_dir(tmp_path / "p1", records_of(), applied_count=4)
    before = all_files(path)
    assert verdicts(path) == dict.fromkeys(Question, Verdict.SOUND)
    assert detail(path, Question.REPLAY).startswith("4 entries after 4")
    assert all_files(path) == before


def test_an_entry_that_breaks_apply_is_named(tmp_path):
    records = records_of(last=b"\x93\x01\x02\x03")
    path = write_data_dir(tmp_path / "p1", records, applied_count=4)
    assert verdicts(path)[Question.REPLAY] is Verdict.BROKEN
    assert f"entry {records[-1].index} of term 1 cannot be applied" in detail(path, Question.REPLAY)
    assert verdicts(path)[Question.LOG] is Verdict.SOUND


def test_a_bit_that_turned_in_the_log_is_found_with_its_entry(tmp_path):
    records = records_of()
    path = write_data_dir(tmp_path / "p1", records, applied_count=4)
    environment = lmdb.open(str(path / "log"), max_dbs=2, map_size=64 * MIB)
    entries = environment.open_db(b"entries")
    with environment.begin(write=True) as txn:
        key = (5).to_bytes(8, "big")
        stored = bytearray(txn.get(key, db=entries))
        stored[-1] ^= 1
        txn.put(key, bytes(stored), db=entries)
    environment.close()
    found = verdicts(path)
    assert found[Question.LOG] is Verdict.BROKEN
    assert "entry 5" in detail(path, Question.LOG)
    assert found[Question.REPLAY] is found[Question.HISTORY] is Verdict.SKIPPED
    assert found[Question.INVARIANTS] is Verdict.SOUND


def test_a_row_that_changed_on_disk_belies_the_digest_and_the_history(tmp_path):
    path = write_data_dir(tmp_path / "p1", records_of(), applied_count=8)
    environment = lmdb.open(str(path / "state"), max_dbs=2, map_size=64 * MIB)
    rows = environment.open_db(b"rows")
    with environment.begin(write=True) as txn:
        row = bytearray(txn.get(b"\x10k3", db=rows))
        row[-1] ^= 1
        txn.put(b"\x10k3", bytes(row), db=rows)
    environment.close()
    found = verdicts(path)
    assert found[Question.DIGEST] is found[Question.HISTORY] is Verdict.BROKEN
    assert found[Question.INVARIANTS] is Verdict.SOUND, "the value is another, and a good one"


def test_a_write_that_apply_forgot_is_found_by_the_history_alone(tmp_path):
    records = records_of()
    path = write_data_dir(tmp_path / "p1", records, applied_count=7)

    def apply_without_one_row(store):
        put = store.put
        store.put = lambda key, value: None if key == b"\x10k5" else put(key, value)
        apply_to(store, records[7:])

    with_store(path, apply_without_one_row)
    found = verdicts(path)
    assert found[Question.DIGEST] is Verdict.SOUND, "it is of the rows as they are"
    assert found[Question.HISTORY] is Verdict.BROKEN
    assert "lead to" in detail(path, Question.HISTORY)


def test_broken_invariants_are_told(tmp_path):
    path = write_data_dir(tmp_path / "p1", records_of(), applied_count=8)

    environment = lmdb.open(str(path / "state"), max_dbs=2, map_size=64 * MIB)
    with environment.begin(write=True) as txn:
        txn.put(b"\x7f", b"", db=environment.open_db(b"rows", txn=txn))
    environment.close()
    assert "unknown table 7f" in detail(path, Question.INVARIANTS)
    assert verdicts(path)[Question.REPLAY] is Verdict.BROKEN, "what comes after is no better"


def test_a_log_that_was_trimmed_has_no_history_to_replay(tmp_path):
    records = records_of()
    path = write_data_dir(tmp_path / "p1", records, applied_count=8)
    kept = records[4]
    log = LmdbLog(path / "log", map_bytes=64 * MIB)
    base = Base(
        index=kept.index,
        term=kept.term,
        clock_ms=kept.clock_ms,
        chain=kept.chain,
        configuration_index=1,
        configuration=records[0].payload,
    )
    log.write(WriteSet(truncate_from=None, records=(), hard=None, base=base))
    log.close()
    found = verdicts(path)
    assert found[Question.HISTORY] is Verdict.SKIPPED
    assert found[Question.LOG] is found[Question.REPLAY] is Verdict.SOUND


def test_a_state_ahead_of_its_log_is_broken(tmp_path):
    records = records_of()
    path = write_data_dir(tmp_path / "p1", records, applied_count=8)
    log = LmdbLog(path / "log", map_bytes=64 * MIB)
    log.write(WriteSet(truncate_from=6, records=(), hard=None))
    log.close()
    assert "the state is as of entry 8" in detail(path, Question.LOG)


@pytest.mark.parametrize("part", ["log", "state"])
def test_damage_in_a_page_that_holds_no_row_is_told_and_does_not_end_the_check(tmp_path, part):
    path = write_data_dir(tmp_path / "p1", records_of(), applied_count=4)
    data = path / part / "data.mdb"
    content = bytearray(data.read_bytes())
    for page in range(8_192, len(content), 4_096):  # after those that tell the last commit
        if content[page + 10] == 0x02:  # a leaf
            content[page + 17] ^= 0x40  # where its first node lies
    data.write_bytes(content)
    with pytest.raises(CorruptData, match="is damaged"):
        check_data_dir(path)


@pytest.mark.parametrize("part", ["log", "state"])
def test_damage_that_would_open_the_commit_before_the_last_one_is_told(tmp_path, part):
    path = write_data_dir(tmp_path / "p1", records_of(), applied_count=4)
    turn_the_last_commit(path / part / "data.mdb")
    with pytest.raises(CorruptData, match=r"is damaged: .*commit"):
        check_data_dir(path)


def test_a_directory_in_use_is_refused(tmp_path):
    path = write_data_dir(tmp_path / "p1", records_of(), applied_count=4)
    lock = DirLock.acquire(path)
    with pytest.raises(DataDirInUse):
        check_data_dir(path)
    lock.release()


def test_another_directory_is_refused_and_nothing_is_made_in_it(tmp_path):
    with pytest.raises(NotFound):
        check_data_dir(tmp_path)
    assert list(tmp_path.iterdir()) == []
    unborn = write_data_dir(tmp_path / "p1", records_of(), applied_count=0, cluster_id="")
    with pytest.raises(NotFound):
        check_data_dir(unborn)


def test_the_command_ends_with_0_and_with_1(tmp_path, capsys):
    terminal = Terminal(capsys)
    sound = write_data_dir(tmp_path / "p1", records_of(), applied_count=4)
    said = terminal.run("check", str(sound))
    assert said.code == 0
    assert said.out.count("sound: ") == len(Question)
    broken = write_data_dir(tmp_path / "p2", records_of(last=b"\xc0"), applied_count=4)
    said = terminal.run("check", str(broken), "-o", "json", "--scratch", str(tmp_path))
    assert said.code == 1
    assert {it["question"]: it["verdict"] for it in json.loads(said.out)}["replay"] == "broken"
    assert terminal.run("check", str(tmp_path / "nothing")).code == 3
