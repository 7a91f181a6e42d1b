"""One simulated peer: the real driver, engine, log and records over a simulated disk and network.

Called by sim_cluster. It is `raft.peer` without asyncio, and keeps the same order: step, send
early, answer, write, barrier, `persisted`, send late. A process may end between any two of these.
"""

from __future__ import annotations

from collections.abc import Sequence

from replicante.errors import FatalError
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.changes import Change
from replicante.raft.data_dir import count_boot
from replicante.raft.generations import take_step
from replicante.raft.host import MachineHost
from replicante.raft.installations import finish_installation
from replicante.raft.log import Log, WriteSet
from replicante.raft.membership import Member
from replicante.raft.state_machine import DurableStateMachine
from replicante.testing.clock import Action, SimClock
from replicante.testing.entropy import Chance
from replicante.testing.sim_birth import Newborn
from replicante.testing.sim_greeting import Greeting
from replicante.testing.sim_options import Site
from replicante.testing.sim_snapshots import SimSnapshots
from replicante.testing.sim_states import FLUSHED, Flushing, StateHome, begins_flush
from replicante.testing.sim_world import Phase, World, site_of

_STALL_US_MAX = 400_000


class SimPeer:
    """Fits `sim_network.Station`."""

    def __init__(
        self,
        world: World,
        newborn: Newborn,
        everybody: Sequence[Member],
        *,
        suffix: str,
        is_durable: bool,
    ) -> None:
        """suffix: of the names that the peers of this group have on the network, whatever their
        peer ids: those of two generations may be the same."""
        member = newborn.member
        self.name = member.peer_id + suffix
        self.key = member.key
        self.disk = newborn.disk
        self.process = 0
        self.phase = Phase.DOWN
        self.is_paused = False
        self.is_stopping = False
        self.driver: d.Driver | None = None
        self.inbox: list[d.Input] = []
        self.stall_until_us = 0
        """The disk answers nothing before this instant."""
        options, schedule = world.options, world.schedule
        self._world = world
        self.member = member
        self._keys = {other.peer_id + suffix: other.key for other in everybody}
        self._names = {key: name for name, key in self._keys.items()}
        self._shelf = newborn.shelf
        self.files = newborn.shelf.files
        self._chance = Chance(options.seed, f"peer {self.name}")
        self._entropy = Chance(options.seed, f"engine {self.name}")
        self.clock = SimClock(
            schedule,
            origin_us=self._chance.between(0, 10_000_000),
            rate=1_000_000 + self._chance.between(-options.drift, options.drift),
        )
        self._writes: WriteSet | None = None
        self._is_written = False
        self._effects: d.Effects | None = None
        self._is_step_planned = False
        self._wake_us = 0
        """When the next step is due without input."""
        self._timer_us: int | None = None
        self.after_pause: Action | None = None
        self._last_flush_ms = 0
        self._next_ticket = 1
        self.installed_us = -1
        """When a snapshot was installed last."""
        self.home = StateHome(
            self.files,
            has_real_state=bool(options.works),
            is_durable=is_durable,
            unflushed_max=self._chance.pick([3, 50, 1 << 40]),
            save_entries=options.save_entries,
        )

    # --- life --------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """It listens: a process that still reads its log does not."""
        return self.driver is not None

    @property
    def machine(self) -> DurableStateMachine:
        assert self.driver is not None
        return self.driver.host.machine

    def start(self) -> None:
        """The process exists; it speaks once its start is counted on disk."""
        assert self.phase is Phase.DOWN
        self.process += 1
        self.phase = Phase.STARTING
        self.is_paused = self.is_stopping = False
        self._world.note(f"start {self.name}")
        if self._world.reached(self, Site.STARTING):
            return
        self.later(self.sync_us(), self._begin)

    def _begin(self) -> None:
        machine = self.home.open(self._world.report)
        finish_installation(self.disk, machine)
        loaded = self.disk.load()
        while take_step(self._shelf, loaded, machine):
            if self._world.reached(self, Site.INSTALLING):
                return
        hard = count_boot(self.disk, loaded)
        options = self._world.options
        self._snapshots = SimSnapshots(self, self._world, self.files)
        self.driver = d.Driver(
            identity=d.Identity(
                peer_id=self.member.peer_id,
                key=self.key,
                incarnation=self.member.incarnation,
                boot=hard.boot,
            ),
            log=Log(self.disk, loaded),
            host=MachineHost(machine),
            entropy=self._entropy,
            now_ms=self.clock.monotonic_ms(),
            heartbeat_ms=options.heartbeat_ms,
            election_ms_min=options.election_ms_min,
            election_ms_max=options.election_ms_max,
            log_kept_bytes=options.log_kept_bytes,
        )
        self._last_flush_ms = self.clock.monotonic_ms()
        self.phase = Phase.IDLE
        self._world.watcher.started(self)
        self._world.network.started(self)
        self.wake()

    def crash(self, *, loses_machine: bool = False) -> None:
        """The process is gone at once. A write in flight is on disk as a whole, or not at all."""
        self._world.note(f"crash {self.name} {loses_machine}")
        if self._writes is not None and not self._is_written and self._chance.happens(0.5):
            self._world.count("crash_kept_write")
            self._sync()
        self._end(loses_sent=loses_machine)
        if loses_machine:
            self.clock.reboot(origin_us=self._chance.between(0, 1_000_000))

    def _end(self, *, loses_sent: bool) -> None:
        self._world.watcher.ended(self)
        self.phase = Phase.DOWN
        self.driver = None
        self.inbox = []
        self._writes = self._effects = None
        self._is_step_planned = False
        self._timer_us = None
        self.after_pause = None
        self._world.network.ended(self, loses_sent=loses_sent)

    def finish(self) -> None:
        """An orderly end, as `Peer.stop` after the hand-over."""
        if self.phase is not Phase.IDLE or self.driver is None:
            return
        self._world.note(f"stop {self.name}")
        self._world.watcher.answered(self, self.driver.stop())
        self.machine.flush()
        self._end(loses_sent=False)

    def pause(self) -> None:
        self._world.note(f"pause {self.name}")
        self.is_paused = True

    def resume(self) -> None:
        if not self.is_paused:
            return
        self._world.note(f"resume {self.name}")
        self.is_paused = False
        action, self.after_pause = self.after_pause, None
        if action is not None:
            action()
        self.wake()

    # --- what arrives ------------------------------------------------------------------------

    def deliver(self, sender: str, body: bytes) -> None:
        if self.driver is not None:
            self._give(d.Received(self._keys[sender], m.decode_message(body)))

    def link_changed(self, other: str, *, is_up: bool) -> None:
        self._world.note(f"link {self.name}>{other} {is_up}")
        if other not in self._keys:
            self._world.watcher.met(self, other)
            return
        self._give(d.LinkChanged(self._keys[other], is_up))

    def link_refused(self, other: str) -> None:
        self._world.count("link_refused")
        self._give(d.LinkRefused(self._keys[other]))

    def greeting(self) -> Greeting:
        assert self.driver is not None
        return Greeting(self.disk, self.driver.engine.roster, self.process)

    def propose(self, command: bytes, *, timeout_ms: int) -> int:
        """The ticket under which it will be answered."""
        ticket = self._ticket()
        self._give(d.ProposeInput(ticket, command, self.clock.monotonic_ms() + timeout_ms))
        return ticket

    def read(self, *, timeout_ms: int) -> int:
        ticket = self._ticket()
        self._give(d.ReadInput(ticket, self.clock.monotonic_ms() + timeout_ms))
        return ticket

    def change(self, change: Change, *, timeout_ms: int) -> int:  # the ticket of its answer
        ticket, deadline_ms = self._ticket(), self.clock.monotonic_ms() + timeout_ms
        self._give(d.ChangeInput(ticket, change, deadline_ms))
        return ticket

    def hand_over(self) -> None:
        deadline_ms = self.clock.monotonic_ms() + self._world.options.election_ms_min
        self._give(d.TransferInput(deadline_ms))

    def _ticket(self) -> int:
        self._next_ticket += 1
        return self._next_ticket

    def _give(self, given: d.Input) -> None:
        if self.driver is not None:
            self.inbox.append(given)
            self.wake()

    # --- the loop ----------------------------------------------------------------------------

    def wake(self) -> None:
        if self._is_step_planned or self.is_paused or self.phase is not Phase.IDLE:
            return
        self._is_step_planned = True
        low_us, high_us = self._world.options.loop_us
        self.later(self._chance.between(low_us, high_us), self._step)

    def _step(self) -> None:
        if not self._is_step_planned or self.is_paused or self.phase is not Phase.IDLE:
            self._is_step_planned = False
            return
        self._is_step_planned = False
        driver = self.driver
        assert driver is not None
        inputs, self.inbox = self.inbox, []
        now_ms = self.clock.monotonic_ms()
        world = self._world
        world.note(f"step {self.name} {now_ms} {len(inputs)}")
        try:
            effects = driver.step(inputs, now_ms=now_ms, wall_ms=self.clock.wall_ms())
        except FatalError as error:
            world.watcher.failed(self, error)
            return
        world.watcher.stepped(self, effects, now_ms=now_ms)
        if driver.log.has_writes:
            # Taken first, so that a crash while sending finds the write on its way.
            self._writes, self._is_written = driver.log.take_writes(), False
            world.watcher.staged(self, self._writes)
        if effects.early and not self.send(effects.early):
            return
        world.watcher.answered(self, effects)
        if effects.proposals and world.reached(self, Site.ANSWERED):
            return
        if effects.observations and driver.engine.is_leader and world.reached(self, Site.ELECTED):
            return
        if self._writes is None:
            self._complete(effects)
            return
        self.phase = Phase.WRITING
        self._effects = effects
        if not world.reached(self, Site.BEFORE_BARRIER):
            self.later(self.sync_us(), self._barrier)

    def _barrier(self) -> None:
        """The disk has it. The process learns of it a moment later, if it still runs."""
        if self._world.schedule.now_us < self.stall_until_us:
            self.later(self.stall_until_us - self._world.schedule.now_us, self._barrier)
            return
        self._sync()
        self._world.note(f"barrier {self.name} {self.disk.last_index}")
        if not self._world.reached(self, Site.AFTER_BARRIER):
            self.later(self._chance.between(*self._world.options.loop_us), self._persisted)

    def _sync(self) -> None:
        assert self._writes is not None
        self.disk.write(self._writes)
        self._is_written = True
        self._world.watcher.synced(self, self._writes)

    def _persisted(self) -> None:
        if self.is_paused:
            self.after_pause = self._persisted
            return
        driver, effects = self.driver, self._effects
        assert driver is not None
        assert effects is not None
        self._writes = self._effects = None
        driver.persisted()
        self.phase = Phase.IDLE
        self._complete(effects)

    def _complete(self, effects: d.Effects) -> None:
        driver = self.driver
        assert driver is not None
        if effects.late and not self.send(effects.late):
            return
        now_ms = self.clock.monotonic_ms()
        if not self._snapshots.step(effects, now_ms=now_ms):
            return
        self._flush_state(driver.host.machine, now_ms)
        if driver.engine.is_removed:
            self._world.count("removal_told")
            self.finish()
            return
        if effects.has_more or driver.wants_step or self.inbox:
            self.wake()
            return
        self._wake_us = self.clock.instant_us(driver.next_wake_ms())
        if self._timer_us is None or self._wake_us < self._timer_us:
            self._set_timer()

    def _set_timer(self) -> None:
        due_us = self._timer_us = self._wake_us
        self.later(due_us - self._world.schedule.now_us, lambda: self._timer(due_us))

    def _timer(self, due_us: int) -> None:
        """Nearly every step moves the next one further away; the timer is set again only when it
        runs out, and not by each of them."""
        if self._timer_us != due_us:
            return
        if self._wake_us > due_us:
            self._set_timer()
        else:
            self._timer_us = None
            self.wake()

    # --- sending -----------------------------------------------------------------------------

    def send(self, messages: list[tuple[str, m.Message]]) -> bool:
        """False when the process ended on the way."""
        world = self._world
        for key, message in messages:
            target = self._names[key]
            world.watcher.sent(self, target, message)
            world.network.send(self.name, target, message)
            site = site_of(message)
            if site is not None and world.reached(self, site):
                return False
        return True

    # --- below -------------------------------------------------------------------------------

    def _flush_state(self, machine: DurableStateMachine, now_ms: int) -> None:
        is_due = now_ms - self._last_flush_ms >= self._world.options.flush_ms
        if not (is_due or machine.is_full):
            return
        self._last_flush_ms = now_ms
        if not isinstance(machine, FLUSHED):
            machine.request_flush()  # in memory: saved at once, when enough was applied
        elif begins_flush(machine):
            self.later(self.sync_us() * 2, lambda: self._flushed(machine))

    def _flushed(self, machine: Flushing) -> None:
        if machine.is_flushing:
            machine.finish_flush()
            self.wake()

    def sync_us(self) -> int:
        world = self._world
        if world.network.is_calm:
            return world.options.sync_us[0]
        return self._chance.between(*world.options.sync_us)

    def stall_disk(self) -> None:
        now_us = self._world.schedule.now_us
        self.stall_until_us = now_us + self._chance.between(1_000, _STALL_US_MAX)

    def later(self, delay_us: int, action: Action) -> None:
        """`action` belongs to the process that runs now; it dies with it."""
        process = self.process

        def when_due() -> None:
            if self.process == process and self.phase is not Phase.DOWN:
                action()

        self._world.schedule.after(delay_us, when_due)
