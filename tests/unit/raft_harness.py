"""Builders for tests of the Raft room: a log in memory, one peer's driver, a small cluster.

Nothing here waits: time is a number that a test moves, messages are delivered when a test says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from raft_builders import (
    commands_of,
    commands_record,
    configuration,
    genesis_record,
    heartbeat,
    history,
    key,
    member,
    record_after,
    wire,
)

from replicante.errors import CorruptData
from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.host import MachineHost
from replicante.raft.in_memory import InMemoryMachine
from replicante.raft.log import Base, HardState, Log, WriteSet
from replicante.raft.log_loading import LoadedLog, load_records
from replicante.raft.records import (
    CHAIN_ZERO,
    BadRecord,
    CommandItem,
    OpenItem,
    Record,
    decode_record,
    encode_record,
)
from replicante.raft.status import Role

HEARTBEAT_MS = 100
ELECTION_MS_MIN = 600
ELECTION_MS_MAX = 1_200
SEGMENT_BYTES = 300
NEW = HardState()


class MemoryBackend:
    """A `LogBackend` that keeps encoded records; what was written survives a `Station.restart`."""

    def __init__(self, records: Iterable[Record] = (), hard: HardState = NEW) -> None:
        self.stored = {record.index: encode_record(record) for record in records}
        self.hard = hard
        self.writes: list[WriteSet] = []
        self.base: Base | None = None

    def write(self, writes: WriteSet) -> None:
        self.writes.append(writes)
        if writes.truncate_from is not None:
            self.stored = {i: row for i, row in self.stored.items() if i < writes.truncate_from}
        self.stored.update(writes.records)
        if writes.base is not None:
            self.base = writes.base
            self.stored = {i: row for i, row in self.stored.items() if i >= writes.base.index}
        if writes.hard is not None:
            self.hard = writes.hard

    def read(self, low: int, high: int) -> list[Record]:
        return [decode_record(i, self.stored[i], chain_before=None) for i in range(low, high)]

    def records(self) -> list[Record]:
        """Everything stored, with the chain verified."""
        records: list[Record] = []
        chain = CHAIN_ZERO if self.base is None else None
        for index in sorted(self.stored):
            try:
                record = decode_record(index, self.stored[index], chain_before=chain)
            except BadRecord as error:
                raise CorruptData(f"entry {index}: {error}") from error
            chain = record.chain
            records.append(record)
        return records

    def load(self, *, tail_bytes_max: int | None = None) -> LoadedLog:
        records = self.records()
        loaded = load_records(
            records,
            hard=self.hard,
            base=self.base,
            tail_bytes_max=tail_bytes_max,
            segment_bytes=300,
        )
        assert loaded is not None
        return loaded


class Draws:
    """Entropy that repeats the given fractions."""

    def __init__(self, *fractions: float) -> None:
        self._fractions = deque(fractions or (0.5,))

    def fraction(self) -> float:
        self._fractions.rotate(-1)
        return self._fractions[-1]

    def token(self) -> str:
        return "0" * 32


class ListMachine:
    """Remembers every command that was applied; its outcome is its place."""

    def __init__(self) -> None:
        self.applied: list[bytes] = []

    def apply(self, entry):
        self.applied.append(entry.data)
        return b"%d" % len(self.applied)

    def snapshot(self):
        return []

    def restore(self, chunks):
        raise AssertionError("there are no snapshots")


class Station:
    """One peer: its disk, its machine, its driver. `step` keeps the order that a peer keeps."""

    def __init__(
        self,
        name: str = "a",
        *,
        voters: Iterable[str] = "abc",
        records: Iterable[Record] | None = None,
        hard: HardState = NEW,
        now_ms: int = 0,
        fraction: float = 0.5,
    ) -> None:
        self.name, self.key = name, key(name)
        self.voters = tuple(voters)
        self.backend = MemoryBackend(records or [genesis_record(self.voters)], hard)
        self.fraction = fraction
        self.start(now_ms=now_ms)

    def start(self, *, now_ms: int) -> None:
        """A new process on the same disk; its state machine starts empty and replays."""
        self.now_ms = now_ms
        boot = self.backend.hard.boot + 1
        hard = HardState(self.backend.hard.term, self.backend.hard.voted_for, boot)
        self.backend.write(WriteSet(None, (), hard))
        self.machine = ListMachine()
        self.log = Log(self.backend, self.backend.load())
        me = member(self.name)
        self.driver = d.Driver(
            identity=d.Identity(
                peer_id=me.peer_id, key=me.key, incarnation=me.incarnation, boot=boot
            ),
            log=self.log,
            host=MachineHost(InMemoryMachine(self.machine)),
            entropy=Draws(self.fraction),
            now_ms=now_ms,
            heartbeat_ms=HEARTBEAT_MS,
            election_ms_min=ELECTION_MS_MIN,
            election_ms_max=ELECTION_MS_MAX,
        )

    @property
    def engine(self):
        return self.driver.engine

    @property
    def boot(self) -> int:
        """What this process names itself by when it asks for a session."""
        return self.driver._forwarding._boot

    @property
    def terms(self) -> list[int]:
        """Term of each entry of the log, from genesis."""
        return [self.log.term_at(i) for i in range(1, self.log.last_index + 1)]

    def jump_to(self, base: Base) -> None:
        """The state and the log become those as of `base`, as when a copy was installed."""
        record = base.record()
        self.backend.base, self.backend.stored = base, {base.index: encode_record(record)}
        self.driver.host.machine.applied_index = base.index
        self.driver.installed(base, keeps_tail=False)

    def think(self, *inputs: d.Input, now_ms: int | None = None) -> d.Effects:
        """One step without its write: what a process that dies here had said is in `early`."""
        if now_ms is not None:
            self.now_ms = now_ms
        return self.driver.step(inputs, now_ms=self.now_ms, wall_ms=0)

    def persist(self) -> None:
        if self.log.has_writes:
            self.backend.write(self.log.take_writes())
            self.driver.persisted()

    def step(self, *inputs: d.Input, now_ms: int | None = None) -> d.Effects:
        effects = self.think(*inputs, now_ms=now_ms)
        self.persist()
        return effects

    def receive(self, sender: str, *messages: m.Message, now_ms: int | None = None) -> list:
        """What it sends, early and late, as (receiver's name, message)."""
        effects = self.step(*(d.Received(key(sender), it) for it in messages), now_ms=now_ms)
        return [(k[0], it) for k, it in effects.early + effects.late]

    def link(self, *names: str, is_up: bool = True) -> d.Effects:
        return self.step(*(d.LinkChanged(key(name), is_up) for name in names))

    def pass_time(self, ms: int, *, every_ms: int = 10) -> list:
        """Steps without input; what it sends meanwhile."""
        sent = []
        until_ms = self.now_ms + ms
        while self.now_ms < until_ms:
            effects = self.step(now_ms=min(self.now_ms + every_ms, until_ms))
            sent += [(k[0], it) for k, it in effects.early + effects.late]
        return sent

    def lead(self, *, over: str | None = None) -> None:
        """Becomes leader by votes of those in `over`; its no-op is appended, not committed."""
        over = over or "".join(name for name in self.voters if name != self.name)
        self.link(*over)
        self.pass_time(ELECTION_MS_MAX + 10)
        term = self.engine.term + 1
        for name in over:
            if self.engine.role is Role.FOLLOWER:
                self.receive(name, m.PreVoteReply(term=term - 1, next_term=term, is_granted=True))
        assert self.engine.role is Role.CANDIDATE
        for name in over:
            if self.engine.role is Role.CANDIDATE:
                self.receive(name, m.VoteReply(term=term, is_granted=True))
        assert self.engine.is_leader

    def acknowledge(self, *names: str, upto: int | None = None) -> list:
        """The followers have everything and echo the newest round."""
        match = self.log.last_index if upto is None else upto
        sent = []
        for name in names:
            ack = m.AppendAck(
                term=self.engine.term, round=self.engine.round, is_success=True, match_index=match
            )
            sent += self.receive(name, ack)
        return sent

    def commands(self) -> list[bytes]:
        return self.machine.applied


def sent_to(sent: Iterable, name: str, kind: type) -> list:
    return [message for receiver, message in sent if receiver == name and isinstance(message, kind)]


class Cluster:
    """Stations and the messages between them, first in first out on each link."""

    def __init__(self, voters: str = "abc", **stations: Station) -> None:
        self.voters = voters
        self.now_ms = 0
        self.stations = {
            name: stations.get(name)
            or Station(name, voters=voters, fraction=(place + 1) / (len(voters) + 1))
            for place, name in enumerate(voters)
        }
        self.cut: set[tuple[str, str]] = set()
        self.dead: set[str] = set()
        self.queue: deque[tuple[str, str, m.Message]] = deque()
        self.delivered: list[tuple[str, str, m.Message]] = []
        self.proposals: dict[int, object] = {}
        self.reads: dict[int, object] = {}
        self.changes: dict[int, object] = {}
        self.drop: Callable[[str, str, m.Message], bool] = lambda sender, receiver, message: False
        self._ticket = 0
        for name in voters:
            self._link_all(name)

    def __getitem__(self, name: str) -> Station:
        return self.stations[name]

    @property
    def alive(self) -> list[Station]:
        return [it for name, it in self.stations.items() if name not in self.dead]

    @property
    def leader(self) -> Station:
        (leader,) = [
            it
            for it in self.alive
            if it.engine.is_leader
            and it.engine.term == max(other.engine.term for other in self.alive)
        ]
        return leader

    def step(self, name: str, *inputs: d.Input) -> None:
        station = self.stations[name]
        effects = station.step(*inputs, now_ms=self.now_ms)
        for receiver, message in effects.early + effects.late:
            self.queue.append((name, receiver[0], message))
        for done in effects.proposals:
            self.proposals[done.ticket] = done
        for read in effects.reads:
            self.reads[read.ticket] = read
        for change in effects.changes:
            self.changes[change.ticket] = change

    def deliver(self) -> None:
        """Until no message is on its way."""
        rounds = 0
        while self.queue:
            rounds += 1
            assert rounds < 100_000, "messages without end"
            sender, receiver, message = self.queue.popleft()
            if {sender, receiver} & self.dead or (sender, receiver) in self.cut:
                continue
            if self.drop(sender, receiver, message):
                continue
            self.delivered.append((sender, receiver, message))
            self.step(receiver, d.Received(key(sender), message))

    def run(self, ms: int, *, every_ms: int = 20) -> None:
        until_ms = self.now_ms + ms
        self.deliver()
        while self.now_ms < until_ms:
            self.now_ms = min(self.now_ms + every_ms, until_ms)
            for station in self.alive:
                self.step(station.name)
            self.deliver()

    def elect(self) -> Station:
        """A leader whose no-op is committed, and sessions everywhere."""
        self.run(3_000)
        assert all(station.driver.has_session for station in self.alive)
        return self.leader

    def propose(self, name: str, data: bytes, *, timeout_ms: int = 10_000) -> int:
        self._ticket += 1
        self.step(name, d.ProposeInput(self._ticket, data, self.now_ms + timeout_ms))
        return self._ticket

    def read(self, name: str, *, timeout_ms: int = 10_000) -> int:
        self._ticket += 1
        self.step(name, d.ReadInput(self._ticket, self.now_ms + timeout_ms))
        return self._ticket

    def kill(self, name: str) -> None:
        self.dead.add(name)
        for other in self.alive:
            self.step(other.name, d.LinkChanged(key(name), is_up=False))

    def restart(self, name: str) -> None:
        self.dead.discard(name)
        self.stations[name].start(now_ms=self.now_ms)
        self._link_all(name)
        for other in self.alive:
            if other.name != name:
                self.step(other.name, d.LinkChanged(key(name), is_up=True))

    def isolate(self, name: str) -> None:
        self.cut |= {(name, it) for it in self.stations} | {(it, name) for it in self.stations}

    def heal(self) -> None:
        self.cut.clear()

    def _link_all(self, name: str) -> None:
        others = [it.name for it in self.alive if it.name != name]
        self.step(name, *(d.LinkChanged(key(other), is_up=True) for other in others))


__all__ = [
    "Cluster",
    "CommandItem",
    "Draws",
    "ListMachine",
    "MemoryBackend",
    "OpenItem",
    "Station",
    "commands_of",
    "commands_record",
    "configuration",
    "genesis_record",
    "heartbeat",
    "history",
    "key",
    "member",
    "record_after",
    "sent_to",
    "wire",
]
