"""`replicante recover force`: its price, and what the new generation begins with."""

from __future__ import annotations

import pytest
from cli_harness import Terminal
from data_dir_builders import all_files, more, records_of, write_data_dir

from replicante.cli.exits import Exit
from replicante.ids import generation_of, make_index, stamp_index
from replicante.limits import MIB
from replicante.raft.log_store import LmdbLog
from replicante.raft.restoring import finish_restoring
from replicante.state.digest import row_hash
from replicante.state.eventlog import read_event
from replicante.state.machine import ReplicatedState
from replicante.state.tables import EVENTS, kv_key, kv_value
from replicante.storage.keys import prefix_range
from replicante.storage.lmdb_store import LmdbStore, state_identity

NAMES = ("p1", "p2", "p3")
MEMBERS = ("p1=127.0.0.1:1", "p4=127.0.0.1:4")


@pytest.fixture
def survivor(tmp_path):
    """Its state lacks what the log has, its last entry was never committed."""
    records = more(records_of(names=NAMES), term=3)
    return write_data_dir(tmp_path / "p1", records, applied_count=4)


@pytest.fixture
def terminal(capsys):
    return Terminal(capsys)


def arguments(survivor, *more_options, members=MEMBERS, reason="the others burnt"):
    options = ["--from", str(survivor), "--into", str(survivor.parent / "new")]
    return ["recover", "force", *options, "--reason", reason, *more_options, *members]


def test_without_the_flag_it_tells_the_price_and_does_nothing(survivor, terminal):
    said = terminal.run(*arguments(survivor))
    assert said.code == Exit.CONFLICT
    assert "reached only them is lost" in said.err and "--accept-data-loss" in said.err
    assert not (survivor.parent / "new").exists()


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1_025])
def test_a_reason_is_needed_because_it_stays(survivor, terminal, reason):
    said = terminal.run(*arguments(survivor, "--accept-data-loss", reason=reason))
    assert said.code == Exit.USAGE
    assert not (survivor.parent / "new").exists()


def test_every_member_begins_with_one_entry_and_all_that_the_log_did(survivor, terminal):
    before = all_files(survivor)
    assert terminal.run(*arguments(survivor, "--accept-data-loss")).code == Exit.OK
    assert all_files(survivor) == before
    states = [begun(survivor.parent / "new" / name, name) for name in ("p1", "p4")]
    assert states[0] == states[1]
    rows, event = states[0]
    assert rows == [b"\x00", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"]
    assert event.code == "RAFT_RECOVERED" and generation_of(stamp_index(event.id)) == 1
    told = event.payload_value()
    assert [it[0] for it in told["voters"]] == ["p1", "p4"]
    assert told["recovery"] == {
        "how": "forced",
        "from": "p1",
        "generation": 1,
        "last_index": 9,
        "last_term": 3,
        "reason": "the others burnt",
    }


def begun(folder, name):
    """(values of the keys, the last event) after a first start."""
    log = LmdbLog(folder / "log", map_bytes=64 * MIB)
    header, loaded = log.header(), log.load()
    log.close()
    assert (header.generation, header.lineage) == (1, loaded.last.chain.hex())
    assert loaded.first_index == loaded.last.index == make_index(1, 1)
    assert loaded.hard.term == 3
    identity = state_identity(cluster="test", peer_id=name, incarnation=header.incarnation)
    store = LmdbStore.open(folder / "state", identity=identity, row_hash=row_hash)
    state = ReplicatedState(store)
    finish_restoring(folder, loaded, state)
    try:
        with state.view() as view:
            rows = [kv_value(view.get(kv_key(b"k%d" % number))) for number in range(6)]
            events = [read_event(row) for _, row in view.scan(*prefix_range(EVENTS))]
            return rows, events[-1]
    finally:
        state.close()


def test_an_entry_that_cannot_be_applied_is_named_and_nothing_is_made(tmp_path, terminal):
    records = records_of(names=NAMES, last=b"\xc0")
    path = write_data_dir(tmp_path / "p1", records, applied_count=4)
    said = terminal.run(*arguments(path, "--accept-data-loss"))
    assert said.code == Exit.FAILED and f"entry {records[-1].index}" in said.err
    assert sorted(it.name for it in tmp_path.iterdir()) == ["p1"]
