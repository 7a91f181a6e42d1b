"""A machine in memory: saved now and then, restored at start, carried to others."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from replicante.errors import CorruptData, DiskFull, FatalError
from replicante.raft import in_memory
from replicante.raft.in_memory import InMemoryMachine, decode_snapshot
from replicante.raft.snapshot_files import FolderShelf
from replicante.raft.state_machine import EntryHeader, EntryKind
from replicante.testing.sim_files import OUTGOING, SimFiles


class Sum:
    """Adds up what is proposed."""

    def __init__(self) -> None:
        self.total = 0

    def apply(self, entry):
        self.total += int(entry.data)
        return b"%d" % self.total

    def snapshot(self):
        yield b"%d" % self.total

    def restore(self, chunks):
        self.total = int(b"".join(chunks))


def apply(machine: InMemoryMachine, index: int, *commands: bytes) -> list[bytes]:
    machine.begin(EntryHeader(index=index, term=1, clock_ms=0, wall_ms=0, kind=EntryKind.COMMANDS))
    outcomes = [machine.apply(command) for command in commands]
    machine.end()
    return outcomes


def shelf_in(folder) -> FolderShelf:
    folder.mkdir()
    return FolderShelf(folder)


def saved(shelf) -> tuple[InMemoryMachine, Sum]:
    sums = Sum()
    machine = InMemoryMachine(sums, shelf, every_entries=3)
    for index in range(1, 6):
        apply(machine, index, b"10")
    machine.sessions[b"s"] = b"outcomes"
    machine.request_flush()
    machine.flush()
    return machine, sums


@pytest.mark.parametrize("make", [lambda path: SimFiles(), FolderShelf])
def test_a_machine_starts_with_what_was_saved(tmp_path, make):
    shelf = make(tmp_path)
    machine, _ = saved(shelf)
    assert (machine.applied_index, machine.durable_index) == (5, 5)
    sums = Sum()
    again = InMemoryMachine(sums, shelf)
    assert (again.applied_index, again.durable_index, sums.total) == (5, 5, 50)
    assert again.sessions == {b"s": b"outcomes"}
    assert apply(again, 6, b"1") == [b"51"]


def test_nothing_is_saved_before_enough_was_applied():
    files = SimFiles()
    machine = InMemoryMachine(Sum(), files, every_entries=3)
    apply(machine, 1, b"1")
    machine.request_flush()
    assert files.load() is None
    assert machine.durable_index == 0


def test_without_a_shelf_nothing_is_ever_durable():
    machine = InMemoryMachine(Sum())
    apply(machine, 1, b"1")
    machine.request_flush()
    machine.flush()
    assert machine.durable_index == 0


def without_room(monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", refuse)


def test_a_disk_without_room_leaves_the_last_snapshot_and_is_tried_again(tmp_path, monkeypatch):
    shelf = FolderShelf(tmp_path)
    machine, _ = saved(shelf)
    before = shelf.load()
    for index in range(6, 10):
        apply(machine, index, b"1")
    with monkeypatch.context() as patched:
        without_room(patched)
        machine.request_flush()
        machine.flush()
        assert machine.durable_index == 5
    assert machine.is_disk_full, "whoever asks this peer is told"
    assert shelf.load() == before
    machine.request_flush()
    machine.flush()
    assert machine.durable_index == 9
    assert not machine.is_disk_full


def test_a_disk_that_fails_ends_the_peer(tmp_path):
    machine, _ = saved(FolderShelf(tmp_path))
    (tmp_path / "snapshots" / "state.new").mkdir()
    for index in range(6, 10):
        apply(machine, index, b"1")
    assert not machine.is_full
    machine.request_flush()
    machine._saving[1].wait()
    assert machine.durable_index == 5, "a health check asks, and does not take the failure away"
    assert machine.is_full, "the peer applies nothing more, and asks for a flush"
    machine.save()
    assert machine._saving is None
    for flush in (machine.request_flush, machine.flush):
        with pytest.raises(FatalError, match=r"the snapshot of entry 9 failed: .*state.new"):
            flush()
    assert machine.durable_index == 5


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_a_save_that_could_not_begin_is_tried_again(tmp_path, monkeypatch, error):
    machine, _ = saved(FolderShelf(tmp_path))
    for index in range(6, 10):
        apply(machine, index, b"1")

    def refuse(thread):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        machine.request_flush()
    assert (machine.is_full, machine.durable_index) == (False, 5)
    machine.request_flush()
    machine.flush()
    assert machine.durable_index == 9


def test_a_save_that_found_no_memory_is_tried_again(tmp_path, monkeypatch):
    machine, _ = saved(FolderShelf(tmp_path))
    for index in range(6, 10):
        apply(machine, index, b"1")

    def refuse(**given):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(in_memory, "encode_snapshot", refuse)
        machine.request_flush()
        machine.flush()
    assert (machine.is_full, machine.durable_index) == (False, 5)
    machine.request_flush()
    machine.flush()
    assert machine.durable_index == 9


def test_a_snapshot_that_arrives_on_a_full_disk_can_be_installed_later(tmp_path, monkeypatch):
    here, there = shelf_in(tmp_path / "a"), shelf_in(tmp_path / "b")
    arrived = tmp_path / "arrived"
    saved(here)[0].export(arrived)
    sums = Sum()
    machine = InMemoryMachine(sums, there)
    with monkeypatch.context() as patched:
        without_room(patched)
        with pytest.raises(DiskFull, match="no room for a snapshot"):
            machine.install(arrived, index=5)
    assert (machine.applied_index, sums.total, there.load()) == (0, 0, None)
    machine.install(arrived, index=5)
    assert (machine.durable_index, sums.total) == (5, 50)


def test_a_damaged_snapshot_is_never_restored(tmp_path):
    shelf = FolderShelf(tmp_path)
    saved(shelf)
    path = tmp_path / "snapshots" / "state"
    stored = bytearray(path.read_bytes())
    stored[-1] ^= 1
    path.write_bytes(stored)
    with pytest.raises(CorruptData, match="checksum"):
        InMemoryMachine(Sum(), shelf)


def test_a_state_is_carried_to_another_peer_with_its_sessions():
    here, there = SimFiles(), SimFiles()
    machine, _ = saved(here)
    assert machine.export(OUTGOING) == 5
    there.held[OUTGOING] = here.held[OUTGOING]
    sums = Sum()
    other = InMemoryMachine(sums, there)
    other.install(OUTGOING, index=5)
    assert (other.applied_index, other.durable_index, sums.total) == (5, 5, 50)
    assert other.sessions == {b"s": b"outcomes"}
    assert OUTGOING not in there.held
    assert decode_snapshot(there.load())[0] == 5, "it survives the process"


def test_a_snapshot_of_another_entry_changes_nothing():
    here, there = SimFiles(), SimFiles()
    saved(here)[0].export(OUTGOING)
    there.held[OUTGOING] = here.held[OUTGOING]
    sums = Sum()
    other = InMemoryMachine(sums, there)
    with pytest.raises(CorruptData):
        other.install(OUTGOING, index=6)
    assert (other.applied_index, sums.total, there.load()) == (0, 0, None)


def test_a_machine_that_saved_nothing_has_nothing_to_export():
    machine = InMemoryMachine(Sum(), SimFiles())
    with pytest.raises(CorruptData):
        machine.export(OUTGOING)


class Later(SimFiles):
    """Packs what is saved when it is told to."""

    encode = None

    def save(self, encode):
        self.encode = encode
        return super().save(lambda: b"")


def test_what_is_saved_is_the_state_of_that_moment_though_it_is_packed_later():
    """On a thread, while entries are applied."""
    files = Later()
    machine, _ = saved(files)
    apply(machine, 6, b"10")
    machine.sessions[b"s"] = b"other outcomes"
    assert decode_snapshot(files.encode()) == (5, {b"s": b"outcomes"}, [b"50"])


def test_what_was_checked_is_not_read_again_on_the_loop(tmp_path, monkeypatch):
    here, there = shelf_in(tmp_path / "a"), shelf_in(tmp_path / "b")
    arrived = tmp_path / "arrived"
    saved(here)[0].export(arrived)
    sums = Sum()
    machine = InMemoryMachine(sums, there)
    checked = machine.check(arrived, index=5)
    assert (machine.applied_index, sums.total) == (0, 0)
    monkeypatch.setattr(FolderShelf, "read", None)
    monkeypatch.setattr(FolderShelf, "write", None)
    machine.install_checked(checked)
    assert (machine.applied_index, machine.durable_index, sums.total) == (5, 5, 50)
    assert not arrived.exists()
    assert InMemoryMachine(Sum(), there).applied_index == 5, "it survives the process"


def test_a_snapshot_is_taken_from_another_disk_too(tmp_path, monkeypatch):
    here, there = shelf_in(tmp_path / "a"), shelf_in(tmp_path / "b")
    arrived = tmp_path / "arrived"
    saved(here)[0].export(arrived)
    rename = Path.replace

    def replace(path, target):
        if path == arrived:
            raise OSError(errno.EXDEV, "another disk")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    InMemoryMachine(Sum(), there).install(arrived, index=5)
    assert not arrived.exists()
    assert InMemoryMachine(Sum(), there).applied_index == 5
