"""What takes long about snapshots: making the file, putting one in the place of state and log.
Touches files and threads.

Called by peer after each step, while nothing is in flight. The order of an installation: a marker
in the log, the state by rename, the log from the entry on and the marker's end in one transaction.
Wherever the process dies between them, `finish_installation` knows at the next start (ADR 0019).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from replicante import limits
from replicante.clock import Clock
from replicante.errors import CorruptData, DiskFull, PeerStopping, ReadTimeout
from replicante.raft import messages as m
from replicante.raft.backup import Backup, begin_backup, describe, drop_backup, end_backup
from replicante.raft.committing import Committing
from replicante.raft.copying import CopyTurns, is_for_want, to_its_end
from replicante.raft.driver import Driver
from replicante.raft.in_memory import Arrived, InMemoryMachine
from replicante.raft.inputs import Effects
from replicante.raft.log import Base
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.observations import (
    Observation,
    SnapshotFailed,
    SnapshotInstalled,
    SnapshotMade,
    SnapshotResumed,
)
from replicante.raft.settings import PeerSettings
from replicante.raft.snapshot_files import FolderFiles, measure
from replicante.raft.snapshots import Snapshot, SnapshotDesk
from replicante.raft.state_machine import DurableStateMachine

Send = Callable[[list[tuple[str, m.Message]]], None]


class PeerSnapshots:
    def __init__(
        self,
        settings: PeerSettings,
        store: LmdbLog,
        committing: Committing,
        *,
        clock: Clock,
        send: Send,
        report: Callable[[Observation], None],
        wake: Callable[[], None],
    ) -> None:
        self._folder = settings.data_dir / "backups"
        self._store = store
        self._committing = committing
        self._clock = clock
        self._send = send
        self._report = report
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._files = FolderFiles(settings.data_dir, wake=self._wake_from_thread)
        self._desk = SnapshotDesk(
            self._files,
            patience_ms=settings.election_ms_min,
            rate_bytes=settings.snapshot_rate_bytes,
        )
        self._making: asyncio.Task[None] | None = None
        self._begun_index: int | None = None
        """The state is at least here in the outgoing file, and what follows is needed with it;
        until the desk has the file."""
        self._checking: asyncio.Task[Arrived] | None = None
        """Of what the desk has."""
        self._copied: tuple[int, int, bytes] | None = None
        """(index, size, digest) of the outgoing file; its place in the log is still to be read."""
        self._asked: list[tuple[int, asyncio.Future[Base]]] = []
        """Places in the log that backups ask for."""
        self._held: list[tuple[int, Path]] = []
        """Entries that backups on their way need in the log, and the copies that are made."""
        self._held_bytes_max = settings.log_map_bytes // limits.LOG_HELD_MAP_SHARE
        self._turns = CopyTurns()

    async def step(self, driver: Driver, effects: Effects) -> Effects | None:
        """Call after each step. What a jump of the state decided, when there was one. Raises
        FatalError."""
        desk, now_ms = self._desk, self._clock.monotonic_ms()
        self._check_making()
        self._read_log(driver)
        try:
            out = desk.step(
                driver.engine,
                chunks=effects.chunks,
                acks=effects.snapshot_acks,
                applied_index=driver.applied_index,
                is_state_trusted=driver.agreement.is_state_trusted,
                now_ms=now_ms,
            )
        except OSError as error:  # no room, most likely: the leader sends it again
            self._checking = None  # the next copy is checked anew
            self._refuse(f"what arrives cannot be kept: {error}")
            self._hold_log(driver)
            return None
        self._send(out)
        if desk.unreadable is not None:
            met, desk.unreadable = desk.unreadable, None
            self._report(SnapshotFailed(detail=f"it cannot be read, and is made anew: {met}"))
        if desk.resumed is not None:
            (index, offset), desk.resumed = desk.resumed, None
            self._report(SnapshotResumed(index=index, offset=offset))
        if desk.wants_file:
            desk.wants_file, desk.is_making = False, True
            self._begun_index = driver.host.machine.durable_index
            self._making = asyncio.create_task(self._make(driver), name="raft-snapshot")
        self._hold_log(driver)
        if desk.arrived is None:
            self._checking = None
            self._turns.let_in()
            return None
        if not self._is_checked(driver, *desk.arrived):
            return None
        self._turns.hold_up()
        machine = driver.host.machine
        in_memory = machine if isinstance(machine, InMemoryMachine) else None
        if self._is_copying or (in_memory is not None and in_memory.is_saving):
            return None
        async with self._turns.installing():
            with contextlib.nullcontext() if in_memory is None else in_memory.being_replaced():
                return await self._install(driver, *desk.arrived)

    def _is_checked(self, driver: Driver, base: Base, path: Path) -> bool:
        """What arrived for a machine in memory is read and checked on a thread, and its peer takes
        steps meanwhile, as while the state is saved: to take what arrived is to wait for that. A
        machine on disk has little to do before it takes its file."""
        machine = driver.host.machine
        if not isinstance(machine, InMemoryMachine):
            return True
        if self._checking is None:
            checking = to_its_end(lambda: machine.check(path, index=base.index))
            self._checking = asyncio.create_task(checking, name="raft-snapshot-check")
            self._checking.add_done_callback(self._end_of_check)
        return self._checking.done()

    def _end_of_check(self, checking: asyncio.Task[Arrived]) -> None:
        if not checking.cancelled():
            checking.exception()  # told by the step that takes it, or nobody waits for it any more
        self._wake()

    @property
    def _is_copying(self) -> bool:
        """A copy is on its way: who would wait for its end neither votes nor acknowledges until
        then, so what arrived waits for a later step."""
        is_making = self._making is not None and not self._making.done()
        return is_making or self._turns.is_taken

    async def backup(self, driver: Driver, header: LogHeader, folder: Path) -> Backup:
        """Into a new folder, as of what is durable; writing goes on meanwhile. Leaves nothing
        behind when it fails; who cancels it waits for the thread that writes there. Raises
        Conflict, ReadTimeout, PeerStopping, DiskFull, CorruptData, OSError."""
        self._turns.refuse_when_closed()
        folder = self._folder / folder
        state = begin_backup(folder)
        held_index = driver.host.machine.durable_index
        held = (held_index, state)
        self._held.append(held)
        try:
            index = await self._copy(driver.host.machine, state)
            base = await self._base_of(index)
            wall_ms = self._clock.wall_ms()
            manifest = await to_its_end(
                lambda: describe(header, base, measure(state), wall_ms=wall_ms)
            )
            await to_its_end(lambda: end_backup(folder, manifest))
        except BaseException:
            with contextlib.suppress(OSError):
                drop_backup(folder)
            raise
        finally:
            self._held.remove(held)
            self._wake()  # what arrived meanwhile waits for it
        return Backup(
            folder=str(folder),
            made_by=manifest.made_by,
            index=manifest.index,
            state_bytes=manifest.state_bytes,
            state_digest=manifest.state_digest,
        )

    async def close(self) -> None:
        """Waits for the threads that write a file: the state is open until then. What arrived is
        found at the next start. No backup is begun any more, and none asks for its base."""
        self._turns.close()
        for _, asked in self._asked:
            if not asked.done():
                asked.set_exception(PeerStopping())
        if self._making is not None:
            await asyncio.wait((self._making,))
        if self._checking is not None:
            await asyncio.wait((self._checking,))
        await self._turns.until_idle()
        await to_its_end(self._files.close)

    def _hold_log(self, driver: Driver) -> None:
        """For copies that are made or on their way: what happens after them is needed with them."""
        served = [self._begun_index, self._desk.held_index]
        held = [*self._held, *((it, self._files.outgoing) for it in served if it is not None)]
        driver.held_index, driver.held_bytes = None, 0
        if held:
            driver.held_index = min(index for index, _ in held)
            copy_bytes = max(_size_so_far(path) for _, path in held)
            driver.held_bytes = min(copy_bytes, self._held_bytes_max)

    def _wake_from_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._wake)

    async def _copy(self, machine: DurableStateMachine, state: Path) -> int:
        """The index as of which the state was copied."""
        async with self._turns.copying():
            return await to_its_end(lambda: machine.export(state))

    async def _base_of(self, index: int) -> Base:
        """Raises ReadTimeout, PeerStopping."""
        self._turns.refuse_when_closed()
        asked: asyncio.Future[Base] = self._loop.create_future()
        self._asked.append((index, asked))
        self._wake()
        try:
            async with asyncio.timeout(limits.BACKUP_STEP_MS_MAX / 1000):
                return await asked
        except TimeoutError:
            raise ReadTimeout("this peer waits for its disk: the backup is not complete") from None

    def _read_log(self, driver: Driver) -> None:
        """What copies need to know of the log. Between two steps, as all of its readers: while a
        write is in flight the log may be closed, to be opened again for want of room."""
        asked, self._asked = self._asked, []
        for index, future in asked:
            if future.done():
                continue  # it gave up
            if index < driver.log.first_index:
                trimmed = "the log was trimmed beyond the backup while it was made"
                future.set_exception(ReadTimeout(trimmed))
            else:
                future.set_result(driver.log.base_at(index))
        if self._copied is None:
            return
        (index, size_bytes, digest), self._copied = self._copied, None
        self._begun_index = None
        if index < driver.log.first_index:
            self._not_made("the log was trimmed beyond the snapshot while it was made")
            return
        base = driver.log.base_at(index)
        self._desk.made(Snapshot(base=base, size_bytes=size_bytes, digest=digest))
        self._report(SnapshotMade(index=index, size_bytes=size_bytes))

    async def _make(self, driver: Driver) -> None:
        """A leader that cannot make one leads on, for want of memory or of a thread, too. Raises
        FatalError, and whatever is a bug of the machine: the next step passes it on."""
        try:
            self._files.discard()
            outgoing = self._files.outgoing
            index = await to_its_end(lambda: driver.host.machine.export(outgoing))
            size_bytes, digest = await to_its_end(self._files.measure)
        except (OSError, DiskFull, CorruptData) as error:
            self._not_made(str(error))
        except (RuntimeError, MemoryError) as error:  # no thread can be started, for one
            if not is_for_want(error):
                raise
            self._not_made(repr(error))
        else:
            self._copied = (index, size_bytes, digest)
        finally:
            self._wake()

    def _check_making(self) -> None:
        """Raises what ended the making of a copy for good."""
        if self._making is not None and self._making.done():
            self._making.result()

    def _not_made(self, why: str) -> None:
        self._begun_index = None
        self._desk.failed(self._clock.monotonic_ms())
        self._report(SnapshotFailed(detail=f"it cannot be made: {why}"))

    async def _install(self, driver: Driver, base: Base, path: Path) -> Effects | None:
        """Stands still on a full disk, as every write: between the marker and its end there is no
        state that a step could go on with."""
        machine, before_index = driver.host.machine, driver.applied_index
        checking, self._checking = self._checking, None
        try:
            arrived = None if checking is None else checking.result()
        except (CorruptData, OSError) as error:
            self._refuse(f"what arrived is no state: {error}")
            return None
        except (RuntimeError, MemoryError) as error:
            if not is_for_want(error):
                raise
            self._refuse(f"what arrived cannot be checked: {error!r}")
            return None
        assert arrived is None or arrived.index == base.index, "what was checked is another copy"
        await self._committing.run(lambda: self._store.write_marker(base))

        async def replace() -> None:
            self._read_log(driver)  # what was copied before lies in the log that goes
            if arrived is None:
                machine.install(path, index=base.index)
            else:
                assert isinstance(machine, InMemoryMachine)
                machine.install_checked(arrived)

        try:
            await self._committing.until_room(replace)
        except CorruptData as error:
            await self._committing.run(self._store.drop_marker)
            self._refuse(f"what arrived is no state: {error}")
            return None
        keeps_tail = await self._committing.run(lambda: self._store.reset_to(base))
        effects = driver.installed(base, keeps_tail=keeps_tail)
        self._send(self._desk.installed(driver.engine, base))
        self._report(SnapshotInstalled(index=base.index, before_index=before_index))
        return effects

    def _refuse(self, why: str) -> None:
        """It is asked for again."""
        self._desk.refused()
        self._report(SnapshotFailed(detail=why))


def _size_so_far(path: Path) -> int:
    """Of a copy that is being made."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
