"""A backup and an installation at once: the state does not jump under the thread that copies it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from replicante.clock import SystemClock
from replicante.errors import PeerStopping
from replicante.raft.inputs import Effects
from replicante.raft.log import Base
from replicante.raft.log_store import LogHeader
from replicante.raft.peer_snapshots import PeerSnapshots
from replicante.raft.settings import PeerOptions

PATIENCE_S = 20
AHEAD = Base(index=9, term=2, clock_ms=0, chain=b"c" * 16, configuration_index=1, configuration=b"")
HEADER = LogHeader(
    cluster_name="test",
    cluster_id="c" * 32,
    peer_id="p1",
    incarnation="a" * 32,
    generation=0,
    created_wall_ms=0,
    birth_lock=b"",
)


class Machine:
    """Tells in which order its state was copied and replaced."""

    durable_index = 5

    def __init__(self) -> None:
        self.told: list[str] = []
        self.is_copying, self.may_end = threading.Event(), threading.Event()

    def export(self, path: Path) -> int:
        self.is_copying.set()
        assert self.may_end.wait(PATIENCE_S)
        path.write_bytes(b"state")
        self.told.append("copied")
        return 5

    def install(self, path: Path, *, index: int) -> None:
        self.told.append("installed")


class Store:
    def __init__(self) -> None:
        self.is_marked = asyncio.Event()

    def write_marker(self, base: Base) -> None:
        self.is_marked.set()

    def reset_to(self, base: Base) -> bool:
        return True


class Committer:
    """While the marker of the installation is written, somebody asks for a backup."""

    def __init__(self, meanwhile) -> None:
        self._meanwhile = meanwhile

    async def run(self, work):
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            await meanwhile()
        return work()


def snapshots_of(folder: Path, *, store=None, meanwhile=None, wake=lambda: None) -> PeerSnapshots:
    return PeerSnapshots(
        PeerOptions().of(data_dir=folder, peer_id="p1", listen="", peers={}),
        store or Store(),
        Committer(meanwhile),
        clock=SystemClock(),
        send=lambda messages: None,
        report=lambda observation: None,
        wake=wake,
    )


def driver_of(machine: Machine, log) -> SimpleNamespace:
    """Of a peer that takes steps."""
    return SimpleNamespace(
        host=SimpleNamespace(machine=machine),
        applied_index=5,
        agreement=SimpleNamespace(is_state_trusted=True),
        held_index=None,
        log=log,
        engine=None,
    )


async def test_a_state_that_a_backup_copies_is_not_replaced_before_the_copy_is_made(tmp_path):
    machine = Machine()
    driver = SimpleNamespace(
        host=SimpleNamespace(machine=machine),
        applied_index=5,
        log=SimpleNamespace(first_index=1, base_at=lambda index: AHEAD),
        engine=None,
        installed=lambda base, keeps_tail: Effects(),
    )
    backups = []

    async def begin_backup() -> None:
        backups.append(asyncio.create_task(snapshots.backup(driver, HEADER, Path("first"))))
        await asyncio.to_thread(machine.is_copying.wait, PATIENCE_S)

    store = Store()
    snapshots = snapshots_of(tmp_path, store=store, meanwhile=begin_backup)
    snapshots._desk = SimpleNamespace(installed=lambda engine, base: [])
    installing = asyncio.create_task(snapshots._install(driver, AHEAD, tmp_path / "incoming"))
    async with asyncio.timeout(PATIENCE_S):
        await store.is_marked.wait()
    for _ in range(20):  # it goes on to the state at once, or waits for the copy
        await asyncio.sleep(0)
    machine.may_end.set()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(installing, *backups)
    assert machine.told == ["copied", "installed"]
    assert backups[0].result().state_bytes == len(b"state")
    await snapshots.close()


class BusyLog:
    """It is being opened again, but between two steps."""

    first_index = 1

    def __init__(self) -> None:
        self.is_still = False

    def base_at(self, index: int) -> Base:
        assert self.is_still, "the log is closed"
        return AHEAD


def quiet_desk(told: list) -> SimpleNamespace:
    return SimpleNamespace(
        step=lambda engine, **given: [],
        made=told.append,
        failed=lambda now_ms: told.append("failed"),
        held_index=None,
        resumed=None,
        wants_file=True,
        is_making=False,
        arrived=None,
    )


async def test_copies_read_the_log_between_two_steps_only(tmp_path):
    """In between a write is in flight, and a full disk may have it opened again."""
    machine, log, made, woken = Machine(), BusyLog(), [], asyncio.Event()
    machine.may_end.set()
    driver = driver_of(machine, log)
    snapshots = snapshots_of(tmp_path, wake=woken.set)
    snapshots._desk = quiet_desk(made)

    async def step() -> None:
        log.is_still = True
        await snapshots.step(driver, Effects())
        log.is_still = False

    await step()
    backup = asyncio.create_task(snapshots.backup(driver, HEADER, Path("first")))
    backup.add_done_callback(lambda _: woken.set())
    async with asyncio.timeout(PATIENCE_S):
        while not (made and backup.done()):
            await woken.wait()
            woken.clear()
            assert snapshots._making.done() or not made
            await step()
    assert [it.base for it in made] == [AHEAD]
    assert backup.result().state_bytes == len(b"state")
    await snapshots.close()


async def test_what_follows_a_file_is_held_in_the_log_while_the_file_is_made(tmp_path):
    """A copy that takes long would else be trimmed past, by every load that lasts, for ever."""
    machine, made, woken = Machine(), [], asyncio.Event()
    driver = driver_of(machine, SimpleNamespace(first_index=1, base_at=lambda index: AHEAD))
    snapshots = snapshots_of(tmp_path, wake=woken.set)
    snapshots._desk = quiet_desk(made)
    await snapshots.step(driver, Effects())
    assert driver.held_index == 5
    machine.durable_index = 700
    await snapshots.step(driver, Effects())
    assert driver.held_index == 5
    machine.may_end.set()
    async with asyncio.timeout(PATIENCE_S):
        while not made:
            assert driver.held_index == 5
            await woken.wait()
            woken.clear()
            await snapshots.step(driver, Effects())
    assert driver.held_index is None
    await snapshots.close()


async def test_a_backup_of_a_peer_that_stops_is_refused_and_leaves_nothing(tmp_path):
    machine = Machine()
    machine.may_end.set()
    driver = SimpleNamespace(host=SimpleNamespace(machine=machine), log=BusyLog())
    asked = asyncio.Event()
    snapshots = snapshots_of(tmp_path, wake=asked.set)
    backup = asyncio.create_task(snapshots.backup(driver, HEADER, Path("first")))
    async with asyncio.timeout(PATIENCE_S):
        while not snapshots._asked:
            await asked.wait()
            asked.clear()
    await snapshots.close()
    with pytest.raises(PeerStopping):
        await backup
    assert list((tmp_path / "backups").iterdir()) == []
