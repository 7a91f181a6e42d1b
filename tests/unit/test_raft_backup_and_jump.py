"""A backup and an installation at once: the state does not jump under the thread that copies it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from replicante.clock import SystemClock
from replicante.errors import CorruptData, DiskFull, PeerStopping, StorageFull
from replicante.raft import committing as committing_module
from replicante.raft.commit_thread import CommitThread
from replicante.raft.committing import Committing
from replicante.raft.in_memory import InMemoryMachine, encode_snapshot
from replicante.raft.inputs import Effects
from replicante.raft.log import Base
from replicante.raft.log_store import LogHeader
from replicante.raft.observations import DiskFullChanged
from replicante.raft.peer_snapshots import PeerSnapshots
from replicante.raft.settings import PeerOptions
from replicante.raft.standing_still import StandingStill
from replicante.testing.sim_files import SimFiles

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


class Meanwhile:
    """While the marker of the installation is written, somebody asks for a backup."""

    def __init__(self, meanwhile) -> None:
        self._meanwhile = meanwhile

    async def run(self, work):
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            await meanwhile()
        return work()

    async def until_room(self, attempt):
        return await attempt()


def snapshots_of(
    folder: Path, *, store=None, meanwhile=None, committing=None, wake=lambda: None
) -> PeerSnapshots:
    return PeerSnapshots(
        PeerOptions().of(data_dir=folder, peer_id="p1", listen="", peers={}),
        store or Store(),
        committing or Meanwhile(meanwhile),
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


def jumping(machine: Machine) -> SimpleNamespace:
    """A peer to whom a snapshot as of AHEAD comes."""
    log = SimpleNamespace(first_index=1, base_at=lambda index: AHEAD)
    driver = driver_of(machine, log)
    driver.installed = lambda base, keeps_tail: Effects()
    return driver


def desk_with(path: Path) -> SimpleNamespace:
    """Something has arrived, until it was installed."""
    desk = quiet_desk([])
    desk.wants_file, desk.arrived = False, (AHEAD, path)

    def installed(engine, base):
        desk.arrived = None
        return []

    desk.installed = installed
    return desk


async def test_a_snapshot_that_arrives_while_a_backup_copies_holds_up_nobody(tmp_path):
    """Who waited for the end of the copy would neither vote nor acknowledge until then."""
    machine, woken = Machine(), asyncio.Event()
    driver = jumping(machine)
    snapshots = snapshots_of(tmp_path, wake=woken.set)
    backup = asyncio.create_task(snapshots.backup(driver, HEADER, Path("first")))
    await asyncio.to_thread(machine.is_copying.wait, PATIENCE_S)
    snapshots._desk = desk_with(tmp_path / "incoming")
    for _ in range(3):
        async with asyncio.timeout(PATIENCE_S):
            assert await snapshots.step(driver, Effects()) is None
    assert machine.told == []
    machine.may_end.set()
    async with asyncio.timeout(PATIENCE_S):
        while snapshots._desk.arrived is not None:
            await woken.wait()
            woken.clear()
            await snapshots.step(driver, Effects())
        assert (await backup).state_bytes == len(b"state")
    assert machine.told == ["copied", "installed"]
    await snapshots.close()


class SlowShelf(SimFiles):
    """Reads what arrived when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.may_read = threading.Event()

    def read(self, offset, count=0):
        assert threading.current_thread() is not threading.main_thread()
        assert self.may_read.wait(PATIENCE_S)
        return super().read(offset, count)


class Chunks:
    def __init__(self) -> None:
        self.restored: list[bytes] = []

    def apply(self, entry):
        return b""

    def snapshot(self):
        return []

    def restore(self, chunks):
        assert threading.current_thread() is threading.main_thread()
        self.restored = list(chunks)


@pytest.mark.parametrize("damage", [b"", b"x"])
async def test_what_arrives_for_a_machine_in_memory_is_checked_while_steps_are_taken(
    tmp_path, damage
):
    """Else its peer neither voted nor acknowledged for as long as a large state is read."""
    shelf, chunks, store, woken = SlowShelf(), Chunks(), Store(), asyncio.Event()
    path = tmp_path / "incoming"
    shelf.held[path] = encode_snapshot(index=9, sessions={}, chunks=[b"all"]) + damage
    driver = jumping(InMemoryMachine(chunks, shelf))
    snapshots = snapshots_of(tmp_path, store=store, wake=woken.set)
    desk = snapshots._desk = desk_with(path)

    def refused() -> None:
        desk.arrived = None

    desk.refused = refused
    for _ in range(3):
        assert await snapshots.step(driver, Effects()) is None
        await asyncio.sleep(0)
    assert chunks.restored == []
    assert not store.is_marked.is_set()
    shelf.may_read.set()
    async with asyncio.timeout(PATIENCE_S):
        while desk.arrived is not None:
            await woken.wait()
            woken.clear()
            await snapshots.step(driver, Effects())
    assert chunks.restored == ([] if damage else [b"all"])
    assert store.is_marked.is_set() is not bool(damage)
    await snapshots.close()


async def test_a_backup_that_is_asked_for_during_an_installation_copies_the_new_state(tmp_path):
    machine, asked = Machine(), asyncio.Event()
    machine.may_end.set()
    driver = jumping(machine)
    backups = []

    async def begin_backup() -> None:
        """Until it waits, or has copied: the only thread takes one piece of work after another."""
        backups.append(asyncio.create_task(snapshots.backup(driver, HEADER, Path("first"))))
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
    snapshots = snapshots_of(tmp_path, meanwhile=begin_backup, wake=asked.set)
    snapshots._desk = desk_with(tmp_path / "incoming")
    async with asyncio.timeout(PATIENCE_S):
        await snapshots.step(driver, Effects())
        while not backups[0].done():
            await snapshots.step(driver, Effects())
            await asyncio.sleep(0)
    assert backups[0].result().state_bytes == len(b"state")
    assert machine.told == ["installed", "copied"]
    await snapshots.close()


class FullDisk:
    """Log and state of a peer whose disk has no room at the first attempt of each write."""

    def __init__(self, *, is_state: bool = True) -> None:
        self.told: list[str] = []
        self._is_state = is_state

    def _attempt(self, what: str, refusal: type[DiskFull] | type[StorageFull] = DiskFull) -> None:
        self.told.append(what)
        if self.told.count(what) == 1:
            raise refusal(f"no room for {what}")

    def write_marker(self, base: Base) -> None:
        self._attempt("marker")

    def install(self, path: Path, *, index: int) -> None:
        self._attempt("state")
        if not self._is_state:
            raise CorruptData("it is another one")

    def reset_to(self, base: Base) -> bool:
        self._attempt("log", StorageFull)
        return True

    def drop_marker(self) -> None:
        self._attempt("no marker")


@pytest.mark.parametrize(
    ("is_state", "told"),
    [
        (True, ["marker", "marker", "state", "state", "log", "log"]),
        (False, ["marker", "marker", "state", "state", "no marker", "no marker"]),
    ],
)
async def test_an_installation_on_a_full_disk_stands_still_and_goes_on_when_there_is_room(
    tmp_path, monkeypatch, is_state, told
):
    monkeypatch.setattr(committing_module, "_DISK_FULL_RETRY_S", 0)
    disk, thread = FullDisk(is_state=is_state), CommitThread("test-log")
    seen = []
    still = StandingStill(seen.append)
    committing = Committing(disk, thread, still, clock=SystemClock(), report=seen.append)
    driver = SimpleNamespace(
        host=SimpleNamespace(machine=disk),
        applied_index=5,
        log=None,
        engine=None,
        installed=lambda base, keeps_tail: Effects(),
    )
    snapshots = snapshots_of(tmp_path, store=disk, committing=committing)
    snapshots._desk = SimpleNamespace(installed=lambda engine, base: [], refused=lambda: None)
    async with asyncio.timeout(PATIENCE_S):
        effects = await snapshots._install(driver, AHEAD, tmp_path / "incoming")
    assert disk.told == told
    assert (effects is not None) == is_state
    fulls = [it.is_full for it in seen if isinstance(it, DiskFullChanged)]
    assert fulls[:4] == [True, False, True, False], "operators are told of each"
    assert not still
    await snapshots.close()
    thread.stop()


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
        unreadable=None,
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
    snapshots._files.outgoing.write_bytes(b"x" * 300)
    await snapshots.step(driver, Effects())
    assert driver.held_bytes == 300, "as much as is made of it"
    snapshots._files.outgoing.unlink()
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
