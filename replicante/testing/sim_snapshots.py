"""What `peer_snapshots` does, in a simulated process: the real desk, and installations that may be
cut off between any two of their steps.

Made by sim_peer for each process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante.errors import CorruptData
from replicante.raft import driver as d
from replicante.raft.snapshots import Snapshot, SnapshotDesk
from replicante.testing.clock import Action
from replicante.testing.sim_files import OUTGOING, SimFiles
from replicante.testing.sim_options import Site
from replicante.testing.sim_world import Phase, World

if TYPE_CHECKING:
    from replicante.testing.sim_peer import SimPeer


class SimSnapshots:
    def __init__(self, peer: SimPeer, world: World, files: SimFiles) -> None:
        files.restart()
        self._peer = peer
        self._world = world
        self._files = files
        self._desk = SnapshotDesk(files, patience_ms=world.options.election_ms_min)
        self._keeps_tail = False

    def step(self, effects: d.Effects, *, now_ms: int) -> bool:
        """False when the process ended, or waits for its disk."""
        driver, desk = self._peer.driver, self._desk
        assert driver is not None
        out = desk.step(
            driver.engine,
            chunks=effects.chunks,
            acks=effects.snapshot_acks,
            applied_index=driver.applied_index,
            is_state_trusted=driver.agreement.is_state_trusted,
            now_ms=now_ms,
        )
        if out and not self._peer.send(out):
            return False
        driver.held_index = desk.held_index
        if desk.wants_file:
            desk.wants_file, desk.is_making = False, True
            self._peer.later(self._peer.sync_us() * 3, self._make_snapshot)
        if desk.arrived is None:
            return True
        self._peer.phase = Phase.WRITING
        self._peer.later(self._peer.sync_us(), self._begin_installation)
        return False

    def _make_snapshot(self) -> None:
        driver = self._peer.driver
        assert driver is not None
        try:
            index = driver.host.machine.export(OUTGOING)
        except CorruptData:  # a machine in memory that has not saved anything
            self._desk.failed(self._peer.clock.monotonic_ms())
            return
        if index < driver.log.first_index:
            self._desk.failed(self._peer.clock.monotonic_ms())
            return
        size_bytes, digest = self._files.measure()
        base = driver.log.base_at(index)
        self._desk.made(Snapshot(base=base, size_bytes=size_bytes, digest=digest))
        self._world.count("snapshot_made")
        self._peer.wake()

    def _begin_installation(self) -> None:
        """As the product: a file that is being made is complete first. Its place is read in the
        log, which does not reach the state while an installation is half done."""
        if self._desk.is_making:
            self._peer.later(self._peer.sync_us(), self._begin_installation)
        else:
            self._mark_installation()

    def _mark_installation(self) -> None:
        assert self._desk.arrived is not None
        base, _ = self._desk.arrived
        self._peer.disk.write_marker(base)
        self._next_of_installation(self._replace_state)

    def _replace_state(self) -> None:
        assert self._desk.arrived is not None
        base, path = self._desk.arrived
        self._peer.machine.install(path, index=base.index)
        self._next_of_installation(self._reset_log)

    def _reset_log(self) -> None:
        assert self._desk.arrived is not None
        base, _ = self._desk.arrived
        self._keeps_tail = self._peer.disk.reset_to(base)
        self._next_of_installation(self._installed)

    def _next_of_installation(self, action: Action) -> None:
        if not self._world.reached(self._peer, Site.INSTALLING):
            self._peer.later(self._peer.sync_us(), action)

    def _installed(self) -> None:
        if self._peer.is_paused:
            self._peer.after_pause = self._installed
            return
        driver = self._peer.driver
        assert driver is not None
        assert self._desk.arrived is not None
        base, _ = self._desk.arrived
        effects = driver.installed(base, keeps_tail=self._keeps_tail)
        self._world.note(f"installed {self._peer.name} {base.index} {self._keeps_tail}")
        self._world.count("snapshot_installed")
        self._peer.installed_us = self._world.schedule.now_us
        self._world.watcher.answered(self._peer, effects)
        self._peer.phase = Phase.IDLE
        if self._peer.send(self._desk.installed(driver.engine, base)):
            self._peer.wake()
