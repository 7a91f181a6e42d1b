"""Our driver and engine in the same hands: every message is delivered by the test, time stands
still until the test moves it, a write is durable when the step returns.

Called by the tests of this folder beside `stock_group`. Messages cross as the bytes that peers
send.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

from replicante.raft import driver as d
from replicante.raft import messages as m
from replicante.raft.host import MachineHost
from replicante.raft.in_memory import InMemoryMachine
from replicante.raft.log import HardState, Log, WriteSet
from replicante.raft.log_loading import LoadedLog, load_records
from replicante.raft.membership import Member, genesis_payload
from replicante.raft.proposals import ProposalDone
from replicante.raft.reads import ReadDone
from replicante.raft.records import CHAIN_ZERO, Record, decode_record, make_record
from replicante.raft.state_machine import Entry, EntryKind


class Disk:
    """A log backend whose every write is durable."""

    def __init__(self, genesis: Record) -> None:
        self.hard = HardState()
        self.records = [genesis]

    def write(self, writes: WriteSet) -> None:
        if writes.truncate_from is not None:
            self.records = [r for r in self.records if r.index < writes.truncate_from]
        for index, stored in writes.records:
            chain = self.records[-1].chain
            self.records.append(decode_record(index, stored, chain_before=chain))
        self.hard = writes.hard or self.hard

    def read(self, low: int, high: int) -> list[Record]:
        return [record for record in self.records if low <= record.index < high]

    def load(self) -> LoadedLog:
        loaded = load_records(self.records, hard=self.hard, base=None)
        assert loaded is not None
        return loaded


class Values:
    """The replicated thing is a list of what was added."""

    def __init__(self) -> None:
        self.values: list[str] = []

    def apply(self, entry: Entry) -> bytes:
        if entry.data == b"fail":
            raise ValueError("a mistake in a state machine")
        self.values.append(entry.data.decode())
        return str(len(self.values)).encode()

    def snapshot(self) -> list[bytes]:
        return ["\n".join(self.values).encode()]

    def restore(self, chunks: Any) -> None:
        self.values = b"".join(chunks).decode().split("\n")


class EvenChance:
    """Fits `Entropy`: every timeout is in the middle of its range."""

    def fraction(self) -> float:
        return 0.5

    def token(self) -> str:
        return "0" * 32


class OurPeer:
    def __init__(self, member: Member, disk: Disk, now_ms: int):
        self.disk = disk
        self.machine = Values()
        disk.hard = HardState(disk.hard.term, disk.hard.voted_for, disk.hard.boot + 1)
        self.driver = d.Driver(
            identity=d.Identity(
                peer_id=member.peer_id,
                key=member.key,
                incarnation=member.incarnation,
                boot=disk.hard.boot,
            ),
            log=Log(disk, disk.load()),
            host=MachineHost(InMemoryMachine(self.machine)),
            entropy=EvenChance(),
            now_ms=now_ms,
        )
        self.proposals: dict[int, ProposalDone] = {}
        self.reads: dict[int, ReadDone] = {}

    @property
    def engine(self) -> Any:
        return self.driver.engine

    @property
    def values(self) -> list[str]:
        return self.machine.values


class OurGroup:
    def __init__(self, names: str) -> None:
        self.now_ms = 100_000
        self.links: dict[tuple[str, str], deque[bytes]] = defaultdict(deque)
        self._members = {name: Member(name, name.lower() * 32, f"{name}:1") for name in names}
        payload = genesis_payload(cluster_name="demo", voters=self._members.values())
        self._genesis = make_record(
            index=1,
            term=0,
            kind=EntryKind.GENESIS,
            clock_ms=0,
            wall_ms=0,
            payload=payload,
            chain_before=CHAIN_ZERO,
        )
        self._next_ticket = 0
        self.peers: dict[str, OurPeer] = {}
        for name in names:
            self.start(name, Disk(self._genesis))

    def __getitem__(self, name: str) -> OurPeer:
        return self.peers[name]

    def start(self, name: str, disk: Disk | None = None) -> OurPeer:
        """Starts or restarts a peer; of a peer before it only its disk is left."""
        kept = disk or self.peers[name].disk
        self.peers[name] = OurPeer(self._members[name], kept, self.now_ms)
        self.step(name, *(d.LinkChanged(self.key(o), True) for o in self._members if o != name))
        return self.peers[name]

    def key(self, name: str) -> str:
        """Strangers have one too."""
        member = self._members.get(name)
        return member.key if member is not None else f"{name}/{'f' * 32}"

    # --- steps and messages ------------------------------------------------------------------

    def step(self, name: str, *inputs: d.Input) -> d.Effects:
        peer = self.peers[name]
        effects = peer.driver.step(inputs, now_ms=self.now_ms, wall_ms=self.now_ms)
        self._post(name, effects.early)
        if peer.driver.log.has_writes:
            peer.disk.write(peer.driver.log.take_writes())
            peer.driver.persisted()
        self._post(name, effects.late)
        peer.proposals.update((done.ticket, done) for done in effects.proposals)
        peer.reads.update((done.ticket, done) for done in effects.reads)
        return effects

    def _post(self, name: str, messages: list[tuple[str, m.Message]]) -> None:
        for key, message in messages:
            self.links[name, key.partition("/")[0]].append(m.encode_message(message))

    def deliver(self, sender: str, target: str, count: int | None = None) -> int:
        """The oldest messages of this link arrive, one a step, all by default; how many."""
        queue = self.links[sender, target]
        delivered = len(queue) if count is None else min(count, len(queue))
        for _ in range(delivered):
            self.hear(target, sender, m.decode_message(queue.popleft()))
        return delivered

    def hear(self, target: str, sender: str, message: m.Message) -> d.Effects:
        """This message arrives at `target`, whoever sent it."""
        return self.step(target, d.Received(self.key(sender), message))

    def drop(self, sender: str, target: str) -> list[m.Message]:
        lost = [m.decode_message(body) for body in self.links[sender, target]]
        self.links[sender, target].clear()
        return lost

    def isolate(self, name: str) -> None:
        for other in self._members:
            self.drop(name, other)
            self.drop(other, name)

    def reconnect(self, one: str, other: str) -> None:
        """The connection breaks, what was on its way is lost, and a new one stands at once."""
        self.drop(one, other)
        self.drop(other, one)
        for name, far in ((one, other), (other, one)):
            self.step(name, d.LinkChanged(self.key(far), False))
            self.step(name, d.LinkChanged(self.key(far), True))

    # --- time ----------------------------------------------------------------------------------

    def run(self, names: str, *, ms: int) -> None:
        """These peers step and hear each other; all other messages wait."""
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms:
            self.now_ms += 50
            for name in names:
                self.step(name)
            while any(
                self.deliver(sender, target)
                for sender in names
                for target in names
                if sender != target
            ):
                pass

    def time_out(self, name: str) -> None:
        """The election timer of this peer, and of no other, runs out; it has heard no leader for
        long, and neither have those who are asked in `elect`."""
        self.peers[name].engine._SyncObj__raftElectionDeadline = self.now_ms / 1000 - 1
        self.step(name)

    def forget_leader(self, *names: str) -> None:
        """As if the minimal election timeout had passed since these heard a leader."""
        for name in names:
            self.peers[name].engine._leader_heard_ms = None

    def elect(self, name: str, voters: str) -> None:
        """This peer wins an election with the help of these; nothing else is delivered."""
        self.forget_leader(*voters)
        self.time_out(name)
        for _ in range(2):  # pre-votes, votes
            for voter in voters:
                self.deliver(name, voter)
                self.deliver(voter, name)
            self.step(name)
        assert self.peers[name].engine.is_leader

    # --- callers -------------------------------------------------------------------------------

    def propose(self, name: str, value: str, *, timeout_ms: int = 10_000) -> int:
        self._next_ticket += 1
        given = d.ProposeInput(self._next_ticket, value.encode(), self.now_ms + timeout_ms)
        self.step(name, given)
        return self._next_ticket

    def read(self, name: str, *, timeout_ms: int = 3_000) -> int:
        self._next_ticket += 1
        self.step(name, d.ReadInput(self._next_ticket, self.now_ms + timeout_ms))
        return self._next_ticket

    def log(self, name: str) -> list[tuple[int, int]]:
        """(index, term) of every durable entry."""
        return [(record.index, record.term) for record in self.peers[name].disk.records]

    def last(self, name: str) -> int:
        return self.log(name)[-1][0]


def ready_group(names: str, *, leader: str = "A") -> OurGroup:
    """Everyone follows `leader`, has applied what it has, and owns a forwarding session."""
    group = OurGroup(names)
    group.elect(leader, names.replace(leader, ""))
    group.run(names, ms=600)
    assert all(peer.driver.has_session for peer in group.peers.values())
    assert group[leader].engine.is_leader
    return group
