"""One simulated run: a whole cluster from a seed, first with every fault, then with a majority
healed.

Called by `sim` and by tests. Phase one asks for safety alone. Phase two heals a random majority,
leaves the others broken in a random way, and asks for progress: a leader, answers, convergence,
and that the leader stays.
"""

from __future__ import annotations

import contextlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from replicante import limits
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.log import WriteSet
from replicante.raft.membership import Configuration, Member, configuration_payload
from replicante.raft.records import CHAIN_ZERO, make_record
from replicante.raft.state_machine import EntryKind
from replicante.testing.clock import Schedule
from replicante.testing.entropy import Chance
from replicante.testing.sim_checks import RaftChecks, Violation
from replicante.testing.sim_clients import Clients
from replicante.testing.sim_disk import SimDisk
from replicante.testing.sim_faults import Faults
from replicante.testing.sim_history import HistoryChecks
from replicante.testing.sim_machine import decode_outcome
from replicante.testing.sim_members import Operator
from replicante.testing.sim_network import SimNetwork
from replicante.testing.sim_options import Options, draw
from replicante.testing.sim_peer import SimPeer
from replicante.testing.sim_progress import Progress
from replicante.testing.sim_state_clients import StateClients, no_version
from replicante.testing.sim_world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    options: Options
    violation: str | None
    rule: str | None
    trace_hash: int
    events_count: int
    entries_count: int
    virtual_ms: int
    counters: Counter[str]
    lines: list[str]
    """The whole trace, when it was asked for."""
    history: list[str]
    works: dict[str, list[str]]
    """What clients of the product's state machine did, by kind of work: lines as `jlike.history`
    reads them."""


class Trace:
    """Sums up everything that happens, in order; keeps it in words only when asked to."""

    def __init__(self, schedule: Schedule, *, keeps_lines: bool) -> None:
        self.hash = 0
        self.lines: list[str] = []
        self._schedule = schedule
        self.keeps_lines = keeps_lines

    def note(self, text: str) -> None:
        line = f"{self._schedule.now_us} {text}"
        self.hash = zlib.crc32(line.encode(), self.hash)
        if self.keeps_lines:
            self.lines.append(line)


class SimCluster:
    """Fits `sim_world.Watcher`."""

    def __init__(self, options: Options, *, keeps_lines: bool = False) -> None:
        self.options = options
        self.schedule = Schedule()
        self.trace = Trace(self.schedule, keeps_lines=keeps_lines)
        self.counters: Counter[str] = Counter()
        configuration = _configuration(options)
        everybody = [*configuration.members, *_spares(options, len(configuration.members))]
        genesis = make_record(
            index=1,
            term=0,
            kind=EntryKind.GENESIS,
            clock_ms=0,
            wall_ms=0,
            payload=configuration_payload(configuration),
            chain_before=CHAIN_ZERO,
        )
        self.network = SimNetwork(self.schedule, options, note=self.trace.note, count=self.count)
        self.raft = RaftChecks(
            self.schedule, configuration, genesis, drift=options.drift, count=self.count
        )
        decode = no_version if options.works else decode_outcome
        self.history = HistoryChecks(self.schedule, self.raft, decode=decode, count=self.count)
        world = World(
            options=options,
            schedule=self.schedule,
            network=self.network,
            watcher=self,
            note=self.trace.note,
            count=self.count,
            report=self.history.applied,
            reached=lambda peer, site: self.faults.reached(peer, site),
        )
        self.peers = [
            SimPeer(
                world,
                member,
                everybody,
                SimDisk(genesis),
                is_durable=number < options.durable_machines,
            )
            for number, member in enumerate(everybody)
        ]
        self._first_members = self.peers[: len(configuration.members)]
        self.network.connect(self.peers)
        self.raft.watch(self.peers)
        self.faults = Faults(
            self.schedule,
            options,
            self.network,
            self.peers,
            note=self.trace.note,
            count=self.count,
        )
        self.clients = self._make_clients()
        self.operator = Operator(
            self.schedule,
            options,
            self.peers,
            lambda: self.raft.configuration,
            note=self.trace.note,
            count=self.count,
        )
        self._digests: dict[int, int] = {}
        self._digested: dict[str, tuple[int, int]] = {}

    def _make_clients(self) -> Clients:
        options, note = self.options, self.trace.note
        if not options.works:
            return Clients(self.schedule, options, self.history, self.peers, note=note)
        return StateClients(
            self.schedule, options, self.history, self.peers, note=note, count=self.count
        )

    def count(self, name: str) -> None:
        self.counters[name] += 1

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

    def run(self) -> None:
        """Raises Violation, or whatever a peer raised."""
        for peer in self._first_members:
            peer.start()
        self.clients.begin()
        self.faults.begin()
        self.operator.begin()
        self.schedule.run(until_us=self.options.safety_ms * 1_000)
        self.faults.is_on = self.operator.is_on = False
        self.clients.is_open = False
        Progress(self, Chance(self.options.seed, "progress")).demand()

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

    def stepped(self, peer: SimPeer, effects: d.Effects) -> None:
        if self.history.broken is not None:
            raise self.history.broken
        self.raft.stepped(peer)
        self._check_digest(peer)
        self.history.check_staleness(peer, drift=self.options.drift)

    def staged(self, peer: SimPeer, writes: WriteSet) -> None:
        self.raft.staged(peer, writes)

    def synced(self, peer: SimPeer, writes: WriteSet) -> None:
        self.raft.synced(peer, writes)

    def sent(self, peer: SimPeer, target: str, message: m.Message) -> None:
        if self.trace.keeps_lines:
            self.trace.lines.append(f"{self.schedule.now_us}   {peer.name}>{target} {message}")
        self.raft.sent(peer, target, message)

    def answered(self, peer: SimPeer, effects: d.Effects) -> None:
        self.operator.told(effects)
        if effects.proposals or effects.reads:
            self.clients.answered(peer, effects)

    def ended(self, peer: SimPeer) -> None:
        self.clients.peer_ended(peer)

    def _check_digest(self, peer: SimPeer) -> None:
        """Equal state at equal index, the sessions too."""
        machine = peer.machine
        index = machine.applied_index
        if self._digested.get(peer.name) == (peer.process, index):
            return
        self._digested[peer.name] = (peer.process, index)
        digest = peer.home.digest
        if not self.options.works:  # the product's state has them in its rows
            for key, row in sorted(machine.sessions.items()):
                digest = zlib.crc32(row, zlib.crc32(key, digest))
        if self._digests.setdefault(index, digest) != digest:
            raise Violation("equal state at equal index", f"{peer.name} at entry {index}")


def run_seed(seed: int, *, keeps_lines: bool = False) -> Verdict:
    """The same seed on the same code gives the same trace hash, in any process."""
    return run_options(draw(seed), keeps_lines=keeps_lines)


def run_options(options: Options, *, keeps_lines: bool = False) -> Verdict:
    cluster = SimCluster(options, keeps_lines=keeps_lines)
    violation, rule = None, None
    with _bounds(options.bounds):
        try:
            cluster.run()
        except Violation as error:
            violation, rule = str(error), error.rule
        except Exception as error:  # noqa: BLE001 - whatever a peer raised would have ended its process
            violation = f"{type(error).__name__}: {error}"
            rule = f"no peer fails: {_place(error)}"
    return Verdict(
        options=options,
        violation=violation,
        rule=rule,
        trace_hash=cluster.trace.hash,
        events_count=cluster.schedule.done_count,
        entries_count=cluster.raft.committed_index,
        virtual_ms=cluster.schedule.now_us // 1_000,
        counters=cluster.counters,
        lines=cluster.trace.lines,
        history=[str(operation) for operation in cluster.history.operations],
        works=cluster.clients.works_told(),
    )


@contextlib.contextmanager
def _bounds(bounds: tuple[tuple[str, int], ...]) -> Iterator[None]:
    """replicante.limits as this run wants them; one run at a time in a process."""
    before = {name: getattr(limits, name) for name, _ in bounds}
    try:
        for name, value in bounds:
            setattr(limits, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(limits, name, value)


def _configuration(options: Options) -> Configuration:
    members = [
        Member(f"p{number}", f"i{number}", f"sim:{number}")
        for number in range(1, options.voters_count + options.learners_count + 1)
    ]
    return Configuration(
        voters=tuple(members[: options.voters_count]),
        learners=tuple(members[options.voters_count :]),
    )


def _spares(options: Options, members_count: int) -> list[Member]:
    numbers = range(members_count + 1, members_count + options.spares_count + 1)
    return [Member(f"p{number}", f"i{number}", f"sim:{number}") for number in numbers]


def _place(error: BaseException) -> str:
    """Where it came from: file and function, so that equal failures look equal."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    code = trace.tb_frame.f_code
    return f"{code.co_filename.rpartition('/')[2]}:{code.co_name}"
