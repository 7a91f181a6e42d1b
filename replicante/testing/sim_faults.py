"""What goes wrong in a simulated run: at random moments, and right after a promise was given.

Called by sim_cluster. Faults that come by chance alone find half of the bugs; the other half
needs a crash or a cut within a moment of a vote, an acknowledgement, a commit.
"""

from __future__ import annotations

from collections.abc import Callable

from replicante.testing.clock import Schedule
from replicante.testing.entropy import Chance
from replicante.testing.sim_network import SimNetwork
from replicante.testing.sim_options import SITE_PROBABILITY, Fault, Options, Reaction, Site
from replicante.testing.sim_peer import SimPeer
from replicante.testing.sim_world import Phase

_DATE_JUMP_MS = 3_600_000


class Faults:
    def __init__(
        self,
        schedule: Schedule,
        options: Options,
        network: SimNetwork,
        peers: list[SimPeer],
        *,
        note: Callable[[str], None],
        count: Callable[[str], None],
    ) -> None:
        self.is_on = True
        self._schedule = schedule
        self._options = options
        self._network = network
        self._peers = peers
        self._note = note
        self._count = count
        self._chance = Chance(options.seed, "faults")
        self._triggers = frozenset(options.triggers)

    def begin(self) -> None:
        if self._options.faults:
            self._plan()

    def _plan(self) -> None:
        self._schedule.after(self._chance.exponential(self._options.fault_gap_us), self._strike)

    def _strike(self) -> None:
        if self.is_on:
            self._do(self._chance.pick(self._options.faults))
            self._plan()

    # --- triggered ---------------------------------------------------------------------------

    def reached(self, peer: SimPeer, site: Site) -> bool:
        """True when the peer ended because of it."""
        if not self.is_on or site not in self._triggers:
            return False
        if not self._chance.happens(SITE_PROBABILITY[site]):
            return False
        reaction = self._chance.pick(self._options.reactions)
        self._count(f"{site.value}_{reaction.value}")
        self._note(f"trigger {site.value} {reaction.value} {peer.name}")
        match reaction:
            case Reaction.CRASH:
                self._crash(peer)
                return True
            case Reaction.PAUSE:
                self._pause(peer)
            case Reaction.CUT:
                # What was said last may still arrive.
                delay_us = self._chance.between(0, 2 * self._options.delay_us[1])
                self._schedule.after(delay_us, lambda: self._cut_off_while_on(peer))
        return False

    # --- at random ---------------------------------------------------------------------------

    def _do(self, fault: Fault) -> None:
        self._count(f"fault_{fault.value}")
        self._note(f"fault {fault.value}")
        peer = self._chance.pick(self._peers)
        match fault:
            case Fault.CRASH:
                self._crash(peer)
            case Fault.CRASH_LEADER:
                self._crash(self._leader() or peer)
            case Fault.CRASH_ALL:
                for each in self._peers:
                    self._crash(each, loses_machine=True)
            case Fault.PAUSE:
                self._pause(peer)
            case Fault.PAUSE_LEADER:
                self._pause(self._leader() or peer)
            case Fault.PARTITION:
                self._partition()
            case Fault.ISOLATE_LEADER:
                self._isolate(self._leader() or peer)
            case Fault.ONE_WAY:
                self._cut_one_way()
            case Fault.RESET_LINK:
                for other in self._others(peer):
                    if self._chance.happens(0.5):
                        self._network.reset(peer.name, other.name)
            case Fault.HEAL:
                self._network.heal_all()
            case Fault.TRANSFER:
                (self._leader() or peer).hand_over()
            case Fault.STOP:
                self._stop(peer)
            case Fault.STALL_DISK:
                peer.stall_disk()
            case Fault.JUMP_DATE:
                peer.clock.wall_offset_ms += self._chance.between(-_DATE_JUMP_MS, _DATE_JUMP_MS)

    def _crash(self, peer: SimPeer, *, loses_machine: bool | None = None) -> None:
        if peer.phase is Phase.DOWN:
            return
        if loses_machine is None:
            loses_machine = self._chance.happens(0.3)
        peer.crash(loses_machine=loses_machine)
        self._restart_later(peer)

    def _restart_later(self, peer: SimPeer) -> None:
        process = peer.process

        def restart() -> None:
            if self.is_on and peer.phase is Phase.DOWN and peer.process == process:
                peer.start()

        self._schedule.after(self._chance.between(*self._options.restart_us), restart)

    def _stop(self, peer: SimPeer) -> None:
        """An orderly stop: hand over, then end."""
        if peer.phase is Phase.DOWN or peer.is_stopping:
            return
        peer.is_stopping = True
        peer.hand_over()
        process = peer.process

        def end() -> None:
            if peer.process != process or not peer.is_stopping:
                return
            peer.finish()
            if peer.phase is Phase.DOWN:
                self._restart_later(peer)
            else:
                self._schedule.after(1_000, end)

        self._schedule.after(self._chance.between(1_000, 100_000), end)

    def _pause(self, peer: SimPeer) -> None:
        if peer.is_paused or peer.phase is Phase.DOWN:
            return
        peer.pause()
        process = peer.process

        def resume() -> None:
            if peer.process == process:
                peer.resume()

        longest_ms = 3 * self._options.election_ms_max
        self._schedule.after(self._chance.between(1, longest_ms) * 1_000, resume)

    # --- cuts --------------------------------------------------------------------------------

    def _isolate(self, peer: SimPeer) -> None:
        which = self._chance.between(0, 3)
        pairs = []
        for other in self._others(peer):
            if which != 1:
                pairs.append((peer, other))
            if which != 2:
                pairs.append((other, peer))
        self._cut(pairs)

    def _cut_off_while_on(self, peer: SimPeer) -> None:
        if not self.is_on:
            return
        if self._chance.happens(0.5):
            self._isolate(peer)
        else:
            self._partition(peer)

    def _partition(self, peer: SimPeer | None = None) -> None:
        """peer: one who is not left alone, if it can be helped."""
        size = self._chance.between(1, max(1, len(self._peers) - 1))
        side = self._chance.some(self._peers, size)
        if peer is not None:
            side = [peer, *self._chance.some(self._others(peer), size - 1)]
        rest = [other for other in self._peers if other not in side]
        pairs = [(a, b) for a in side for b in rest]
        self._cut(pairs + [(b, a) for a, b in pairs])

    def _cut_one_way(self) -> None:
        pairs = []
        for peer in self._peers:
            pairs += [(peer, o) for o in self._others(peer) if self._chance.happens(0.25)]
        self._cut(pairs)

    def _cut(self, pairs: list[tuple[SimPeer, SimPeer]]) -> None:
        for source, target in pairs:
            self._network.cut(source.name, target.name)

        def give_up() -> None:
            for source, target in pairs:
                self._network.give_up(source.name, target.name)

        def heal() -> None:
            if self.is_on:
                for source, target in pairs:
                    self._network.heal(source.name, target.name)

        longest_us = 3_000 * self._options.election_ms_max
        healed_us = self._chance.between(5_000, longest_us)
        if self._chance.happens(0.3):
            self._schedule.after(healed_us // 2, give_up)
        self._schedule.after(healed_us, heal)

    # --- below -------------------------------------------------------------------------------

    def _leader(self) -> SimPeer | None:
        leaders = [p for p in self._peers if p.driver is not None and p.driver.engine.is_leader]
        return self._chance.pick(leaders) if leaders else None

    def _others(self, peer: SimPeer) -> list[SimPeer]:
        return [other for other in self._peers if other is not peer]
