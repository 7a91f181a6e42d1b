"""Two backups, one after the other, and a copy that has arrived."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from test_raft_backup_and_jump import (
    HEADER,
    PATIENCE_S,
    Machine,
    desk_with,
    jumping,
    snapshots_of,
)

from replicante.raft.inputs import Effects


class SlowCopies(Machine):
    """Each copy ends when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = [threading.Event(), threading.Event()]

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
    release = snapshots._copying.release

    def release_beside_a_step() -> None:
        if not steps:  # it runs before who waits for the lock
            steps.append(asyncio.create_task(snapshots.step(driver, Effects())))
        has_begun.set()
        release()

    snapshots._copying.release = release_beside_a_step
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
