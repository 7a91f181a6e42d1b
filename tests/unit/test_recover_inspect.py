"""What is told of the directories that are left, and which of them to go on with."""

from __future__ import annotations

import dataclasses
import json

import lmdb
import pytest
from cli_harness import Terminal
from data_dir_builders import (
    all_files,
    more,
    records_of,
    turn_the_last_commit,
    with_members,
    write_data_dir,
)

from replicante.dir_lock import DirLock
from replicante.errors import CorruptData, DataDirInUse, NotFound
from replicante.limits import MIB
from replicante.raft.inspecting import inspect_directories
from replicante.raft.log import Base, HardState
from replicante.raft.log_store import LmdbLog
from replicante.raft.records import make_record
from replicante.raft.state_machine import EntryKind
from replicante.raft.survivors import Standing, Way, advise, rank
from replicante.state_file import state_index

NAMES = ("p1", "p2", "p3")


def inspected(*folders):
    return rank(inspect_directories(folders, state_index))


def way(*folders) -> Way:
    return advise(inspected(*folders)).way


def directory(tmp_path, peer_id, records, **fields):
    fields.setdefault("applied_count", 4)
    return write_data_dir(tmp_path / peer_id, records, peer_id=peer_id, **fields)


def turn_a_bit(path, index):
    environment = lmdb.open(str(path / "log"), max_dbs=2, map_size=64 * MIB)
    entries = environment.open_db(b"entries")
    with environment.begin(write=True) as txn:
        stored = bytearray(txn.get(index.to_bytes(8, "big"), db=entries))
        stored[-1] ^= 1
        txn.put(index.to_bytes(8, "big"), bytes(stored), db=entries)
    environment.close()


def test_a_directory_tells_everything_that_it_holds_and_stays_as_it_was(tmp_path):
    records = more(records_of(names=NAMES), term=3)
    hard = HardState(term=5, voted_for="p2/p2-disk", boot=7)
    path = directory(tmp_path, "p1", records, hard=hard)
    before = all_files(path)
    (found,) = inspected(path)
    assert (found.term, found.voted_for, found.boot) == (5, "p2/p2-disk", 7)
    assert (found.peer_id, found.incarnation, found.generation) == ("p1", "p1-disk", 0)
    assert (found.first_index, found.last_index, found.last_term) == (1, records[-1].index, 3)
    assert found.chain == records[-1].chain.hex()
    assert (found.configuration_index, found.standing) == (1, Standing.VOTER)
    assert [it.peer_id for it in found.voters] == list(NAMES)
    assert found.state_index == found.committed_index == 4
    assert found.is_sound and not found.unfinished
    assert all_files(path) == before


def test_the_term_of_the_last_entry_counts_before_the_length(tmp_path):
    long = directory(tmp_path, "p1", more(records_of(names=NAMES), term=1, count=9))
    newer = directory(tmp_path, "p2", more(records_of(names=NAMES), term=2))
    newest = directory(tmp_path, "p3", more(records_of(names=NAMES), term=2, count=2))
    assert [it.peer_id for it in inspected(long, newer, newest)] == ["p3", "p2", "p1"]


def test_a_majority_is_started_and_loses_nothing(tmp_path):
    records = records_of(names=NAMES)
    first, second = (directory(tmp_path, name, records) for name in NAMES[:2])
    advice = advise(inspected(first, second))
    assert advice.way is Way.START
    assert advice.use == (str(first), str(second)) and advice.missing == ("p3",)


def test_one_of_three_may_lack_what_the_two_others_acknowledged(tmp_path):
    path = directory(tmp_path, "p1", records_of(names=NAMES))
    advice = advise(inspected(path))
    assert advice.way is Way.FORCE and advice.use == (str(path),)
    assert any("p2, p3" in said and "is lost" in said for said in advice.said)


FOUR = ("p1", "p2", "p3", "p4")


def test_half_of_four_have_whatever_was_acknowledged_when_the_last_leader_is_one_of_them(tmp_path):
    records = records_of(names=FOUR)
    behind = directory(tmp_path, "p1", records, hard=HardState(term=1, voted_for="p2/p2-disk"))
    best = directory(tmp_path, "p2", more(records, term=1))
    advice = advise(inspected(behind, best))
    assert advice.way is Way.FORCE_WITHOUT_LOSS and advice.use == (str(best),)


def test_half_of_four_may_lack_what_the_others_did_after_a_change_that_only_they_know(tmp_path):
    """p3 led, removed p1, and p2 heard none of it: then p3 and p4 are two of three voters."""
    records = records_of(names=FOUR)
    voter = directory(tmp_path, "p1", records, hard=HardState(term=1, voted_for="p3/p3-disk"))
    best = directory(tmp_path, "p2", more(records, term=1))
    advice = advise(inspected(voter, best))
    assert advice.way is Way.FORCE and advice.use == (str(best),)
    assert any("p3, p4" in said and "changed the members" in said for said in advice.said)


def test_half_of_four_may_lack_what_a_leader_did_that_they_made_and_never_heard(tmp_path):
    """Who led in term 2 needed a vote from here, and nobody here has an entry of it."""
    records = records_of(names=FOUR)
    first = directory(tmp_path, "p1", records, hard=HardState(term=2, voted_for="p2/p2-disk"))
    second = directory(tmp_path, "p2", records, hard=HardState(term=2, voted_for="p2/p2-disk"))
    assert way(first, second) is Way.FORCE


def test_a_change_of_members_that_may_not_have_counted_yet_promises_less(tmp_path):
    """Of two voters one is half: enough for everything that was acknowledged. If the third one was
    never counted as removed, it is not."""
    before = records_of(names=NAMES)
    after = with_members(before, NAMES[:2])
    led = {"records": more(after, term=2), "hard": HardState(term=2, voted_for="p1/p1-disk")}
    path = directory(tmp_path, "p1", applied_count=len(before), **led)
    assert way(path) is Way.FORCE
    committed = directory(tmp_path / "later", "p1", applied_count=len(after), **led)
    assert way(committed) is Way.FORCE_WITHOUT_LOSS


def test_a_voter_that_came_in_the_last_term_did_not_choose_its_leader(tmp_path):
    """p2 led, and was one of two that could vote for it."""
    before = records_of(names=("p2",))
    after = with_members(before, ("p1", "p2"))
    path = directory(tmp_path, "p1", after, applied_count=len(after))
    assert way(path) is Way.FORCE


def test_who_cannot_tell_who_chose_the_last_leader_promises_less(tmp_path):
    path = directory(tmp_path, "p1", records_of(names=("p1", "p2")))
    (found,) = inspected(path)
    assert [it.peer_id for it in found.electors] == ["p1", "p2"]
    assert advise([found]).way is Way.FORCE_WITHOUT_LOSS
    assert advise([dataclasses.replace(found, electors=())]).way is Way.FORCE


def test_a_turned_bit_is_told_with_its_entry_and_the_directory_counts_as_lost(tmp_path):
    records = records_of(names=NAMES)
    broken, sound = (directory(tmp_path, name, records) for name in NAMES[:2])
    turn_a_bit(broken, 6)
    ranked = inspected(broken, sound)
    assert [it.peer_id for it in ranked] == ["p2", "p1"]
    assert "entry 6" in ranked[1].log_fault and ranked[1].last_index == 5
    assert advise(ranked).way is Way.FORCE
    assert way(broken) is Way.RESTORE


def test_damage_that_would_open_the_commit_before_the_last_one_is_told(tmp_path):
    """Of a state it is told with the rest; a log without its end may not be read on from."""
    path = directory(tmp_path, "p1", records_of(names=NAMES))
    turn_the_last_commit(path / "state" / "data.mdb")
    (found,) = inspected(path)
    assert "is damaged" in found.state_fault and "commit" in found.state_fault
    turn_the_last_commit(path / "log" / "data.mdb")
    with pytest.raises(CorruptData, match=r"is damaged: .*commit"):
        inspected(path)


def test_a_state_that_does_not_fit_its_log_is_told(tmp_path):
    path = directory(tmp_path, "p1", records_of(), applied_count=8)
    log = LmdbLog(path / "log", map_bytes=64 * MIB)
    log._transact({}, 6, ())
    log.close()
    (found,) = inspected(path)
    assert "the log ends at 5" in found.state_fault and not found.log_fault
    assert way(path) is Way.RESTORE


def test_who_is_of_an_older_generation_is_left_out_however_long_its_log_is(tmp_path):
    records = records_of(names=NAMES)
    old = directory(tmp_path, "p1", more(records, term=9, count=9))
    also_old = directory(tmp_path, "p2", more(records, term=9, count=9))
    new = directory(tmp_path, "p3", records, generation=1)
    advice = advise(inspected(old, also_old, new))
    assert advice.use == (str(new),) and advice.way is Way.FORCE
    assert sum("generation 0" in said for said in advice.said) == 2


def test_two_copies_of_one_directory_are_no_majority(tmp_path):
    records = records_of(names=NAMES)
    original = directory(tmp_path, "p1", records)
    copy = directory(tmp_path / "copy", "p1", records)
    advice = advise(inspected(original, copy))
    assert advice.way is Way.FORCE
    assert any("copies" in said for said in advice.said)


def test_a_removed_peer_is_no_member_of_what_it_knows(tmp_path):
    after = with_members(records_of(names=NAMES), NAMES[:2])
    path = directory(tmp_path, "p3", after, applied_count=len(after))
    (found,) = inspected(path)
    assert found.standing is Standing.NO_MEMBER
    assert way(path) is Way.FORCE


def test_an_installation_that_a_crash_cut_counts_as_its_next_start_will_end_it(tmp_path):
    records = records_of(names=NAMES)
    path = directory(tmp_path, "p1", records)
    ahead = make_record(
        index=20,
        term=4,
        kind=EntryKind.COMMANDS,
        clock_ms=0,
        wall_ms=0,
        payload=b"\x90",
        chain_before=bytes(16),
    )
    base = Base(
        index=20,
        term=4,
        clock_ms=0,
        chain=ahead.chain,
        configuration_index=1,
        configuration=records[0].payload,
    )
    log = LmdbLog(path / "log", map_bytes=64 * MIB)
    log.write_marker(base)
    log.close()
    (found,) = rank(inspect_directories([path], lambda _: 4))
    assert found.last_index == records[-1].index, "the state did not jump: it is undone"
    (found,) = rank(inspect_directories([path], lambda _: 20))
    assert (found.first_index, found.last_index, found.last_term) == (20, 20, 4)
    assert found.is_sound and "installed" in found.unfinished
    assert found.electors == (), "the log begins within its last term"


def test_a_directory_in_use_is_refused(tmp_path):
    path = directory(tmp_path, "p1", records_of())
    lock = DirLock.acquire(path)
    with pytest.raises(DataDirInUse):
        inspected(path)
    lock.release()


def test_what_is_no_directory_of_this_cluster_is_refused_and_nothing_is_made_in_it(tmp_path):
    with pytest.raises(NotFound, match="no log"):
        inspected(tmp_path)
    assert list(tmp_path.iterdir()) == []
    unborn = directory(tmp_path, "p1", records_of(), applied_count=0, cluster_id="")
    with pytest.raises(NotFound, match="never was"):
        inspected(unborn)
    ours = directory(tmp_path, "p2", records_of(names=NAMES))
    theirs = directory(tmp_path, "p3", records_of(names=("p3",)))
    with pytest.raises(NotFound, match="different clusters"):
        inspected(ours, theirs)


def test_the_command_tells_it_to_people_and_to_programs(tmp_path, capsys):
    terminal = Terminal(capsys)
    records = records_of(names=NAMES)
    best = directory(tmp_path, "p1", more(records, term=2))
    other = directory(tmp_path, "p2", records)
    said = terminal.run("recover", "inspect", str(other), str(best))
    assert said.code == 0
    assert said.out.index(f"1. {best}") < said.out.index(f"2. {other}")
    assert "nothing that was acknowledged is lost" in " ".join(said.out.split())
    said = terminal.run("recover", "inspect", str(other), "-o", "json")
    assert said.code == 1
    told = json.loads(said.out)
    assert told["advice"]["way"] == "force"
    assert told["directories"][0]["last_index"] == records[-1].index
    assert terminal.run("recover", "inspect", str(tmp_path / "nothing")).code == 3
