"""Copies of the state whose caller, memory, disk or peer gives them up: the thread that makes one
is waited for, and nobody waits for what will not come."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from test_raft_backup_and_jump import (
    AHEAD,
    HEADER,
    PATIENCE_S,
    Chunks,
    Machine,
    Meanwhile,
    Store,
    desk_with,
    driver_of,
    jumping,
    quiet_desk,
    snapshots_of,
)

from replicante import limits
from replicante.errors import DiskFull, FatalError, PeerStopping, ReadTimeout
from replicante.raft import peer_snapshots
from replicante.raft.in_memory import InMemoryMachine, begin_durable, encode_snapshot
from replicante.raft.inputs import Effects
from replicante.raft.snapshot_files import FolderShelf

TURNS = 20
"""Of the loop: enough for whoever waits for nothing."""


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def begun(snapshots, driver, machine) -> asyncio.Task:
    """A backup whose thread copies."""
    backup = asyncio.create_task(snapshots.backup(driver, HEADER, Path("first")))
    await asyncio.to_thread(machine.is_copying.wait, PATIENCE_S)
    return backup


@pytest.mark.parametrize("times", [1, 2])
async def test_a_backup_that_is_given_up_guards_the_state_until_its_thread_is_done(tmp_path, times):
    machine = Machine()
    driver, snapshots = jumping(machine), snapshots_of(tmp_path)
    backup = await begun(snapshots, driver, machine)
    for _ in range(times):
        backup.cancel()
        await turns()
    assert not backup.done()
    snapshots._desk = desk_with(tmp_path / "incoming")
    assert await snapshots.step(driver, Effects()) is None
    closing = asyncio.create_task(snapshots.close())
    await turns()
    assert not closing.done()
    assert machine.told == [], "neither copied nor installed"
    machine.may_end.set()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(asyncio.CancelledError):
            await backup
        await closing
    assert machine.told == ["copied"]
    assert list((tmp_path / "backups").iterdir()) == []


async def test_a_backup_that_is_given_up_at_its_very_end_leaves_no_half_of_one(
    tmp_path, monkeypatch
):
    """A manifest without its state was a backup, to whoever looks for one."""
    machine, is_ending, may_end = Machine(), threading.Event(), threading.Event()
    machine.may_end.set()
    end = peer_snapshots.end_backup

    def slow_end(folder, manifest):
        end(folder, manifest)
        is_ending.set()
        assert may_end.wait(PATIENCE_S)

    monkeypatch.setattr(peer_snapshots, "end_backup", slow_end)
    driver, woken = jumping(machine), asyncio.Event()
    snapshots = snapshots_of(tmp_path, wake=woken.set)
    snapshots._desk = quiet_desk([])
    snapshots._desk.wants_file = False
    backup = asyncio.create_task(snapshots.backup(driver, HEADER, Path("first")))
    while not snapshots._asked:
        await woken.wait()
        woken.clear()
    await snapshots.step(driver, Effects())
    await asyncio.to_thread(is_ending.wait, PATIENCE_S)
    backup.cancel()
    await turns()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await backup
    assert list((tmp_path / "backups").iterdir()) == []
    await snapshots.close()


class SlowShelf(FolderShelf):
    """Saves when it is let."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.may_save = threading.Event()

    def _replace(self, snapshot: bytes) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert self.may_save.wait(PATIENCE_S)
        super()._replace(snapshot)


def arrived_in(folder: Path) -> Path:
    path = folder / "incoming"
    path.write_bytes(encode_snapshot(index=AHEAD.index, sessions={}, chunks=[b"all"]))
    return path


async def test_what_arrived_waits_for_a_save_that_began_while_it_was_checked(tmp_path):
    """The loop would wait for its end else, and the peer neither voted nor acknowledged."""
    shelf, woken = SlowShelf(tmp_path), asyncio.Event()
    machine = InMemoryMachine(Chunks(), shelf)
    driver, snapshots = jumping(machine), snapshots_of(tmp_path, wake=woken.set)
    snapshots._desk = desk_with(arrived_in(tmp_path))
    await snapshots.step(driver, Effects())
    while not snapshots._checking.done():
        await woken.wait()
        woken.clear()
    begin_durable(machine)
    saving = machine._saving[1]
    for _ in range(3):
        assert await snapshots.step(driver, Effects()) is None
    assert (machine.is_saving, machine.applied_index) == (True, 0)
    shelf.may_save.set()
    await asyncio.to_thread(saving.wait)
    await snapshots.step(driver, Effects())
    assert machine.applied_index == AHEAD.index
    await snapshots.close()


async def test_no_save_begins_while_the_state_is_replaced(tmp_path):
    shelf, woken = SlowShelf(tmp_path), asyncio.Event()
    machine, asked = InMemoryMachine(Chunks(), shelf), []

    async def save() -> None:
        """A backup asks for it while the marker is written."""
        begin_durable(machine)
        asked.append(machine.is_saving)

    driver = jumping(machine)
    snapshots = snapshots_of(tmp_path, meanwhile=save, wake=woken.set)
    snapshots._desk = desk_with(arrived_in(tmp_path))
    async with asyncio.timeout(PATIENCE_S):
        while snapshots._desk.arrived is not None:
            await snapshots.step(driver, Effects())
            if snapshots._desk.arrived is not None:
                await woken.wait()
                woken.clear()
    assert asked == [False]
    assert machine.applied_index == AHEAD.index
    begin_durable(machine)
    assert machine.is_saving, "afterwards it is saved as ever"
    shelf.may_save.set()
    machine.close()
    await snapshots.close()


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
async def test_a_leader_that_cannot_make_a_copy_for_want_of_anything_leads_on(tmp_path, error):
    machine, told = Machine(), []

    def export(path: Path) -> int:
        raise error

    machine.export = export
    driver, snapshots = driver_of(machine, None), snapshots_of(tmp_path)
    snapshots._desk = quiet_desk(told)
    await snapshots.step(driver, Effects())
    await asyncio.wait((snapshots._making,))
    snapshots._desk.wants_file = False
    await snapshots.step(driver, Effects())
    assert told == ["failed"]
    assert driver.held_index is None, "the log is trimmed again"
    await snapshots.close()


async def test_a_state_that_is_not_known_any_more_ends_the_peer_that_copies_it(tmp_path):
    machine = Machine()

    def export(path: Path) -> int:
        raise FatalError("the state is not what it was")

    machine.export = export
    driver, snapshots = driver_of(machine, None), snapshots_of(tmp_path)
    snapshots._desk = quiet_desk([])
    await snapshots.step(driver, Effects())
    await asyncio.wait((snapshots._making,))
    with pytest.raises(FatalError, match="not what it was"):
        await snapshots.step(driver, Effects())
    await snapshots.close()


async def test_a_backup_whose_peer_stops_while_it_copies_waits_for_no_step_any_more(tmp_path):
    machine = Machine()
    driver, snapshots = jumping(machine), snapshots_of(tmp_path)
    backup = await begun(snapshots, driver, machine)
    queued = asyncio.create_task(snapshots.backup(driver, HEADER, Path("second")))
    await turns()
    closing = asyncio.create_task(snapshots.close())
    await turns()
    machine.may_end.set()
    for refused in (backup, queued, snapshots.backup(driver, HEADER, Path("third"))):
        with pytest.raises(PeerStopping):
            await refused
    await closing
    assert machine.told == ["copied"], "the one behind it began no copy"
    assert list((tmp_path / "backups").iterdir()) == []


class FullDisk(Meanwhile):
    """Stands still until it is stopped."""

    def __init__(self) -> None:
        super().__init__(None)
        self.is_standing, self.is_stopped = asyncio.Event(), asyncio.Event()

    async def until_room(self, attempt):
        self.is_standing.set()
        await self.is_stopped.wait()
        raise DiskFull("no room")


async def test_a_backup_behind_an_installation_that_stands_still_is_told_so(tmp_path, monkeypatch):
    machine, disk = Machine(), FullDisk()
    machine.may_end.set()
    driver, snapshots = jumping(machine), snapshots_of(tmp_path, committing=disk)
    snapshots._desk = desk_with(tmp_path / "incoming")
    step = asyncio.create_task(snapshots.step(driver, Effects()))
    await disk.is_standing.wait()
    monkeypatch.setattr(limits, "BACKUP_STEP_MS_MAX", 0)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ReadTimeout, match="replace its state"):
            await snapshots.backup(driver, HEADER, Path("first"))
    disk.is_stopped.set()
    with pytest.raises(DiskFull):
        await step
    await snapshots.close()


async def test_a_backup_behind_another_one_waits_as_long_as_that_takes(tmp_path, monkeypatch):
    machine, woken = Machine(), asyncio.Event()
    driver, snapshots = jumping(machine), snapshots_of(tmp_path, wake=woken.set)
    snapshots._desk = quiet_desk([])
    snapshots._desk.wants_file = False
    first = await begun(snapshots, driver, machine)
    with monkeypatch.context() as patched:
        patched.setattr(limits, "BACKUP_STEP_MS_MAX", 0)
        second = asyncio.create_task(snapshots.backup(driver, HEADER, Path("second")))
        await turns()
        assert not second.done()
    machine.may_end.set()
    async with asyncio.timeout(PATIENCE_S):
        while not (first.done() and second.done()):
            await snapshots.step(driver, Effects())
            await asyncio.sleep(0)
    assert {Path(it.result().folder).name for it in (first, second)} == {"first", "second"}
    await snapshots.close()


async def test_what_was_checked_counts_for_no_later_copy(tmp_path):
    """The disk refuses a part while the copy before it is checked."""
    shelf, woken = FolderShelf(tmp_path), asyncio.Event()
    machine = InMemoryMachine(Chunks(), shelf)
    driver, snapshots = jumping(machine), snapshots_of(tmp_path, store=Store(), wake=woken.set)
    desk = snapshots._desk = desk_with(arrived_in(tmp_path))
    await snapshots.step(driver, Effects())
    assert snapshots._checking is not None

    def refuse(engine, **given):
        raise OSError(28, "no room")

    go_on, desk.step, desk.refused = desk.step, refuse, lambda: None
    checking = snapshots._checking
    await snapshots.step(driver, Effects())
    assert snapshots._checking is None
    await asyncio.wait((checking,))
    desk.step = go_on
    later = replace(AHEAD, index=12)
    path = tmp_path / "incoming"
    path.write_bytes(encode_snapshot(index=12, sessions={}, chunks=[b"more"]))
    desk.arrived = (later, path)
    async with asyncio.timeout(PATIENCE_S):
        while desk.arrived is not None:
            await snapshots.step(driver, Effects())
            if desk.arrived is not None:
                await woken.wait()
                woken.clear()
    assert machine.applied_index == 12
    await snapshots.close()


async def test_a_copy_for_a_follower_is_waited_for_though_all_tasks_are_cancelled(tmp_path):
    """The end of a loop does that: the state would be closed during its own export."""
    machine = Machine()
    driver, snapshots = driver_of(machine, None), snapshots_of(tmp_path)
    snapshots._desk = quiet_desk([])
    await snapshots.step(driver, Effects())
    await asyncio.to_thread(machine.is_copying.wait, PATIENCE_S)
    snapshots._making.cancel()
    closing = asyncio.create_task(snapshots.close())
    await turns()
    assert not snapshots._making.done()
    assert not closing.done()
    machine.may_end.set()
    await closing
    assert machine.told == ["copied"]


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
async def test_a_follower_that_cannot_check_a_copy_for_want_of_anything_goes_on(tmp_path, error):
    machine, told = InMemoryMachine(Chunks(), FolderShelf(tmp_path)), []
    driver, snapshots = jumping(machine), snapshots_of(tmp_path)
    snapshots._report = told.append
    desk = snapshots._desk = desk_with(arrived_in(tmp_path))

    def refuse(path, *, index):
        raise error

    def refused() -> None:
        desk.arrived = None

    machine.check, desk.refused = refuse, refused
    await snapshots.step(driver, Effects())
    await asyncio.wait((snapshots._checking,))
    assert await snapshots.step(driver, Effects()) is None
    assert desk.arrived is None, "it is asked for again"
    assert ["cannot be checked" in it.detail for it in told] == [True]
    await snapshots.close()


async def test_a_bug_in_the_check_of_a_copy_ends_the_peer(tmp_path):
    machine = InMemoryMachine(Chunks(), FolderShelf(tmp_path))
    driver, snapshots = jumping(machine), snapshots_of(tmp_path)
    snapshots._desk = desk_with(arrived_in(tmp_path))

    def refuse(path, *, index):
        raise NotImplementedError

    machine.check = refuse
    await snapshots.step(driver, Effects())
    await asyncio.wait((snapshots._checking,))
    with pytest.raises(NotImplementedError):
        await snapshots.step(driver, Effects())
    await snapshots.close()
