"""How workers read and write the tables: confirmed by a majority, and once. Called by the jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from replicante.limits import WORK_PROPOSE_MS_MAX
from replicante.state.commands import Command
from replicante.state.envelope import Envelope, admit
from replicante.state.outcome import Applied, Rejected, decode_outcome
from replicante.storage.kv import View
from replicante.workers.doors import PeerDoor, StateDoor

T = TypeVar("T")

ACTOR = "replicante"
"""Who the events of the control plane's own writes name."""


class Scribe:
    def __init__(self, *, peer: PeerDoor, state: StateDoor) -> None:
        self._peer = peer
        self._state = state

    async def write(self, command: Command, *, why: str) -> Applied | Rejected:
        """why: the request id of its events.  Raises Invalid for what may not be proposed, and as
        `PeerDoor.propose`."""
        encoded = admit(Envelope(request_id=why, command=command, actor=ACTOR))
        proposed = await self._peer.propose(encoded, timeout_ms=WORK_PROPOSE_MS_MAX)
        outcome = decode_outcome(proposed.outcome)
        assert isinstance(outcome, Applied | Rejected), "a single command has a single outcome"
        return outcome

    async def read(self, query: Callable[[View], T]) -> T:
        """Sees everything that was committed before the call.  Raises as
        `PeerDoor.read_barrier`."""
        await self._peer.read_barrier(timeout_ms=WORK_PROPOSE_MS_MAX)
        return self.look(query)

    def look(self, query: Callable[[View], T]) -> T:
        """This peer's own copy: for deciding what to look at, never for what to do."""
        with self._state.view() as view:
            return query(view)
