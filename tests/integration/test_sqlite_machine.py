"""The machine of docs/howto/machine-on-disk.md: alone, and in real peers."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest
from cluster_peer import HOST, PORTS
from peer_words import said

from replicante.errors import CorruptData
from replicante.raft import DurableStateMachine, EntryHeader, EntryKind, Peer, PeerOptions

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "docs/tutorial/sqlite_machine.py"
PAGE = ROOT / "docs/howto/machine-on-disk.md"
NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("sqlite_machine", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def machines(program, tmp_path):
    opened = [program.SqliteNotes(tmp_path / f"{name}.sqlite") for name in "ab"]
    yield opened
    for it in opened:
        it.close()


def entry(machine, index, *commands):
    header = EntryHeader(index=index, term=1, clock_ms=0, wall_ms=0, kind=EntryKind.COMMANDS)
    machine.begin(header)
    outcomes = [machine.apply(command) for command in commands]
    machine.sessions[b"s"] = b"%d" % index
    machine.end()
    return outcomes


def notes(machine):
    return dict(machine.db.execute("SELECT name, text FROM notes"))


def test_the_page_shows_the_program_as_it_is():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    assert all(block.startswith("class SqliteNotes:\n") for block in blocks)
    parts = [block.partition("\n")[2].rstrip() for block in blocks]
    assert all(part in PROGRAM.read_text() for part in parts)


def test_it_is_a_machine_on_disk(machines):
    assert isinstance(machines[0], DurableStateMachine)


def test_state_index_and_sessions_become_durable_together(machines, program, tmp_path):
    one, _ = machines
    assert entry(one, 1, b"a=1", b"b=2") == [b"1", b"2"]
    one.flush()
    entry(one, 2, b"a=3")
    assert (one.applied_index, one.durable_index) == (2, 1)
    one.db.close()  # as a process that dies: what was not committed is gone
    again = program.SqliteNotes(tmp_path / "a.sqlite")
    assert (again.applied_index, notes(again), dict(again.sessions)) == (
        1,
        {"a": "1", "b": "2"},
        {b"s": b"1"},
    )
    again.close()


def test_a_session_that_ends_leaves_nothing(machines):
    one, _ = machines
    entry(one, 1)
    del one.sessions[b"s"]
    assert (len(one.sessions), one.sessions.pop(b"s", None)) == (0, None)


def test_a_copy_is_what_is_durable_and_replaces_everything(machines, tmp_path):
    one, other = machines
    entry(one, 1, b"a=1")
    one.flush()
    entry(one, 2, b"a=2")
    assert one.export(tmp_path / "copy") == 1
    entry(other, 1, b"x=1")
    other.flush()
    entry(other, 2, b"y=1")
    other.install(tmp_path / "copy", index=1)
    assert (other.applied_index, other.durable_index, notes(other)) == (1, 1, {"a": "1"})
    assert not (tmp_path / "copy").exists()
    entry(other, 2, b"b=2")
    other.flush()
    assert notes(other) == {"a": "1", "b": "2"}
    assert notes(one) == {"a": "2"}, "what is open goes on"


def test_what_is_no_copy_changes_nothing(machines, tmp_path):
    one, other = machines
    entry(one, 1, b"a=1")
    one.flush()
    one.export(tmp_path / "copy")
    (tmp_path / "other").write_bytes(b"no database")
    for path, index in ((tmp_path / "copy", 2), (tmp_path / "other", 1)):
        with pytest.raises(CorruptData):
            other.install(path, index=index)
    assert (other.applied_index, notes(other)) == (0, {})


class PowerCut(Exception):
    pass


def test_a_crash_in_an_installation_leaves_the_old_state_or_the_new(
    machines, program, tmp_path, monkeypatch
):
    one, other = machines
    entry(one, 1, b"a=1")
    one.flush()
    entry(other, 7, b"x=1")
    other.flush()
    real = os.replace

    def cut(before):
        def replace(source, target):
            if not before:
                real(source, target)
            raise PowerCut

        return replace

    for before, found in ((True, {"x": "1"}), (False, {"a": "1"})):
        one.export(tmp_path / f"copy-{before}")
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", cut(before))
            with pytest.raises(PowerCut):
                other.install(tmp_path / f"copy-{before}", index=1)
        other = program.SqliteNotes(tmp_path / "b.sqlite")
        assert notes(other) == found
    other.close()


@pytest.mark.processes
async def test_peers_share_it_and_one_that_was_away_is_sent_a_copy(program, tmp_path):
    addresses = {name: f"{HOST}:{PORTS.take()}" for name in NAMES}
    options = PeerOptions(log_reserve_bytes=0, log_kept_bytes=0, flush_interval_ms=20)

    async def started(name):
        machine = program.SqliteNotes(tmp_path / name / "notes.sqlite")
        peer = Peer(tmp_path / name, name, addresses[name], addresses, machine, options=options)
        await peer.start()
        return peer, machine

    peers = {name: await started(name) for name in NAMES}
    await said(peers["one"][0], b"first=1")
    await peers["three"][0].stop()
    for number in range(8):
        await said(peers["two"][0], b"large%d=" % number + b"x" * 500_000)
    lacks_index = peers["two"][0].status().first_index
    peers["three"] = await started("three")
    assert peers["three"][0].applied_index < lacks_index, "its log alone would not do"
    await peers["three"][0].read_barrier(timeout_ms=30_000)
    await said(peers["three"][0], b"last=2")
    await peers["one"][0].read_barrier(timeout_ms=30_000)
    assert len(notes(peers["three"][1])) == 10
    assert notes(peers["three"][1]) == notes(peers["one"][1])
    for peer, _ in peers.values():
        await peer.stop()
