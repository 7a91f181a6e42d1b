"""One member of a replicated group: start, stop, propose, read_barrier, status, observe.
Touches asyncio and threads.

The thin shell around `driver`: gathers what arrived, runs one step, makes its writes durable on
the commit thread, sends what had to wait for them, answers callers. Rule: whatever a step
promises leaves only after `persisted`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from replicante.clock import Clock, SystemClock
from replicante.dir_lock import DirLock
from replicante.entropy import Entropy, SystemEntropy
from replicante.errors import (
    DiskFull,
    NoLeader,
    OutcomeUnknown,
    PeerStopping,
    QueueFull,
    ReadTimeout,
    ReplicanteError,
    StorageFull,
)
from replicante.raft import driver as d
from replicante.raft.backup import Backup
from replicante.raft.callers import Callers, Proposed
from replicante.raft.commit_thread import CommitThread
from replicante.raft.committing import Committing
from replicante.raft.data_dir import open_log
from replicante.raft.engine_check import check_engine
from replicante.raft.in_memory import begin_durable
from replicante.raft.inbox import Inbox
from replicante.raft.member_door import MemberDoor
from replicante.raft.neighbours import Neighbours
from replicante.raft.observations import Observation, RoleChanged
from replicante.raft.peer_driver import Machine, check_membership, open_driver, open_machine
from replicante.raft.peer_snapshots import PeerSnapshots
from replicante.raft.peer_status import is_ready, status_of, unborn_status
from replicante.raft.quarantine_file import QuarantineNote
from replicante.raft.settings import PeerOptions
from replicante.raft.standing_still import StandingStill
from replicante.raft.state_machine import DurableStateMachine
from replicante.raft.status import Role, Status
from replicante.raft.waiters import AppliedWaiters

_DURABLE_CHECK_S = 0.02
_DEFAULT = PeerOptions()


class Peer(MemberDoor):
    """Use: `start`, then anything from the same event loop, then `stop`. `wait_closed` tells
    why it ended by itself."""

    def __init__(
        self,
        data_dir: Path,
        peer_id: str,
        address: str,
        peers: Mapping[str, str],
        state_machine: Machine,
        *,
        options: PeerOptions = _DEFAULT,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        """data_dir: created when it is missing. address: `host:port` for the other peers.
        peers: first voters, peer id → address, this one included; they count until the birth."""
        self.settings = options.of(data_dir=data_dir, peer_id=peer_id, listen=address, peers=peers)
        self._machine_given = state_machine
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._inbox = Inbox()
        self._callers = Callers()
        self._joiners = {}
        self._observers: list[Callable[[Observation], None]] = []
        self._driver: d.Driver | None = None
        self._task: asyncio.Task[None] | None = None
        self._standing_still = StandingStill(self.report)
        self._quarantine_note = QuarantineNote(data_dir)
        self._is_stopping = False
        self._last_flush_ms = 0

    # --- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Returns when this peer listens; it may still wait for others (`status().is_ready`).

        Raises the StartRefused family: UnsupportedEngine, WrongIdentity, CorruptData,
        UnsupportedFormat, AddressInUse, InvalidConfig; DiskFull.
        """
        assert self._task is None, "a peer starts once"
        check_engine()
        self._wake = asyncio.Event()
        self._followed = asyncio.Event()
        self._waiters = AppliedWaiters()
        with contextlib.ExitStack() as opened:
            lock = DirLock.acquire(self.settings.data_dir)
            opened.callback(lock.release)
            self._store, header = open_log(self.settings, clock=self._clock, entropy=self._entropy)
            opened.callback(self._store.close)
            self._committer = CommitThread(f"raft-log-{self.settings.peer_id}")
            opened.callback(self._committer.stop)
            self._committing = Committing(
                self._store,
                self._committer,
                self._standing_still,
                clock=self._clock,
                report=self.report,
            )
            given, folder = self._machine_given, self.settings.data_dir
            self._machine = open_machine(given, header.incarnation, data_dir=folder)
            opened.callback(self._machine.close)
            self._neighbours = Neighbours(
                self.settings,
                header,
                self._store,
                clock=self._clock,
                entropy=self._entropy,
                sink=self,
            )
            if header.cluster_id:
                self._begin()
            self._snapshots = PeerSnapshots(
                self.settings,
                self._store,
                self._committing,
                clock=self._clock,
                send=self._neighbours.send,
                report=self.report,
                wake=self.wake,
            )
            try:
                await self._neighbours.start()
            except BaseException:
                await self._snapshots.close()
                raise
            self._opened = opened.pop_all()
        self._task = asyncio.create_task(self._run(), name=f"raft-{self.settings.peer_id}")

    async def stop(self) -> None:
        """Hands leadership over if it can within an election timeout, answers everybody, makes
        the state durable. Idempotent; when it is cancelled the peer goes on ending by itself,
        unless it was still handing over."""
        if self._task is None:
            return
        await self.hand_over()
        self._is_stopping = self._committing.is_stopping = True
        self._wake.set()
        await asyncio.wait((self._task,))  # raises nothing but the cancellation of who waits
        if not self._task.cancelled():
            self._task.exception()  # is seen, and told by wait_closed

    async def wait_closed(self) -> None:
        """Until this peer ended. Raises what ended it: FatalError, WrongIdentity, …; after `stop`
        nothing but a FatalError of the disk."""
        assert self._task is not None
        await asyncio.shield(self._task)

    def observe(self, callback: Callable[[Observation], None]) -> None:
        """callback: on the loop's thread, must not block or raise; for diagnostics only."""
        self._observers.append(callback)

    # --- use ---------------------------------------------------------------------------------

    async def propose(self, command: bytes, *, timeout_ms: int) -> Proposed:
        """Replicates `command` and returns the state machine's answer, applied exactly once.

        Definitely not done: NoLeader, QueueFull, TooLarge, SessionEnded, PeerStopping,
        DiskFull, StorageFull, Quarantined. OutcomeUnknown: it may or may not be done; it will not
        happen later than other work of this peer.
        """
        self._refuse_when_unable()
        deadline_ms = self._clock.monotonic_ms() + timeout_ms
        ticket = self._callers.proposals.open()
        self._give(d.ProposeInput(ticket, command, deadline_ms))
        try:
            late = OutcomeUnknown
            return await self._callers.proposals.wait(ticket, timeout_ms=timeout_ms, late=late)
        except OutcomeUnknown:
            if self._driver is None:
                raise NoLeader() from None  # an unborn peer: the command is still here
            raise

    async def read_barrier(self, *, timeout_ms: int) -> int:
        """Afterwards this peer's state holds every write that was acknowledged before the call.

        Its index. Raises NoLeader, QueueFull, ReadTimeout, PeerStopping, Quarantined.
        """
        if self._is_stopping:
            raise PeerStopping()
        self._standing_still.refuse_read()
        self._refuse_when_behind()
        deadline_ms = self._clock.monotonic_ms() + timeout_ms
        ticket = self._callers.reads.open()
        self._give(d.ReadInput(ticket, deadline_ms))
        return await self._callers.reads.wait(ticket, timeout_ms=timeout_ms, late=ReadTimeout)

    async def backup(self, folder: Path, *, timeout_ms: int) -> Backup:
        """Copies the state into a new folder (relative: below `backups` of the data directory)
        while writing goes on. It holds what was applied here before. `restoring` makes peers of it.

        timeout_ms: until that is durable. Raises NoLeader, OSError, PeerStopping, ReadTimeout,
        Quarantined, Invalid, DiskFull, StorageFull, CorruptData."""
        deadline_ms, target = self._clock.monotonic_ms() + timeout_ms, self.applied_index
        while self._machine.durable_index < target:
            self._refuse_when_unable()
            if self._clock.monotonic_ms() >= deadline_ms:
                raise ReadTimeout("the state could not be made durable in time")
            begin_durable(self._machine)
            await asyncio.sleep(_DURABLE_CHECK_S)
        self._refuse_when_unable()
        if self._driver is None:
            raise NoLeader("there is nothing to back up: the cluster is not born yet")
        return await self._snapshots.backup(self._driver, self._neighbours.header, folder)

    async def wait_applied(self, index: int, *, timeout_ms: int) -> bool:
        """True when this peer has applied `index`; False after the time, or when it stops."""
        return await self._waiters.wait(
            index, applied_index=self.applied_index, timeout_ms=timeout_ms
        )

    @property
    def applied_index(self) -> int:
        return self._machine.applied_index

    @property
    def machine(self) -> DurableStateMachine:
        return self._machine

    def staleness_ms(self) -> int | None:
        """Upper bound of the age of the applied state; None when nothing proves one."""
        driver = self._driver
        return None if driver is None else driver.staleness_ms(self._clock.monotonic_ms())

    def status(self) -> Status:
        """Cheap; never waits."""
        if self._driver is None:
            return unborn_status(self._neighbours.header, self._machine)
        return status_of(
            self._driver,
            self._neighbours,
            staleness_ms=self.staleness_ms(),
            is_ready=self._is_ready(),
            is_disk_full=self._standing_still.is_disk_full,
            is_log_full=self._standing_still.is_log_full,
        )

    # --- what neighbours hand in (see neighbours.Sink) -----------------------------------------

    def receive(self, given: d.Input, *, size_bytes: int = 0) -> bool:
        """False when this peer is behind: read no more until `resume`."""
        self._wake.set()
        return self._inbox.receive(given, size_bytes=size_bytes)

    def born(self) -> None:
        self._begin()
        self._wake.set()

    def report(self, observation: Observation) -> None:
        for observer in self._observers:
            observer(observation)

    def wake(self) -> None:
        self._wake.set()

    # --- the loop ------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while not self._is_stopping:
                await self._wait()
                self._neighbours.check()
                await self._neighbours.advance_birth(self._committer)
                if self._driver is not None:
                    await self._step(self._driver)
                    check_membership(self._driver)
            self._answer_all(PeerStopping)
            with contextlib.suppress(DiskFull, StorageFull):  # the log replays what the state lacks
                self._machine.flush()
        except (DiskFull, StorageFull):
            if not self._is_stopping:
                raise
            # A write was still to be made, and who stops waits no longer for room.
        finally:
            self._is_stopping = True
            async with contextlib.AsyncExitStack() as ending:  # each part, whatever fails before
                ending.enter_context(self._opened)
                ending.push_async_callback(self._snapshots.close)
                for joiner in list(self._joiners.values()):
                    ending.callback(joiner.cancel)
                ending.push_async_callback(self._neighbours.stop)
                # A step that failed half way may have applied what it did not answer.
                self._answer_all(PeerStopping if self._driver is None else OutcomeUnknown)

    async def _wait(self) -> None:
        """Until something arrived or the driver's next time has come."""
        if self._wake.is_set() or self._driver is None:
            await self._wake.wait()
        else:
            delay_ms = self._driver.next_wake_ms() - self._clock.monotonic_ms()
            loop = asyncio.get_running_loop()
            timer = loop.call_later(max(delay_ms, 0) / 1000, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
        self._wake.clear()

    async def _step(self, driver: d.Driver) -> None:
        inputs, was_full = self._inbox.take()
        now_ms = self._clock.monotonic_ms()
        effects = driver.step(inputs, now_ms=now_ms, wall_ms=self._clock.wall_ms())
        self._neighbours.set_roster(driver.engine.roster)
        self._neighbours.send(effects.early)
        self._answer_step(effects)
        if driver.log.has_writes:
            writes = driver.log.take_writes()
            await self._committing.commit(writes, is_awaited=bool(effects.early))
            driver.persisted()
        self._standing_still.quarantine = driver.agreement.quarantine
        await self._quarantine_note.keep(driver.agreement.quarantine, self._committer)
        self._neighbours.send(effects.late)
        jumped = await self._snapshots.step(driver, effects)
        if jumped is not None:
            self._neighbours.set_roster(driver.engine.roster)
            self._answer_step(jumped)
        self._flush_state(now_ms)
        if effects.has_more or driver.wants_step or self._inbox:
            self._wake.set()
        self._neighbours.hold_bulk(is_held=effects.is_flooded)
        if was_full:
            self._neighbours.resume()
        await asyncio.sleep(0)  # callers and HTTP get their turn between two steps

    def _answer_step(self, effects: d.Effects) -> None:
        self._callers.answer(effects)
        for observation in effects.observations:
            self.report(observation)
            if isinstance(observation, RoleChanged) and observation.before is Role.LEADER:
                self._followed.set()
        self._waiters.applied(self.applied_index)

    def _flush_state(self, now_ms: int) -> None:
        if now_ms - self._last_flush_ms >= self.settings.flush_interval_ms or self._machine.is_full:
            self._last_flush_ms = now_ms
            self._machine.request_flush()

    # --- below -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        """The cluster exists: from now on there is a driver."""
        self._driver = open_driver(
            self.settings,
            self._neighbours.header,
            self._store,
            self._machine,
            entropy=self._entropy,
            now_ms=self._clock.monotonic_ms(),
        )
        self._standing_still.quarantine = self._driver.agreement.quarantine
        self._neighbours.set_roster(self._driver.engine.roster)
        self._wake.set()

    def _refuse_when_unable(self) -> None:
        if self._is_stopping:
            raise PeerStopping()
        self._standing_still.refuse_write()
        self._refuse_when_behind()

    def _refuse_when_behind(self) -> None:
        """An unborn peer, and one that waits for its disk, takes nothing out of its inbox."""
        if not self._inbox.has_room:
            raise QueueFull("this peer is not born yet or waits for its disk")

    def _give(self, given: d.Input) -> None:
        self._inbox.give(given)
        self._wake.set()

    def _answer_all(self, rest: type[ReplicanteError]) -> None:
        """rest: for proposals and changes that the driver does not have."""
        if self._driver is not None:
            self._answer_step(self._driver.stop())
        self._callers.proposals.fail_all(rest)
        self._callers.changes.fail_all(rest)
        self._callers.reads.fail_all(PeerStopping)
        self._waiters.close()

    def _is_ready(self) -> bool:
        driver = self._driver
        if driver is None or self._is_stopping or self._standing_still:
            return False
        return is_ready(driver, staleness_ms=self.staleness_ms())
