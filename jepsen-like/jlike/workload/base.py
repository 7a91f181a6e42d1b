"""What a workload is: the questions it thinks of, how they are asked, what judges the answers.

Called by `jlike.clients` (next, perform), `jlike.runner` (the rest) and `jlike.judge` (check). A
workload that needs more than questions to peers has deeds of its own: it restarts peers, lets them
lag, runs agents for them. Deeds stand in the history as operations do.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from jlike.history import Kind, Operation, Value
from jlike.http import Answer, Http
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder
from jlike.verdict import Finding

NOTHING: Mapping[str, str] = MappingProxyType({})
LOG_START = f"{0:019}"
"""Before the first event of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an operation came to, as it stands in the history."""

    kind: Kind
    value: Value = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the deeds of one workload may touch. stop: load is over, so bring things to their end.
    leader: who leads, as far as anybody says so."""

    name: str
    peers: Peers
    http: Http
    recorder: Recorder
    chance: random.Random
    stop: asyncio.Event
    leader: Callable[[], str | None]

    async def deed(
        self, f: str, value: Value, doing: Awaitable[Outcome], *, peer: str = ""
    ) -> Outcome:
        """One operation of the history, under a process of its own."""
        process = self.recorder.new_process()
        self._say(Kind.INVOKE, f, value, process=process, peer=peer)
        found = await doing
        said = found.value if found.kind is Kind.OK else value
        self._say(found.kind, f, said, process=process, peer=peer, error=found.error)
        return found

    def tell(self, f: str, value: Value, *, peer: str = "") -> None:
        """Something that was seen at one instant."""
        process = self.recorder.new_process()
        self._say(Kind.INVOKE, f, value, process=process, peer=peer)
        self._say(Kind.OK, f, value, process=process, peer=peer)

    async def pause(self, seconds: float) -> None:
        """Shorter when the load ends."""
        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            return

    def _say(
        self, kind: Kind, f: str, value: Value, *, process: int, peer: str, error: str = ""
    ) -> None:
        self.recorder.add(
            self.name, kind, process=process, f=f, value=value, peer=peer, error=error
        )


class Asker(Protocol):
    """A client: what it asks stands in the history."""

    async def ask(self, peer: Peer, f: str, value: Value) -> Outcome: ...


class Workload(Protocol):
    name: str
    scope: str = ""
    """What each name that it writes begins with: runs that share a cluster have each its own."""
    begins: str = LOG_START
    """The place in the event log that it reads on from: what was before is not of this run."""
    settings: Mapping[str, str] = NOTHING
    """Options of each peer's command besides its place."""
    spares: int = 0
    """Peers beyond the members, for it to take in."""
    needs_processes: bool = False
    """It ends and starts peers: not for a cluster that others run."""
    needs_loopback: bool = False
    """It runs processes or servers that every peer must reach, or that must reach every peer."""

    needs_new_cluster: bool = False
    """It declares what would stay and be looked after for ever."""
    unfit: frozenset[str] = frozenset()
    """Kinds of faults that would hit what it starts, where nobody mends them."""
    deeds: frozenset[str] = frozenset()
    """Of `kinds`, those that are done, told or seen by `act`, not asked by `next`."""

    def own(self, name: str) -> str:
        """As it is called on the wire; histories tell of names without the scope."""
        return self.scope + name

    def lacks(self) -> str:
        """What this machine has not got and the workload needs; empty: nothing."""
        return ""

    @property
    def kinds(self) -> Sequence[str]:
        """Of operations; each must succeed at least once."""

    def next(self, chance: random.Random) -> tuple[str, Value]:
        """(f, value) of the next question."""

    async def open(self, stage: Stage) -> None:
        """Before everything else; what it opens, `close` closes."""
        return

    async def setup(self, http: Http, url: str) -> bool:
        """What must be there before the first question. False: it could not be made."""
        return True

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        """Asks one peer, once."""

    def forget(self) -> None:
        """A client died: what those of this workload held for later questions is gone with it."""
        return

    async def act(self, stage: Stage) -> None:
        """Deeds during the load; returns soon after `stage.stop`, with all that it held let go."""
        return

    def calm(self) -> None:
        """All was healed: from here on `next` thinks of every kind of question again, whatever the
        load has used up."""
        return

    async def finish(self, stage: Stage, client: Asker) -> str:
        """Brings to its end what was begun, after `calm` and before the last reads. Result: what
        does not come to its end, as a clause; empty: nothing."""
        return ""

    def logs(self) -> Sequence[Path]:
        """Of what is tested and is no peer: searched, as peers' logs are, for signs of a defect."""
        return ()

    def final(self) -> Sequence[tuple[str, Value]]:
        """Asked of every peer in turn, when all is healed and quiet."""

    async def close(self) -> None:
        """However the run ended; harmless to repeat."""
        return

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        """Pure."""


def outcome(answer: Answer, value: Value = None) -> Outcome:
    """Of a write. value: when it was carried out."""
    is_ok = answer.kind is Kind.OK
    return Outcome(kind=answer.kind, value=value if is_ok else None, error=answer.code)


def read_outcome(answer: Answer, value: Value = None) -> Outcome:
    """Of a read: without an answer nothing has happened, whatever the reason."""
    if answer.kind is Kind.OK:
        return Outcome(kind=Kind.OK, value=value)
    return Outcome(kind=Kind.FAIL, error=answer.code)
