"""What PySyncObj's kept code meets in place of its own parts (ADR 0001).

Called by engine alone. camelCase is PySyncObj's; nothing here decides anything.
"""

from __future__ import annotations

import binascii
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from pysyncobj import syncobj as upstream
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from replicante.raft.log import HardState, Log


class EngineHooks(Protocol):
    """What these objects ask of the engine."""

    def request_vote(self, key: str) -> None: ...

    def append_own(self, command: bytes, index: int, term: int) -> None: ...


class StepTime:
    """Time as PySyncObj sees it: that of the present step, in seconds. Steps are synchronous,
    so one suffices."""

    now_s = 0.0


def retimed(name: str) -> Callable[..., Any]:
    """The same code of SyncObj, with the step's time in place of the machine's: replay bit by
    bit needs it."""
    function = getattr(upstream.SyncObj, name)
    names = dict(function.__globals__)
    names["monotonicTime"] = lambda: StepTime.now_s
    return types.FunctionType(function.__code__, names, function.__name__, function.__defaults__)


class MemberNode(Node):  # type: ignore[misc]  # PySyncObj has no types
    """A member under its key; hashed by an integer, so that sets iterate alike in every
    process."""

    id: str

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key
        self._hash = binascii.crc32(key.encode())

    def __hash__(self) -> int:
        return self._hash


class OrderedNodes(set[Any]):
    """A set of nodes that iterates in the order of their keys. It is made anew whenever who
    counts changes, and holds for ever what it was made with."""

    def __init__(self, nodes: Iterable[Any]) -> None:
        super().__init__(nodes)
        self._in_order = sorted(super().__iter__(), key=lambda node: str(node.id))
        self.by_key = {node.id: node for node in self._in_order}

    def __iter__(self) -> Iterator[Any]:
        return iter(self._in_order)

    def __or__(self, other: Any) -> Any:
        return OrderedNodes([*self, *other])


class EngineTransport(Transport):  # type: ignore[misc]
    """The only message that PySyncObj's kept code still sends is request_vote; it is
    translated."""

    def __init__(self, engine: EngineHooks) -> None:
        super().__init__(None, None, [])
        self._engine = engine

    ready = True

    def send(self, node: Any, message: dict[str, Any]) -> None:
        if message["type"] == "request_vote":
            self._engine.request_vote(node.id)


class EngineLog:
    """The log in the shape that PySyncObj's kept code reads: (command, index, term), indexed by
    place."""

    def __init__(self, engine: EngineHooks, log: Log, committed_index: int) -> None:
        self._engine = engine
        self._log = log
        self._committed_index = committed_index

    def __len__(self) -> int:
        return self._log.last_index - self._log.first_index + 1

    def __getitem__(self, place: int | slice) -> Any:
        if place == -1:  # in nearly every call
            return b"", self._log.last_index, self._log.last_term
        if isinstance(place, slice):
            start = self._log.first_index + place.start
            stop = min(self._log.first_index + place.stop, self._log.last_index + 1)
            return [(b"", index, self._log.term_at(index)) for index in range(start, stop)]
        assert place == 0
        return b"", self._log.first_index, self._log.term_at(self._log.first_index)

    def add(self, command: bytes, index: int, term: int) -> None:
        self._engine.append_own(command, index, term)

    def getCurrentTerm(self) -> int:
        return self._log.hard.term

    def getVotedForNodeId(self) -> str | None:
        return self._log.hard.voted_for

    def setCurrentTerm(self, term: int, voted_for: str | None) -> None:
        self._log.set_hard(HardState(term=term, voted_for=voted_for, boot=self._log.hard.boot))

    def getRaftCommitIndex(self) -> int:
        return self._committed_index

    def setRaftCommitIndex(self, index: int) -> None:
        self._log.commit_floor = max(self._log.commit_floor, index)

    def onOneSecondTimer(self) -> None:
        """Nothing is saved by a timer: every promise is durable before it leaves."""


class NullPoller:
    def poll(self, timeout: float) -> None:
        """Sockets belong to asyncio."""
