"""Unchanged PySyncObj 0.3.17 without sockets, threads or real time: every message is delivered by
the test, and time stands still until the test moves it.

Called by the tests of this folder. Nothing of SyncObj is overridden; two names of its module are
patched while a test runs: the clock that it reads, and its random numbers.
"""

from __future__ import annotations

import contextlib
import copy
import random
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated
from pysyncobj import syncobj as upstream
from pysyncobj.node import Node
from pysyncobj.transport import Transport

HEARTBEAT_S = 0.1
ELECTION_S = (0.4, 1.4)
SUCCESS = FAIL_REASON.SUCCESS


class StockTime:
    """Seconds as every stock peer of a test sees them."""

    now_s = 100.0


class Wires(Transport):
    """What a peer sends is queued in the order of sending, as over one TCP connection."""

    def __init__(self, group: StockGroup, name: str) -> None:
        super().__init__(None, None, [])
        self._group = group
        self._name = name

    def send(self, node: Any, message: Any) -> bool:
        self._group.links[self._name, node.id].append(copy.deepcopy(message))
        return True

    def hear(self, sender: str, message: Any) -> None:
        self._onMessageReceived(Node(sender), message)

    def connected(self, other: str) -> None:
        self._onNodeConnected(Node(other))

    def disconnected(self, other: str) -> None:
        self._onNodeDisconnected(Node(other))


class StockPeer(SyncObj):
    """The replicated thing is a list of what was added."""

    def __init__(self, name: str, others: list[str], wires: Wires, **conf: Any) -> None:
        settings = SyncObjConf(
            autoTick=False,
            appendEntriesPeriod=HEARTBEAT_S,
            raftMinTimeout=ELECTION_S[0],
            raftMaxTimeout=ELECTION_S[1],
            useFork=False,
            **conf,
        )
        super().__init__(Node(name), [Node(other) for other in others], settings, transport=wires)
        self.values: list[Any] = []

    @replicated
    def add(self, value: Any) -> int:
        self.values.append(value)
        return len(self.values)

    @replicated
    def fail(self) -> None:
        raise ValueError("a mistake in a replicated method")


class StockGroup:
    def __init__(self, names: str, **conf: Any) -> None:
        self.links: dict[tuple[str, str], deque[Any]] = defaultdict(deque)
        self.peers: dict[str, StockPeer] = {}
        self._wires: dict[str, Wires] = {}
        self._names = names
        self._started: list[StockPeer] = []
        for name in names:
            self.start(name, **conf)

    def __getitem__(self, name: str) -> StockPeer:
        return self.peers[name]

    def start(self, name: str, **conf: Any) -> StockPeer:
        """Starts or restarts a peer; of a peer before it only its files are left."""
        wires = Wires(self, name)
        others = [other for other in self._names if other != name]
        self._wires[name] = wires
        self.peers[name] = StockPeer(name, others, wires, **conf)
        self._started.append(self.peers[name])
        self._connect(name)
        return self.peers[name]

    def close(self) -> None:
        for peer in self._started:
            peer._doDestroy()

    def _connect(self, name: str) -> None:
        for other in self._names:
            if other != name:
                self._wires[name].connected(other)

    # --- messages --------------------------------------------------------------------------------

    def deliver(self, sender: str, target: str, count: int | None = None) -> int:
        """The oldest messages of this link arrive, all by default; how many."""
        queue = self.links[sender, target]
        delivered = len(queue) if count is None else min(count, len(queue))
        for _ in range(delivered):
            self._wires[target].hear(sender, queue.popleft())
        return delivered

    def hear(self, target: str, sender: str, **message: Any) -> None:
        """This message arrives at `target`, whoever sent it."""
        self._wires[target].hear(sender, message)

    def drop(self, sender: str, target: str) -> list[Any]:
        lost = list(self.links[sender, target])
        self.links[sender, target].clear()
        return lost

    def isolate(self, name: str) -> None:
        """What is on its way to and from this peer is lost; later messages are too while it stays
        out of `run`."""
        for other in self._names:
            self.drop(name, other)
            self.drop(other, name)

    # --- time ------------------------------------------------------------------------------------

    def tick(self, *names: str) -> None:
        for name in names or self._names:
            self.peers[name]._onTick(0.0)

    def run(self, names: str, *, seconds: float) -> None:
        """These peers tick and hear each other; all other messages wait."""
        end_s = StockTime.now_s + seconds
        while StockTime.now_s < end_s:
            StockTime.now_s += 0.05
            self.tick(*names)
            for sender in names:
                for target in names:
                    if sender != target:
                        self.deliver(sender, target)

    def time_out(self, name: str) -> None:
        """The election timer of this peer, and of no other, runs out."""
        self.peers[name]._SyncObj__raftElectionDeadline = StockTime.now_s - 1
        self.tick(name)

    def elect(self, name: str, voters: str) -> None:
        """This peer wins an election with the help of these; nothing else is delivered."""
        peer = self.peers[name]
        self.time_out(name)
        while peer.raftCurrentTerm <= max(self.peers[voter].raftCurrentTerm for voter in voters):
            self.time_out(name)
        for voter in voters:
            self.deliver(name, voter)
            self.deliver(voter, name)
        assert peer._isLeader()

    # --- what a test looks at --------------------------------------------------------------------

    def add(self, name: str, value: Any) -> list[tuple[Any, int]]:
        """Proposes; the list gets (result, reason) when the callback is called."""
        answers: list[tuple[Any, int]] = []
        self.peers[name].add(
            value, callback=lambda result, reason: answers.append((result, reason))
        )
        return answers

    def log(self, name: str) -> list[tuple[int, int]]:
        """(index, term) of every entry."""
        return [(index, term) for _, index, term in self.peers[name]._SyncObj__raftLog[:]]

    def last(self, name: str) -> int:
        return self.log(name)[-1][0]


@contextlib.contextmanager
def stock(names: str, **conf: Any) -> Iterator[StockGroup]:
    """A group under patched time and chance; both are given back at the end."""
    clock, chance = upstream.monotonicTime, upstream.random
    upstream.monotonicTime = lambda: StockTime.now_s
    upstream.random = random.Random(7)
    StockTime.now_s = 100.0
    group = StockGroup(names, **conf)
    try:
        yield group
    finally:
        group.close()
        upstream.monotonicTime, upstream.random = clock, chance
