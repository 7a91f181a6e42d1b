"""Two backups, one after the other, and a copy that has arrived."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from test_raft_backup_and_jump import (
    HEADER,
    PATIENCE_S,
    Machine,
    desk_with,
    jumping,
    snapshots_of,
)

from replicante import limits
from replicante.errors import ReadTimeout
from replicante.raft.copying import CopyTurns
from replicante.raft.inputs import Effects


class SlowCopies(Machine):
    """Each copy ends when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = [threading.Event() for _ in range(4)]

    def export(self, path: Path) -> int:
        self.may_end = self.copies[len(self.told)]
        return super().export(path)


async def test_a_step_between_two_backups_does_not_wait_for_the_second(tmp_path):
    """The lock goes from one to the other: it is free in no turn of the loop, but for a moment."""
    machine, steps, has_begun = SlowCopies(), [], asyncio.Event()
    driver = jumping(machine)
    snapshots = snapshots_of(tmp_path)
    first, second = (
        asyncio.create_task(snapshots.backup(driver, HEADER, Path(name)))
        for name in ("first", "second")
    )
    await asyncio.to_thread(machine.is_copying.wait, PATIENCE_S)
    snapshots._desk = desk_with(tmp_path / "incoming")
    lock = snapshots._turns._lock
    release = lock.release

    def release_beside_a_step() -> None:
        if not steps:  # it runs before who waits for the lock
            steps.append(asyncio.create_task(snapshots.step(driver, Effects())))
        has_begun.set()
        release()

    lock.release = release_beside_a_step
    machine.copies[0].set()
    async with asyncio.timeout(PATIENCE_S):
        await has_begun.wait()
        assert await steps[0] is None
    assert machine.told == ["copied"]
    machine.copies[1].set()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(asyncio.shield(second), return_exceptions=True)
        for backup in (first, second):
            backup.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        await snapshots.step(driver, Effects())
    assert machine.told == ["copied", "copied", "installed"]
    await snapshots.close()


async def test_what_has_arrived_goes_before_a_backup_that_comes_later(tmp_path):
    """Backups that overlap would else keep a peer that lags from ever catching up."""
    machine = SlowCopies()
    driver, snapshots = jumping(machine), snapshots_of(tmp_path)

    def backup(name: str) -> asyncio.Task:
        return asyncio.create_task(snapshots.backup(driver, HEADER, Path(name)))

    backups = [backup("first"), backup("second")]
    await asyncio.to_thread(machine.is_copying.wait, PATIENCE_S)
    snapshots._desk = desk_with(tmp_path / "incoming")
    assert await snapshots.step(driver, Effects()) is None
    backups.append(backup("third"))
    for copy in machine.copies:
        copy.set()
    async with asyncio.timeout(PATIENCE_S):
        while not all(it.done() for it in backups):
            await snapshots.step(driver, Effects())
            await asyncio.sleep(0)
    assert machine.told == ["copied", "copied", "installed", "copied"]
    assert {Path(it.result().folder).name for it in backups} == {"first", "second", "third"}
    await snapshots.close()


@pytest.mark.parametrize("is_whole", [True, False])
async def test_what_arrived_and_is_not_installed_holds_up_no_backup_for_good(tmp_path, is_whole):
    """Entries came first, or the disk refused what follows."""
    machine = SlowCopies()
    driver, snapshots = jumping(machine), snapshots_of(tmp_path)
    first = asyncio.create_task(snapshots.backup(driver, HEADER, Path("first")))
    await asyncio.to_thread(machine.is_copying.wait, PATIENCE_S)
    desk = snapshots._desk = desk_with(tmp_path / "incoming")
    await snapshots.step(driver, Effects())
    second = asyncio.create_task(snapshots.backup(driver, HEADER, Path("second")))
    await asyncio.sleep(0)
    go_on = desk.step

    def refuse(engine, **given):
        raise OSError(28, "no room")

    def refused() -> None:
        desk.arrived = None

    desk.refused = refused
    if is_whole:
        desk.arrived = None
    else:
        desk.step = refuse
    await snapshots.step(driver, Effects())
    desk.step = go_on
    for copy in machine.copies:
        copy.set()
    async with asyncio.timeout(PATIENCE_S):
        while not (first.done() and second.done()):
            await snapshots.step(driver, Effects())
            await asyncio.sleep(0)
    assert machine.told == ["copied", "copied"]
    await snapshots.close()


async def test_a_backup_behind_an_installation_that_does_not_begin_is_told_so(
    tmp_path, monkeypatch
):
    """The step that would begin it waits for room, most likely."""
    monkeypatch.setattr(limits, "BACKUP_STEP_MS_MAX", 0)
    turns = CopyTurns()
    turns.hold_up()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ReadTimeout, match="replace its state"):
            async with turns.copying():
                pass
    assert not turns.is_taken
