"""One generation of a simulated cluster: its peers, who asks and disturbs them, who judges them.

Made by sim_cluster, and by sim_recovery when another one begins. Generations share time, network
and trace; everything that a rule is about belongs to one of them.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable

from replicante.errors import FatalError
from replicante.ids import generation_of
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.log import WriteSet
from replicante.raft.membership import Member
from replicante.raft.state_machine import DurableStateMachine
from replicante.testing.clock import Schedule
from replicante.testing.sim_birth import Birth
from replicante.testing.sim_checks import RaftChecks, Violation
from replicante.testing.sim_clients import Clients
from replicante.testing.sim_faults import Faults
from replicante.testing.sim_history import HistoryChecks
from replicante.testing.sim_machine import decode_outcome
from replicante.testing.sim_members import Operator
from replicante.testing.sim_network import SimNetwork
from replicante.testing.sim_options import Options
from replicante.testing.sim_peer import SimPeer
from replicante.testing.sim_state_clients import ProbingClients, StateClients, no_version
from replicante.testing.sim_states import StateHome
from replicante.testing.sim_world import World


class Trace:
    """Sums up everything that happens, in order; keeps it in words only when asked to."""

    def __init__(self, schedule: Schedule, *, keeps_lines: bool) -> None:
        self.lines: list[str] = []
        self._noted: list[str] = []
        self._schedule = schedule
        self.keeps_lines = keeps_lines

    def note(self, text: str) -> None:
        line = f"{self._schedule.now_us} {text}"
        self._noted.append(line)
        if self.keeps_lines:
            self.lines.append(line)

    @property
    def hash(self) -> int:
        """Of all lines that were noted."""
        return zlib.crc32("".join(self._noted).encode())


class Ground:
    """What all generations of a run share."""

    def __init__(self, options: Options, *, keeps_lines: bool) -> None:
        self.schedule = Schedule()
        self.trace = Trace(self.schedule, keeps_lines=keeps_lines)
        self.counters: Counter[str] = Counter()
        self.network = SimNetwork(self.schedule, options, note=self.trace.note, count=self.count)

    def count(self, name: str) -> None:
        self.counters[name] += 1


class Generation:
    """Fits `sim_world.Watcher`."""

    def __init__(self, options: Options, ground: Ground, birth: Birth) -> None:
        """options: of this generation, whatever the one before it had."""
        self.options = options
        self.ground = ground
        self.birth = birth
        self.schedule = ground.schedule
        self.trace = ground.trace
        self.network = ground.network
        self.count = ground.count
        self.raft = RaftChecks(self.schedule, birth, drift=options.drift, count=self.count)
        decode = no_version if options.works else decode_outcome
        self.history = HistoryChecks(
            self.schedule, self.raft, decode=decode, birth=birth, count=self.count
        )
        self.peers: list[SimPeer] = []
        self.faults = Faults(
            self.schedule,
            options,
            self.network,
            self.peers,
            note=self.trace.note,
            count=self.count,
        )
        world = World(
            options=options,
            schedule=self.schedule,
            network=self.network,
            watcher=self,
            note=self.trace.note,
            count=self.count,
            report=self.history.applied,
            reached=self.faults.reached,
        )
        number = generation_of(birth.first.index)
        self.peers += [
            SimPeer(
                world,
                newborn,
                [it.member for it in birth.peers],
                suffix=f".{number}" if number else "",
                is_durable=place < options.durable_machines,
            )
            for place, newborn in enumerate(birth.peers)
        ]
        self._first_members = self.peers[: len(birth.configuration.members)]
        self.network.connect(self.peers)
        self.raft.watch(self.peers)
        self.clients = self._make_clients()
        self.operator = Operator(
            self.schedule,
            options,
            self.peers,
            lambda: self.raft.configuration,
            note=self.trace.note,
            count=self.count,
        )
        self.digests = dict(birth.digests)
        """Index → of every state that was ever as of it."""
        self._digested: dict[str, tuple[int, int]] = {}

    def _make_clients(self) -> Clients:
        options, note = self.options, self.trace.note
        if not options.works:
            return Clients(self.schedule, options, self.history, self.peers, note=note)
        if self.birth.number:
            return ProbingClients(self.schedule, options, self.history, self.peers, note=note)
        return StateClients(
            self.schedule, options, self.history, self.peers, note=note, count=self.count
        )

    @property
    def voters(self) -> list[SimPeer]:
        """Of the newest configuration that is committed."""
        return self._peers_of(self.raft.configuration.voters)

    @property
    def members(self) -> list[SimPeer]:
        return self._peers_of(self.raft.configuration.members)

    def _peers_of(self, members: Iterable[Member]) -> list[SimPeer]:
        keys = {member.key for member in members}
        return [peer for peer in self.peers if peer.key in keys]

    # --- the run -----------------------------------------------------------------------------

    def begin(self) -> None:
        for peer in self._first_members:
            peer.start()
        self.clients.begin()
        self.faults.begin()
        self.operator.begin()

    def live(self, *, until_us: int) -> None:
        """Raises Violation, or whatever a peer raised."""
        self.schedule.run(until_us=until_us)

    def calm(self) -> None:
        """Nothing new goes wrong, nobody asks or changes anything any more."""
        self.faults.is_on = self.operator.is_on = False
        self.clients.is_open = False

    # --- Watcher -----------------------------------------------------------------------------

    def started(self, peer: SimPeer) -> None:
        self.count("process_started")
        self.raft.started(peer)
        assert peer.driver is not None
        if peer.machine.applied_index > peer.disk.last_index:
            raise Violation("state behind the log", f"{peer.name} would refuse to start")
        if peer.machine.applied_index < peer.disk.first_index - 1:
            raise Violation("log behind the state", f"{peer.name} would refuse to start")
        if peer.machine.applied_index < peer.disk.last_index:
            self.count("state_lagged")

    def stepped(self, peer: SimPeer, effects: d.Effects, *, now_ms: int) -> None:
        if self.history.broken is not None:
            raise self.history.broken
        machine = peer.machine
        self.raft.stepped(peer)
        self.operator.looked()
        self._check_digest(peer, machine)
        self.history.check_staleness(
            peer, machine.applied_index, now_ms=now_ms, drift=self.options.drift
        )

    def staged(self, peer: SimPeer, writes: WriteSet) -> None:
        self.raft.staged(peer, writes)

    def synced(self, peer: SimPeer, writes: WriteSet) -> None:
        self.raft.synced(peer, writes)

    def sent(self, peer: SimPeer, target: str, message: m.Message) -> None:
        if self.trace.keeps_lines:
            self.trace.lines.append(f"{self.schedule.now_us}   {peer.name}>{target} {message}")
        self.raft.sent(peer, target, message)

    def answered(self, peer: SimPeer, effects: d.Effects) -> None:
        if effects.changes:
            self.operator.told(peer, effects)
        if effects.proposals or effects.reads:
            self.clients.answered(peer, effects)

    def ended(self, peer: SimPeer) -> None:
        self.clients.peer_ended(peer)

    def failed(self, peer: SimPeer, error: FatalError) -> None:
        if error.details.get("index") != self.history.poisoned_index:
            raise error
        self.count("poison_met")
        self.raft.stepped(peer)  # it found the entry committed before it met it
        peer.crash()

    # --- entries that are skipped ------------------------------------------------------------

    def common_index(self, peer: SimPeer) -> int:
        """The newest entry of its log that was committed."""
        index = min(peer.disk.last_index, self.raft.committed_index)
        while not peer.disk.has(index, self.raft.ledger[index].chain):
            index -= 1
        return index

    def note_skipped(self, index: int, treated: SimPeer) -> None:
        """treated: who has all that was committed."""
        self.trace.note(f"skipped {index}")
        self.raft.rewritten(index, treated.disk)
        self.history.forget(index)

    def met(self, peer: SimPeer, stranger: str) -> None:
        raise Violation("generations never meet", f"{peer.name} has links with {stranger}")

    def _check_digest(self, peer: SimPeer, machine: DurableStateMachine) -> None:
        """Equal state at equal index, the sessions too."""
        index = machine.applied_index
        if self._digested.get(peer.name) == (peer.process, index):
            return
        self._digested[peer.name] = (peer.process, index)
        digest = digest_of(peer.home, machine)
        if self.digests.setdefault(index, digest) != digest:
            raise Violation("equal state at equal index", f"{peer.name} at entry {index}")


def digest_of(home: StateHome, machine: DurableStateMachine) -> int:
    """Of a state, the sessions too."""
    digest = home.digest
    if home.state is None:  # the product's state has them in its rows
        for key, row in sorted(machine.sessions.items()):
            digest = zlib.crc32(row, zlib.crc32(key, digest))
    return digest
