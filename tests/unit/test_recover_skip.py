"""`replicante recover skip`: an entry that no peer can apply is a no-op, everywhere the same."""

from __future__ import annotations

import json

import pytest
from cli_harness import Terminal
from data_dir_builders import all_files, more, records_of, with_members, write_data_dir
from raft_builders import record_after

from replicante.cli.exits import Exit
from replicante.data_check import Question, Verdict, check_data_dir
from replicante.dir_lock import DirLock
from replicante.limits import MIB
from replicante.raft.log_store import LmdbLog
from replicante.raft.state_machine import EntryKind

NAMES = ("p1", "p2", "p3")
BROKEN = b"\xc0"


@pytest.fixture
def terminal(capsys):
    return Terminal(capsys)


def broken_records():
    """Two entries follow the one that breaks."""
    return more(records_of(names=NAMES, last=BROKEN), term=2, count=2)


INDEX = 9


def group(tmp_path, records=None, names=NAMES, applied_count=4):
    records = records or broken_records()
    return [
        write_data_dir(tmp_path / name, records, peer_id=name, applied_count=applied_count)
        for name in names
    ]


def skip(terminal, *paths, index=INDEX, reason="poison", output="table"):
    arguments = ["recover", "skip", str(index), "--reason", reason, "-o", output]
    return terminal.run(*arguments, *map(str, paths))


def records_in(path):
    log = LmdbLog(path / "log", map_bytes=64 * MIB)
    try:
        return list(log.verified())
    finally:
        log.close()


def verdicts(path) -> dict[Question, Verdict]:
    return {it.question: it.verdict for it in check_data_dir(path)}


def test_it_is_a_no_op_in_every_log_and_all_that_follows_stays(tmp_path, terminal):
    paths = group(tmp_path)
    before = records_in(paths[0])
    assert verdicts(paths[0])[Question.REPLAY] is Verdict.BROKEN
    said = skip(terminal, *paths, output="json")
    assert said.code == Exit.OK
    told = json.loads(said.out)
    assert {it["fate"] for it in told["directories"]} == {"skipped"} and told["untreated"] == []
    after = [records_in(path) for path in paths]
    assert after[0] == after[1] == after[2], "the chain was proved by reading it"
    assert {it["chain"] for it in told["directories"]} == {after[0][-1].chain.hex()}
    skipped = after[0][INDEX - 1]
    assert skipped.kind is EntryKind.SKIPPED
    assert skipped.header().detail == {"chain": before[INDEX - 1].chain.hex(), "reason": "poison"}
    kept = [it for it in after[0] if it.index != INDEX]
    assert [(it.index, it.term, it.payload) for it in kept] == [
        (it.index, it.term, it.payload) for it in before if it.index != INDEX
    ]
    assert set(verdicts(paths[0]).values()) == {Verdict.SOUND}


def test_directories_on_other_machines_get_the_same_by_the_same_words(tmp_path, terminal):
    first, second, third = group(tmp_path)
    said = skip(terminal, first)
    assert "p2, p3" in said.out, "whose directories are still to be treated"
    skip(terminal, second, third)
    assert records_in(first) == records_in(second) == records_in(third)


def test_a_second_call_finds_it_done_and_other_words_are_refused(tmp_path, terminal):
    paths = group(tmp_path)
    skip(terminal, paths[0])  # and a crash before the others
    before = records_in(paths[0])
    assert skip(terminal, *paths).code == Exit.OK
    assert [records_in(path) for path in paths] == [before] * 3
    said = skip(terminal, *paths, reason="something else")
    assert said.code == Exit.OK, "nothing is left to be done"
    fresh = group(tmp_path / "again")
    said = skip(terminal, paths[0], fresh[1], reason="something else")
    assert said.code == Exit.CONFLICT and "another reason" in said.err
    assert records_in(fresh[1])[INDEX - 1].kind is EntryKind.COMMANDS


def test_a_log_that_ends_before_is_left_as_it_is(tmp_path, terminal):
    full = group(tmp_path, names=("p1", "p2"))
    (behind,) = group(tmp_path, broken_records()[: INDEX - 2], names=("p3",))
    before = all_files(behind)
    assert skip(terminal, *full, behind).code == Exit.OK
    assert all_files(behind) == before


@pytest.mark.parametrize(
    ("index", "said"),
    [(7, "can be applied"), (1, "has applied"), (12, "is CONFIGURATION"), (99, "no directory has")],
)
def test_only_commands_that_break_are_skipped(tmp_path, terminal, index, said):
    paths = group(tmp_path, with_members(broken_records(), NAMES[:2], term=2))
    before = [all_files(path) for path in paths]
    answer = skip(terminal, *paths, index=index)
    assert answer.code == Exit.CONFLICT and said in answer.err
    assert [all_files(path) for path in paths] == before


def test_what_one_peer_has_applied_is_skipped_nowhere(tmp_path, terminal):
    """There the entry did not break: its state is the one that the others have to reach."""
    good = records_of(names=NAMES, puts_count=9)
    paths = group(tmp_path, good, names=("p1", "p2"))
    paths += group(tmp_path, good, names=("p3",), applied_count=INDEX)
    answer = skip(terminal, *paths)
    assert answer.code == Exit.CONFLICT and "p3 has applied" in answer.err


def test_another_entry_in_the_same_place_is_told(tmp_path, terminal):
    paths = group(tmp_path, names=("p1", "p2"))
    other = records_of(names=NAMES, last=b"\xc1")
    paths += group(tmp_path, other, names=("p3",))
    answer = skip(terminal, *paths)
    assert answer.code == Exit.CONFLICT and "do not have the same entry" in answer.err
    assert records_in(paths[0])[INDEX - 1].kind is EntryKind.COMMANDS


def test_nothing_is_treated_while_one_of_them_runs(tmp_path, terminal):
    paths = group(tmp_path)
    lock = DirLock.acquire(paths[2])
    assert skip(terminal, *paths).code == Exit.FAILED
    lock.release()
    assert records_in(paths[0])[INDEX - 1].kind is EntryKind.COMMANDS


def test_a_second_copy_of_the_command_is_named(tmp_path, terminal):
    """A proposer sends its command to each new leader, and each of them stopped."""
    records = broken_records()
    again = record_after(records[-1], term=3, payload=records[INDEX - 1].payload)
    paths = group(tmp_path, [*records, again])
    said = skip(terminal, *paths)
    assert said.code == Exit.FAILED and f"Entry {again.index} breaks too" in said.out
    assert skip(terminal, *paths, index=again.index).code == Exit.OK
    assert set(verdicts(paths[0]).values()) == {Verdict.SOUND}
